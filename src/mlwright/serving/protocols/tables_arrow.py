"""Tables in Arrow's formats: streams, files and Parquet, by pyarrow where the model's environment has it.

They come from anybody, and are small: rows and what they decode to are counted before they are decoded, no
text is made more than once, and the decoded table is validated before a value of it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlwright.serving.problems import Fault, Problem
from mlwright.serving.protocols.decoded_sizes import MAX_PIECES, arrow_rows_and_bytes, parquet_bytes
from mlwright.serving.validation import Validator
from mlwright.serving.walk import Columns

ARROW_STREAM = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"
_FILE_BEGINS = b"ARROW1\0\0"
_MOST_THRIFT = 2**20
"""Of texts and lists in the metadata of a Parquet file."""


def read_arrow(body: bytes, validator: Validator, max_rows: int, max_bytes: int) -> Columns:
    """The columns of an Arrow stream or of an Arrow file, which is a stream between two marks.

    Args:
        max_rows: how many rows one request may hold.
        max_bytes: how large the table may be when it is decoded.

    Raises:
        Problem: 400 for what is none, 413 for what decodes to more, 415 without pyarrow, 422 for what does
            not fit the model.
    """
    pyarrow = _pyarrow()
    with _refused(pyarrow, "Arrow"):
        stream = pyarrow.py_buffer(body)
        if body.startswith(_FILE_BEGINS):
            stream = stream.slice(len(_FILE_BEGINS))
        _hold_messages(pyarrow, stream, max_rows, max_bytes)
        with pyarrow.ipc.open_stream(stream) as reader:
            places = validator.placed(reader.schema.names)
            _hold_types(pyarrow, [reader.schema.field(at) for at in places])
            table = reader.read_all()
    return _columns(pyarrow, table, places, validator, max_bytes)


def read_parquet(
    body: bytes,
    validator: Validator,
    max_rows: int,
    max_bytes: int,
    *,
    ignore_unknown: bool | None = None,
) -> Columns:
    """The columns of a Parquet file; else as `read_arrow`.

    Args:
        ignore_unknown: whether other columns are passed over; as for all requests, unless it is said.
    """
    pyarrow = _pyarrow()
    with _refused(pyarrow, "Parquet"):
        from pyarrow import parquet

        limits = {"thrift_string_size_limit": _MOST_THRIFT, "thrift_container_size_limit": _MOST_THRIFT}
        file = parquet.ParquetFile(pyarrow.BufferReader(body), **limits)
        names = file.schema_arrow.names
        places = validator.placed(names, ignore_unknown=ignore_unknown)
        _hold_types(pyarrow, [file.schema_arrow.field(at) for at in places])
        rows = sum(file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups))
        if not rows:
            return validator.checked([()] * len(places))
        _hold_size(rows, max_rows, parquet_bytes(body, file.metadata), max_bytes)
        # A text that stands once in the dictionary of a column is made once, however often it is meant.
        texts = [field.name for field in file.schema_arrow if _is_text(pyarrow, field.type)]
        file = parquet.ParquetFile(pyarrow.BufferReader(body), read_dictionary=texts, **limits)
        # As written: `columns` chooses, and keeps the order of the file.
        table = file.read(columns=[names[at] for at in places], use_threads=False)
        places = [table.schema.names.index(names[at]) for at in places]
    return _columns(pyarrow, table, places, validator, max_bytes)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise Problem(
            415,
            "tables of Arrow and Parquet need pyarrow in the model's environment, which does not have it:"
            " send JSON or CSV, or add it with: mlwright environments add pyarrow",
        ) from None
    return pyarrow


@contextmanager
def _refused(pyarrow: Any, format_name: str) -> Iterator[None]:
    """Turn what a decoder says of bytes that it cannot read into a 400."""
    try:
        yield
    except (pyarrow.ArrowException, OSError, EOFError, ValueError, MemoryError, struct.error) as error:
        first = str(error).partition("\n")[0][:200]
        raise Problem(400, f"the body is not {format_name}: {first or type(error).__name__}") from None


def _hold_messages(pyarrow: Any, stream: Any, max_rows: int, max_bytes: int) -> None:
    source = pyarrow.BufferReader(stream)
    rows = size = 0
    for _ in range(MAX_PIECES):
        try:
            message = pyarrow.ipc.read_message(source)
        except EOFError:
            return
        if message.type not in {"schema", "dictionary", "record batch"}:
            raise Problem(400, f"the body is not Arrow: a message of it is a {message.type}")
        body = memoryview(message.body if message.body is not None else b"")
        more_rows, more_bytes = arrow_rows_and_bytes(message.metadata.to_pybytes(), body)
        rows += more_rows if message.type == "record batch" else 0
        size += more_bytes
        _hold_size(rows, max_rows, size, max_bytes)
    raise Problem(413, f"the table is in more than {MAX_PIECES} pieces: write it as one")


def _hold_size(rows: int, max_rows: int, size: int, max_bytes: int) -> None:
    if rows > max_rows:
        raise Problem(422, faults=[Fault(f"holds {rows} rows, and one request may ask for {max_rows}")])
    if size > max_bytes:
        raise Problem(
            413, f"the table decodes to {size} bytes, and a request may hold {max_bytes}: send fewer rows"
        )


def _hold_types(pyarrow: Any, fields: Any) -> None:
    """Only what a column of a model can be: numbers, true and false, text; and dictionaries of these."""
    for field in fields:
        kind = field.type
        plain = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
        if not (_is_text(pyarrow, plain) or _is_plain(pyarrow, plain)):
            said = f"has Arrow's type {str(kind)[:60]}, and must be numbers, true and false, or text"
            raise Problem(422, faults=[Fault(said, field=field.name)])


def _is_text(pyarrow: Any, kind: Any) -> bool:
    types = pyarrow.types
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_plain(pyarrow: Any, kind: Any) -> bool:
    types = pyarrow.types
    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind)
    )


def _columns(
    pyarrow: Any, table: Any, places: Sequence[int], validator: Validator, max_bytes: int
) -> Columns:
    with _refused(pyarrow, "a table"):
        table.validate(full=True)
        columns = [_values(pyarrow, table.column(at), max_bytes) for at in places]
    return validator.checked(columns)


def _values(pyarrow: Any, column: Any, max_bytes: int) -> Any:
    """The values of a column, as an array where none is missing and it has numbers."""
    if pyarrow.types.is_dictionary(column.type):
        values: list[Any] = []
        if sum(chunk.dictionary.nbytes for chunk in column.chunks) > max_bytes:
            raise Problem(413, "the dictionaries of a column are too large: send fewer rows")
        for chunk in column.chunks:
            indices = chunk.indices.to_pylist()
            words = {at: None if at is None else chunk.dictionary[at].as_py() for at in set(indices)}
            values += [words[at] for at in indices]
        return values
    if column.null_count or _is_text(pyarrow, column.type) or pyarrow.types.is_null(column.type):
        return column.to_pylist()
    return column.to_numpy()
