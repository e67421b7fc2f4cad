"""Parts of tables that pyarrow reads: Parquet, Arrow files and Arrow streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from mlwright.sdk.parts import Columns, Part
from mlwright.sdk.table_files import in_our_words

_BATCH_ROWS = 65_536


class _Batches:
    """Rows in their order, taken so many at a time."""

    def __init__(self, batches: Iterable[Any], schema: Any) -> None:
        self._batches = iter(batches)
        self._schema = schema
        self._left: Any = None

    def take(self, rows: int) -> Any:
        """The next rows, as a table."""
        import pyarrow as pa

        taken = []
        while rows:
            batch = next(self._batches) if self._left is None else self._left
            taken.append(batch.slice(0, rows))
            self._left = batch.slice(rows) if batch.num_rows > rows else None
            rows -= taken[-1].num_rows
        return pa.Table.from_batches(taken, self._schema)


class _Columnar(ABC):
    """What the formats have in common."""

    typed = True
    _name: str

    def columns(self, source: IO[bytes]) -> list[str]:
        """Those of the schema."""
        with in_our_words(self._name):
            return list(self._schema(source).names)

    def parts(self, source: IO[bytes], file: str, rows: int) -> Iterator[Part]:
        """By the number of rows alone."""
        with in_our_words(self._name):
            total = self._rows(source)
        for first in range(0, total, rows):
            yield Part(file, first, min(rows, total - first))

    def read(self, source: IO[bytes], part: Part, names: Sequence[str]) -> dict[str, Any]:
        """Values as Python has them, by column."""
        import pyarrow as pa

        with in_our_words(self._name):
            schema = self._schema(source)
            wanted = [name for name in names if name in schema.names]
            batches = self._batches(source, part.first, wanted)
            table = _Batches(batches, pa.schema([schema.field(name) for name in wanted])).take(part.rows)
            return {"columns": {name: table.column(name).to_pylist() for name in wanted}}

    def write(
        self,
        source: IO[bytes],
        target: Path,
        parts: Iterable[tuple[Part, Columns]],
        kinds: Mapping[str, str],
        *,
        only: bool,
    ) -> None:
        """Parts as they were, with more columns: a row group, or a batch, for each."""
        import pyarrow as pa

        types = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "string": pa.string()}
        more = [pa.field(name, types[kind]) for name, kind in kinds.items()]
        with in_our_words(self._name):
            old = self._schema(source)
            schema = pa.schema(more) if only else pa.schema([*old, *more], metadata=old.metadata)
            there = _Batches(self._batches(source, 0, None), old)
            with self._writer(target, schema) as writer:
                for part, columns in parts:
                    kept = [] if only else there.take(part.rows).columns
                    made = [pa.array(columns[field.name], field.type) for field in more]
                    writer.write_table(pa.Table.from_arrays([*kept, *made], schema=schema))

    @abstractmethod
    def _schema(self, source: IO[bytes]) -> Any:
        """What Arrow calls its columns and their types."""

    @abstractmethod
    def _rows(self, source: IO[bytes]) -> int:
        """How many it has."""

    @abstractmethod
    def _batches(self, source: IO[bytes], first: int, names: Sequence[str] | None) -> Iterator[Any]:
        """Those from a row on; of these columns, or of all."""

    @abstractmethod
    def _writer(self, target: Path, schema: Any) -> AbstractContextManager[Any]:
        """What tables are written with."""


class Parquet(_Columnar):
    """Parquet; what is written is compressed with zstd."""

    _name = "parquet"

    def _schema(self, source: IO[bytes]) -> Any:
        return _parquet(source).schema_arrow

    def _rows(self, source: IO[bytes]) -> int:
        return int(_parquet(source).metadata.num_rows)

    def _batches(self, source: IO[bytes], first: int, names: Sequence[str] | None) -> Iterator[Any]:
        """From a row on: the row groups before it are not read, what is before it in its own is dropped."""
        file = _parquet(source)
        group, groups = 0, file.metadata.num_row_groups
        while group < groups and first >= file.metadata.row_group(group).num_rows:
            first -= file.metadata.row_group(group).num_rows
            group += 1
        found = file.iter_batches(
            batch_size=_BATCH_ROWS,
            row_groups=list(range(group, groups)),
            columns=None if names is None else list(names),
        )
        return _from(first, found)

    def _writer(self, target: Path, schema: Any) -> AbstractContextManager[Any]:
        from pyarrow import parquet

        writer: AbstractContextManager[Any] = parquet.ParquetWriter(target, schema, compression="zstd")
        return writer


class Arrow(_Columnar):
    """Arrow's files and streams; what is written is a file."""

    _name = "arrow"

    def _schema(self, source: IO[bytes]) -> Any:
        with _arrow(source) as (schema, _):
            return schema

    def _rows(self, source: IO[bytes]) -> int:
        with _arrow(source) as (_, batches):
            return sum(batch.num_rows for batch in batches)

    def _batches(self, source: IO[bytes], first: int, names: Sequence[str] | None) -> Iterator[Any]:
        with _arrow(source) as (_, batches):
            for batch in _from(first, batches):
                yield batch if names is None else batch.select(list(names))

    def _writer(self, target: Path, schema: Any) -> AbstractContextManager[Any]:
        import pyarrow as pa

        writer: AbstractContextManager[Any] = pa.ipc.new_file(target, schema)
        return writer


def _from(first: int, batches: Iterable[Any]) -> Iterator[Any]:
    """Without the first rows."""
    for batch in batches:
        dropped = min(first, batch.num_rows)
        first -= dropped
        if batch.num_rows > dropped:
            yield batch.slice(dropped)


def _parquet(source: IO[bytes]) -> Any:
    from pyarrow import parquet

    source.seek(0)
    return parquet.ParquetFile(source, pre_buffer=False)


@contextmanager
def _arrow(source: IO[bytes]) -> Iterator[tuple[Any, Iterator[Any]]]:
    import pyarrow as pa

    source.seek(0)
    try:
        file = pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        reader = pa.ipc.open_stream(source)
        yield reader.schema, iter(reader)
    else:
        yield file.schema, (file.get_batch(at) for at in range(file.num_record_batches))
