"""Reading table files batch by batch, in bounded memory. pyarrow is imported when a file is read."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Corrupt, Invalid
from mlwright.sdk.ranges import Range

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""The format of a table file by how its name ends, in lower case."""

_BLOCK_BYTES = 2 << 20
"""Arrow reads some 30 blocks of a CSV file ahead, and nothing can be said against it."""
_LARGEST_ROW_BYTES = 8 << 20
_BATCH_BYTES = 8 << 20
_BATCH_ROWS = 65_536
_ROW_HINT = "write that row with as many cells as there are columns, or put quotes around a cell with commas"
_MOST_RESTARTS = 24
_MISFIT = re.compile(
    r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to (.+?): invalid value '(.*)'", re.DOTALL
)


def format_of(name: str) -> str:
    """The format of a table file; empty for what is none."""
    return FORMATS.get(Path(name).suffix.lower(), "")


def feed(found: Range, form: str, begin: Callable[[Any], Callable[[Any], None]]) -> None:
    """Read a table file from its beginning to its end.

    Args:
        found: where its bytes lie; those that are only a part of a file are held in memory.
        form: one of the values of `FORMATS`.
        begin: is told the schema, and gives what takes the batches. Of a CSV file it may be called again,
            when later rows show that a column is of another type: what was taken before does not count.

    Raises:
        Invalid: it is not a table of that format; the message says what and where.
        Corrupt: it is damaged.
        Exception: Arrow's own, which `in_our_words` translates.
    """
    match form:
        case "csv" | "tsv":
            _feed_csv(found, "," if form == "csv" else "\t", begin)
        case "parquet":
            _feed_parquet(found, begin)
        case "arrow":
            _feed_arrow(found, begin)
        case "jsonl":
            _feed_jsonl(found, begin)
        case _:
            raise Invalid(f"{form!r} is not a format of tables")


def _feed_csv(found: Range, delimiter: str, begin: Callable[[Any], Callable[[Any], None]]) -> None:
    import pyarrow as pa

    types: dict[str, Any] = {}
    block_bytes = _BLOCK_BYTES
    restarts = 0
    while True:
        try:
            with _csv_reader(found, delimiter, types, block_bytes) as reader:
                schema = reader.schema
                for field in schema:
                    if pa.types.is_binary(field.type):
                        raise _not_utf8(field.name)
                take = begin(schema)
                for batch in reader:
                    take(batch)
            return
        except pa.ArrowInvalid as error:
            if "straddling" in str(error) and block_bytes < _LARGEST_ROW_BYTES:
                block_bytes = _LARGEST_ROW_BYTES
                continue
            misfit = _MISFIT.search(str(error))
            if misfit is None:
                raise
            name = schema.names[int(misfit[1])]
            restarts += 1
            if restarts > _MOST_RESTARTS:
                types = dict.fromkeys(schema.names, pa.string())
            else:
                types[name] = _wider(misfit[2], misfit[3])


def _csv_reader(found: Range, delimiter: str, types: dict[str, Any], block_bytes: int) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    return csv.open_csv(
        found.path if found.is_file else pa.BufferReader(found.read()),
        # One block after the other: errors tell the row.
        read_options=csv.ReadOptions(use_threads=False, block_size=block_bytes),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


def _wider(was: str, value: str) -> Any:
    """The type of a column whose first rows were of one type, and which holds another value too."""
    import pyarrow as pa

    kinds: tuple[tuple[Callable[[str], object], Any], ...] = (
        (("false", "true").index, pa.bool_()),
        (int, pa.int64()),
        (float, pa.float64()),
    )
    allowed = {"null": kinds, "int64": kinds[2:]}.get(was, ())
    for read, kind in allowed:
        try:
            read(value)
        except ValueError:
            continue
        return kind
    return pa.string()


def _feed_parquet(found: Range, begin: Callable[[Any], Callable[[Any], None]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    source = found.path if found.is_file else pa.BufferReader(found.read())
    with parquet.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False) as file:
        told = file.metadata
        size_bytes = sum(told.row_group(at).total_byte_size for at in range(told.num_row_groups))
        row_bytes = max(1, size_bytes // max(1, told.num_rows))
        take = begin(file.schema_arrow)
        for batch in file.iter_batches(batch_size=max(1, min(_BATCH_ROWS, _BATCH_BYTES // row_bytes))):
            take(batch)


def _feed_arrow(found: Range, begin: Callable[[Any], Callable[[Any], None]]) -> None:
    import pyarrow as pa

    with pa.memory_map(str(found.path)) if found.is_file else pa.BufferReader(found.read()) as source:
        try:
            file = pa.ipc.open_file(source)
        except pa.ArrowInvalid:
            source.seek(0)
            reader = pa.ipc.open_stream(source)
            schema, batches = reader.schema, iter(reader)
        else:
            schema = file.schema
            batches = (file.get_batch(at) for at in range(file.num_record_batches))
        take = begin(schema)
        for batch in batches:
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                take(batch.slice(start, _BATCH_ROWS))


def _feed_jsonl(found: Range, begin: Callable[[Any], Callable[[Any], None]]) -> None:
    """Twice: once for the columns and their types, which any later line may change; once for the values."""
    import pyarrow as pa

    kinds: dict[str, set[type]] = {}
    for rows in _json_rows(found):
        for row in rows:
            for name, value in row.items():
                kinds.setdefault(name, set()).add(_json_kind(value))
    if not kinds:
        raise Invalid("it has no line with a JSON object")
    plain = {name: _json_type(found) for name, found in kinds.items()}
    schema = pa.schema(
        [
            pa.field(name, plain[name] or pa.string(), metadata={} if plain[name] else {TYPE: _named(found)})
            for name, found in kinds.items()
        ]
    )
    take = begin(schema)
    for rows in _json_rows(found):
        columns = []
        for name in kinds:
            values = [row.get(name) for row in rows]
            if plain[name] is None:
                values = [None if value is None else json.dumps(value) for value in values]
            elif pa.types.is_float64(plain[name]):
                values = [None if value is None else float(value) for value in values]
            columns.append(pa.array(values, plain[name] or pa.string()))
        take(pa.record_batch(columns, schema=schema))


TYPE = b"mlwright.type"
"""In the metadata of a column that Arrow has no type for: what it holds, in words."""


def _json_rows(found: Range) -> Iterator[list[dict[str, Any]]]:
    """The objects of a JSON Lines file, some at a time."""
    rows: list[dict[str, Any]] = []
    size_bytes, number = 0, 0
    with found.path.open("rb") if found.is_file else io.BytesIO(found.read()) as file:
        while line := file.readline(_LARGEST_ROW_BYTES):
            number += 1
            if len(line) == _LARGEST_ROW_BYTES:
                raise Invalid(f"line {number} is longer than {_LARGEST_ROW_BYTES >> 20} MiB")
            if not line.strip():
                continue
            rows.append(_json_object(line.removeprefix(b"\xef\xbb\xbf"), number))
            size_bytes += len(line)
            if size_bytes >= _BLOCK_BYTES or len(rows) >= _BATCH_ROWS // 4:
                yield rows
                rows, size_bytes = [], 0
    if rows:
        yield rows


def _json_object(line: bytes, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except UnicodeDecodeError as error:
        raise Invalid(f"line {number} is not UTF-8 text", hint="save it as UTF-8") from error
    except ValueError as error:
        raise Invalid(f"line {number} is not JSON: {str(error).partition(':')[0]}") from error
    except RecursionError as error:
        raise Invalid(f"line {number} is nested too deeply") from error
    if not isinstance(row, dict):
        raise Invalid(
            f"line {number} is not a JSON object", hint='write one object a line: {"column": value}'
        )
    return row


def _json_kind(value: Any) -> type:
    if type(value) is int and not -(2**63) <= value < 2**63:
        return float
    return type(value)


def _json_type(kinds: set[type]) -> Any:
    """Arrow's type for what a column holds; None for objects, lists and mixtures."""
    import pyarrow as pa

    found = kinds - {type(None)}
    for wanted, kind in (
        (set(), pa.null()),
        ({bool}, pa.bool_()),
        ({int}, pa.int64()),
        ({int, float}, pa.float64()),
        ({str}, pa.string()),
    ):
        if found <= wanted:
            return kind
    return None


def _named(kinds: set[type]) -> str:
    found = kinds - {type(None)}
    if len(found) > 1:
        return "mixed"
    return "object" if found == {dict} else "list"


@contextmanager
def in_our_words(form: str) -> Iterator[None]:
    """Say what Arrow finds wrong with a file of a format as one of our errors, in one sentence."""
    import pyarrow as pa

    try:
        yield
    except UnicodeDecodeError as error:
        raise _not_utf8("it") from error
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowSerializationError) as error:
        raise _refusal(form, str(error)) from error
    except pa.ArrowIndexError as error:
        raise Corrupt(f"it is damaged, or no {form} file") from error
    except OSError as error:
        if error.errno is not None:
            raise  # the system's; without a number it is Parquet's word for pages that are damaged
        raise Corrupt(f"it is damaged, or no {form} file: {_first_line(str(error))}") from error


def _refusal(form: str, said: str) -> Invalid | Corrupt:
    said = _first_line(said)
    if form in {"parquet", "arrow"}:
        return Corrupt(f"it is damaged, or no {form} file: {said}")
    if "invalid UTF8" in said:
        column = re.search(r"column #(\d+)", said)
        return _not_utf8(f"column {int(column[1]) + 1}" if column else "it")
    if expected := re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", said):
        where = f"row {expected[1]}" if expected[1] else "a row"
        return Invalid(
            f"{where} has {expected[3]} cells, and there are {expected[2]} columns", hint=_ROW_HINT
        )
    if "straddling" in said:
        return Invalid(f"a row is longer than {_LARGEST_ROW_BYTES >> 20} MiB", hint="is a quote not closed?")
    return Invalid(f"it cannot be read as {form}: {said}")


def _not_utf8(what: str) -> Invalid:
    return Invalid(f"{what} is not UTF-8 text", hint="save the file as UTF-8")


def _first_line(said: str) -> str:
    return said.strip().partition("\n")[0][:200]
