"""Parts of tables that are text: CSV, TSV, JSON Lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.parts import Columns, Part

_PART_BYTES = 64 << 20
"""A part of fewer rows ends here."""
_MARK = b"\xef\xbb\xbf"
_HINT = "write that row with as many cells as there are columns, or put quotes around a cell with commas"


class Delimited:
    """CSV, or TSV. Source: RFC 4180. An empty line is no row."""

    typed = False

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter

    def columns(self, source: IO[bytes]) -> list[str]:
        """The cells of the first line."""
        source.seek(0)
        header = next(self._records(source), b"")
        if not header:
            raise Invalid("it is empty", hint="a table begins with a line of column names")
        names = next(iter(self._cells(header, "its first line")))
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise Invalid(f"it has two columns `{twice[0]}`", hint="give each column a name of its own")
        return names

    def parts(self, source: IO[bytes], file: str, rows: int) -> Iterator[Part]:
        """Cut at line ends that are none of a quoted cell."""
        source.seek(0)
        return _cut(self._records(source), file, rows, heading=True)

    def read(self, source: IO[bytes], part: Part, names: Sequence[str]) -> dict[str, Any]:
        """Cells as texts, by column."""
        header = self.columns(source)
        source.seek(part.start)
        rows = self._cells(source.read(part.size_bytes), f"the {part.rows} rows from row {part.first}")
        cells: dict[str, list[str]] = {name: [] for name in names if name in header}
        wanted = [(each.append, header.index(name)) for name, each in cells.items()]
        for at, row in enumerate(rows):
            if len(row) != len(header):
                told = f"row {part.first + at} has {len(row)} cells, and there are {len(header)} columns"
                raise Invalid(told, hint=_HINT)
            for append, place in wanted:
                append(row[place])
        return {"columns": cells}

    def write(
        self,
        source: IO[bytes],
        target: Path,
        parts: Iterable[tuple[Part, Columns]],
        kinds: Mapping[str, str],
        *,
        only: bool,
    ) -> None:
        """Each line as it was, with more cells behind it."""

        def joined(record: bytes, values: Iterable[Any]) -> bytes:
            line = record.rstrip(b"\r\n")
            cells = self._delimiter.join(map(self._cell, values)).encode()
            before = b"" if only else line + self._delimiter.encode()
            return before + (cells or b'""') + (record[len(line) :] or b"\n")

        source.seek(0)
        records = self._records(source)
        with target.open("wb") as out:
            out.write(joined(next(records), kinds))
            _write(out, records, parts, joined)

    def _records(self, source: IO[bytes]) -> Iterator[bytes]:
        """Each line, or what a quoted cell makes of several, with its end; none that is empty."""
        for line in source:
            if b'"' in line:
                yield self._quoted(chain([line], source))
            elif line.strip(b"\r\n"):
                yield line

    def _quoted(self, lines: Iterator[bytes]) -> bytes:
        taken: list[bytes] = []

        def told() -> Iterator[str]:
            for line in lines:
                taken.append(line)
                yield line.decode("utf-8", "replace")

        try:
            next(csv.reader(told(), delimiter=self._delimiter, strict=True), None)
        except csv.Error as error:
            shown = taken[0].decode("utf-8", "replace").strip()[:60]
            raise Invalid(f"the line that begins {shown!r} is not CSV: {error}") from error
        return b"".join(taken)

    def _cells(self, data: bytes, what: str) -> Iterator[list[str]]:
        try:
            text = str(data, "utf-8-sig" if data.startswith(_MARK) else "utf-8")
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter, strict=True)
            yield from filter(None, reader)
        except UnicodeDecodeError as error:
            raise Invalid(f"{what}: not UTF-8 text", hint="save the file as UTF-8") from error
        except csv.Error as error:
            raise Invalid(f"{what}: not CSV: {error}") from error

    def _cell(self, value: Any) -> str:
        if type(value) is float:
            return repr(value)
        if value is None:
            return ""
        text = value if isinstance(value, str) else json.dumps(value)
        if any(letter in text for letter in (self._delimiter, '"', "\r", "\n")):
            return '"' + text.replace('"', '""') + '"'
        return text


class JsonLines:
    """An object on each line; an empty line is no row. Source: jsonlines.org."""

    typed = True

    def columns(self, source: IO[bytes]) -> list[str]:
        """None: each object has its own."""
        return []

    def parts(self, source: IO[bytes], file: str, rows: int) -> Iterator[Part]:
        """Cut at line ends."""
        source.seek(0)
        return _cut(_lines(source), file, rows)

    def read(self, source: IO[bytes], part: Part, names: Sequence[str]) -> dict[str, Any]:
        """Rows, each with what it has of these columns."""
        source.seek(part.start)
        lines = _lines(io.BytesIO(source.read(part.size_bytes)))
        rows = (_object(line, part.first + at) for at, line in enumerate(lines))
        return {"rows": [{name: row[name] for name in names if name in row} for row in rows]}

    def write(
        self,
        source: IO[bytes],
        target: Path,
        parts: Iterable[tuple[Part, Columns]],
        kinds: Mapping[str, str],
        *,
        only: bool,
    ) -> None:
        """Each object as it was, with more behind what it has."""
        number = -1

        def joined(line: bytes, values: Iterable[Any]) -> bytes:
            nonlocal number
            number += 1
            made = json.dumps(dict(zip(kinds, values, strict=True)), ensure_ascii=False).encode()
            if only:
                return made + b"\n"
            there = _object(line, number)
            if taken := sorted(there.keys() & kinds.keys()):
                raise column_taken(taken[0])
            return line.rstrip().removesuffix(b"}").rstrip() + (b", " if there else b"") + made[1:] + b"\n"

        source.seek(0)
        with target.open("wb") as out:
            _write(out, _lines(source), parts, joined)


def column_taken(name: str) -> Invalid:
    """A new column has the name of one that is there."""
    return Invalid(
        f"it has a column `{name}` already", hint="write the predictions alone: --only-predictions"
    )


def _cut(records: Iterable[bytes], file: str, most: int, *, heading: bool = False) -> Iterator[Part]:
    at = first = rows = start = 0
    for record in records:
        at += len(record)
        if heading:
            heading, start = False, at
            continue
        rows += 1
        if rows == most or at - start >= _PART_BYTES:
            yield Part(file, first, rows, start, at - start)
            first, rows, start = first + rows, 0, at
    if rows:
        yield Part(file, first, rows, start, at - start)


def _write(
    out: IO[bytes],
    records: Iterator[bytes],
    parts: Iterable[tuple[Part, Columns]],
    joined: Callable[[bytes, Iterable[Any]], bytes],
) -> None:
    for _, columns in parts:
        # The values first: where they end, no record is taken.
        for values, record in zip(zip(*columns.values(), strict=True), records, strict=False):
            out.write(joined(record, values))


def _lines(source: IO[bytes]) -> Iterator[bytes]:
    return (line for line in source if line.strip())


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line.removeprefix(_MARK))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"row {number} is not JSON") from error
    if not isinstance(row, dict):
        raise Invalid(f"row {number} is not a JSON object", hint='write one object a line: {"column": value}')
    return row
