"""Tables in files, read with pyarrow where the environment has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.ranges import Range
from mlwright.sdk.table_files import FORMATS, format_of


def read_table(owner: str, files: Mapping[str, Range], columns: Sequence[str] | None = None) -> Any:
    """The rows of files as one `pyarrow.Table`.

    Args:
        owner: how messages name what the files belong to.
        files: by name, in the order of their rows.
        columns: only these.

    Raises:
        Invalid: a file is no table, is damaged, or has other columns than the first.
    """
    tables = [_read(owner, name, found, columns) for name, found in files.items()]
    if len(tables) == 1:
        return tables[0]
    import pyarrow as pa

    for name, table in zip(files, tables, strict=True):
        if table.schema.names != tables[0].schema.names:
            raise Invalid(
                f"`{name}` of {owner} has other columns than `{next(iter(files))}`",
                hint="read them one by one: .table(NAME)",
            )
    return pa.concat_tables(tables, promote_options="permissive")


def _read(owner: str, name: str, found: Range, columns: Sequence[str] | None) -> Any:
    reader = _READERS.get(format_of(name))
    if reader is None:
        raise Invalid(
            f"`{name}` of {owner} is not a table",
            hint="read it with .path() or .open(); tables are " + ", ".join(FORMATS),
        )
    import pyarrow as pa

    # A file of its own is mapped into memory: what is not asked for is not read.
    source = pa.memory_map(str(found.path)) if found.is_file else pa.BufferReader(found.read())
    try:
        return reader(source, list(columns) if columns is not None else None)
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's; without a number it is Arrow's word for damage
        raise Invalid(f"`{name}` of {owner} cannot be read as a table: {error}") from error


_ARROW_FILES = (b"ARROW1", b"FEA1")
"""How an Arrow file begins, and one of the first version of Feather; all else is a stream."""


def _csv(delimiter: str) -> Callable[[Any, list[str] | None], Any]:
    def read(source: Any, columns: list[str] | None) -> Any:
        from pyarrow import csv

        return csv.read_csv(
            source,
            parse_options=csv.ParseOptions(delimiter=delimiter),
            convert_options=csv.ConvertOptions(include_columns=columns or []),
        )

    return read


def _parquet(source: Any, columns: list[str] | None) -> Any:
    from pyarrow import parquet

    return parquet.read_table(source, columns=columns)


def _arrow(source: Any, columns: list[str] | None) -> Any:
    import pyarrow as pa
    from pyarrow import feather

    begins = source.read(6)
    source.seek(0)
    if begins.startswith(_ARROW_FILES):
        return feather.read_table(source, columns=columns)
    table = pa.ipc.open_stream(source).read_all()
    return table.select(columns) if columns is not None else table


def _json_lines(source: Any, columns: list[str] | None) -> Any:
    from pyarrow import json

    table = json.read_json(source)
    return table.select(columns) if columns is not None else table


_READERS: dict[str, Callable[[Any, list[str] | None], Any]] = {
    "csv": _csv(","),
    "tsv": _csv("\t"),
    "parquet": _parquet,
    "arrow": _arrow,
    "jsonl": _json_lines,
}
