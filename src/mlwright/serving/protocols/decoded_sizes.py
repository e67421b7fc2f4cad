"""How large a Parquet file or an Arrow stream becomes, read from its headers before anything is decoded.

Both may be compressed, and what their metadata say of that need not be so. What a decoder goes by are the
headers of the single pages and buffers: these are added up here.

Source: Apache Parquet, src/main/thrift/parquet.thrift (PageHeader); Apache Thrift, the compact protocol;
Apache Arrow, format/Message.fbs (RecordBatch, BodyCompression); FlatBuffers, internals.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from mlwright.serving.problems import Problem

_MAX_DEPTH, _MAX_FIELDS = 8, 32
MAX_PIECES = 10_000
"""So many pages or messages are looked at, which is far more than so small a table has."""
_DELTA_BYTE_ARRAY = 7
_STRUCTS_OF_A_DATA_PAGE = {5: 2, 8: 4}
"""By the field of a page's header where it lies: the field of its encoding."""
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2


def parquet_bytes(body: bytes, metadata: Any) -> int:
    """How many bytes the pages of a Parquet file decode to.

    Args:
        metadata: of the file, as pyarrow read it.

    Raises:
        Problem: 400, the pages are not where the metadata say, or have an encoding without a bound.
    """
    total = pages = 0
    _hold_pieces(metadata.num_row_groups * metadata.num_columns)
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for at in range(row_group.num_columns):
            chunk = row_group.column(at)
            start = chunk.data_page_offset
            if chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            for size in _pages(memoryview(body), start, start + chunk.total_compressed_size):
                total, pages = total + size, pages + 1
                _hold_pieces(pages)
    return total


def arrow_rows_and_bytes(metadata: bytes, body: memoryview) -> tuple[int, int]:
    """How many rows a message of an Arrow stream holds, and how many bytes its buffers decode to.

    Args:
        metadata: of the message, a FlatBuffer.
        body: of the message.

    Raises:
        struct.error: it is none.
    """
    message = _u32(metadata, 0)
    kind = metadata[at] if (at := _field(metadata, message, 1)) else 0
    batch = _table(metadata, message, 2)
    if kind == _DICTIONARY_BATCH:
        batch = _table(metadata, batch, 1)
    elif kind != _RECORD_BATCH:
        return 0, 0
    at = _field(metadata, batch, 0)
    (rows,) = struct.unpack_from("<q", metadata, at) if at else (0,)
    if not _field(metadata, batch, 3):
        return rows, len(body)
    total = 0
    buffers = _table(metadata, batch, 2)
    for index in range(_u32(metadata, buffers)):
        offset, length = struct.unpack_from("<qq", metadata, buffers + 4 + 16 * index)
        if length:
            (size,) = struct.unpack_from("<q", body, offset)
            total += length if size < 0 else size
    return rows, total


def _hold_pieces(count: int) -> None:
    if count > MAX_PIECES:
        raise Problem(413, f"the table is in more than {MAX_PIECES} pieces: write it as one")


def _pages(body: memoryview, at: int, end: int) -> Iterator[int]:
    """What the pages of one column chunk decode to."""
    broken = Problem(400, "the body is not Parquet: its pages are not where its metadata say")
    if not 0 <= at <= end <= len(body):
        raise broken
    while at < end:
        try:
            header, length = _Compact(body, at).read()
            decoded, encoded = header[2], header[3]
        except (IndexError, KeyError, ValueError):
            raise broken from None
        for field, encoding in _STRUCTS_OF_A_DATA_PAGE.items():
            page = header.get(field)
            if isinstance(page, dict) and page.get(encoding) == _DELTA_BYTE_ARRAY:
                raise Problem(
                    400,
                    "the encoding DELTA_BYTE_ARRAY is not taken: write the table with the default encoding",
                )
        if type(decoded) is not int or type(encoded) is not int or min(decoded, encoded) < 0:
            raise broken
        yield decoded
        at += length + encoded


class _Compact:
    """Reads one struct of Thrift's compact protocol: numbers and structs, and passes over texts.

    Lists, sets and maps are refused: the header of a page has none.

    Args:
        body: where it stands.
        at: where it begins.
    """

    def __init__(self, body: memoryview, at: int) -> None:
        self._body = body
        self._start = self._at = at

    def read(self) -> tuple[dict[int, Any], int]:
        """The fields by their ids, and how many bytes they took.

        Raises:
            IndexError: the body ends before.
            ValueError: it is none.
        """
        return self._struct(0), self._at - self._start

    def _struct(self, depth: int) -> dict[int, Any]:
        if depth > _MAX_DEPTH:
            raise ValueError("too deep")
        fields: dict[int, Any] = {}
        last = 0
        while head := self._byte():
            if len(fields) == _MAX_FIELDS:
                raise ValueError("too many fields")
            last = last + (head >> 4) if head >> 4 else self._signed()
            fields[last] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2:  # true and false
                return kind == 1
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                return self._skip(8)
            case 8:
                return self._skip(self._varint())
            case 12:
                return self._struct(depth + 1)
        raise ValueError(f"no type: {kind}")

    def _byte(self) -> int:
        self._at += 1
        return self._body[self._at - 1]

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._body):
            raise IndexError

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("too long")

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _u32(buffer: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", buffer, at)[0])


def _field(buffer: bytes, table: int, index: int) -> int:
    """Where a field of a FlatBuffer's table lies; 0 if it has none."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    if vtable < 0 or 4 + 2 * index >= struct.unpack_from("<H", buffer, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", buffer, vtable + 4 + 2 * index)[0]
    return table + offset if offset else 0


def _table(buffer: bytes, table: int, index: int) -> int:
    """Where the table or vector begins that a field refers to."""
    at = _field(buffer, table, index)
    if not at:
        raise struct.error("a field is missing")
    return at + _u32(buffer, at)
