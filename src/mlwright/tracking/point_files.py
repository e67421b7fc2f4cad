"""Files of points, read while the processes of an attempt write them; `sdk/points.py` says how they look."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO
from zlib import crc32

from mlwright.sdk.points import NAME, OF_A_NAME, PIECE_BYTES, SLOT_BYTES, points_path
from mlwright.tracking.points import Points

_WINDOW_BYTES = 1 << 21
_MOST_PENDING = 1 << 12
_BODY = Struct("4x28s")


class PointFiles:
    """The points of an attempt, as all its processes wrote them.

    Args:
        journal: the attempt's journal; the points lie beside it.
    """

    def __init__(self, journal: Path | str) -> None:
        self._journal = journal
        self._files: list[_PointFile] = []

    def read(self) -> Iterator[tuple[str, Points]]:
        """What is new since the last call, by metric: of one process after the other, in the order it has."""
        number = 0
        while True:
            if number == len(self._files):
                self._files.append(_PointFile(points_path(self._journal, number)))
            try:
                found = self._files[number].read()
            except FileNotFoundError:
                return
            yield from found.items()
            number += 1


class _PointFile:
    """The points of one process.

    A slot counts once its checksum is right. One that is not, before others that are, is looked at again: a
    thread may have been stopped before it wrote. A name is written before its points, and so found with them.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0
        self._pending: list[int] = []
        self._names: dict[int, str] = {}
        self._pieces: dict[int, dict[int, bytes]] = {}

    def read(self) -> dict[str, Points]:
        """What is new since the last call, by metric."""
        found: dict[str, Points] = {}
        with open(self._path, "rb") as file:  # noqa: PTH123 - read twice a second: no Path is made
            self._look_again(file, found)
            at = self._offset
            while data := _read(file, at, _WINDOW_BYTES):
                if slots := -(-len(data.rstrip(b"\0")) // SLOT_BYTES):
                    self._wait_for(range(self._offset, at, SLOT_BYTES))
                    self._offset = at + slots * SLOT_BYTES
                    self._take(file, data[: slots * SLOT_BYTES], at, found)
                at += len(data)
        return found

    def _wait_for(self, places: Iterable[int]) -> None:
        self._pending = [*self._pending, *places][-_MOST_PENDING:]

    def _look_again(self, file: BinaryIO, found: dict[str, Points]) -> None:
        pending, self._pending = self._pending, []
        for at in pending:
            if data := _read(file, at, SLOT_BYTES):  # else somebody has cut the file off
                self._take(file, data, at, found)

    def _take(self, file: BinaryIO, data: bytes, begin: int, found: dict[str, Points]) -> None:
        """Read slots, column by column."""
        places = range(begin, begin + len(data), SLOT_BYTES)
        halves, whole = array("I", data), array("q", data)
        sums, keys = halves[0::8].tolist(), halves[1::8]
        right = list(map(crc32, [body for (body,) in _BODY.iter_unpack(data)], places))
        columns = Points(whole[1::4], whole[2::4], array("d", data)[3::4])
        if sums == right and keys[0] in self._names and keys.count(keys[0]) == len(keys):
            _extend(found, self._names[keys[0]], columns)
            return
        rows: dict[int, list[int]] = {}
        waiting: list[int] = []
        for row, (key, given, computed) in enumerate(zip(keys, sums, right, strict=True)):
            if given != computed or not key:
                waiting.append(places[row])
            elif key >= OF_A_NAME:
                self._learn(data[row * SLOT_BYTES + 4 : (row + 1) * SLOT_BYTES])
            else:
                rows.setdefault(key, []).append(row)
        self._wait_for(waiting)
        if not rows.keys() <= self._names.keys():
            self._look_again(file, found)
        for key, picked in rows.items():
            if key in self._names:
                _extend(found, self._names[key], _picked(columns, picked))

    def _learn(self, body: bytes) -> None:
        """A piece of a name; with the last of them the name is known."""
        key, piece, length, text = NAME.unpack(body)
        pieces = self._pieces.setdefault(key - OF_A_NAME, {})
        pieces[piece] = text
        wanted = range(-(-length // PIECE_BYTES))
        if all(each in pieces for each in wanted):
            try:
                name = b"".join(pieces[each] for each in wanted)[:length].decode()
            except UnicodeDecodeError:  # whoever wrote this, it was not us
                return
            if name and "\0" not in name:
                self._names[key - OF_A_NAME] = name


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    """Whole slots; the last one of a file that was cut off is filled up with zeros."""
    file.seek(at)
    data = file.read(size)
    return data + bytes(-len(data) % SLOT_BYTES)


def _picked(points: Points, rows: list[int]) -> Points:
    steps, at_us, values = points.steps, points.at_us, points.values
    return Points([steps[row] for row in rows], [at_us[row] for row in rows], [values[row] for row in rows])


def _extend(found: dict[str, Points], name: str, more: Points) -> None:
    points = found.setdefault(name, Points())
    points.steps.extend(more.steps)
    points.at_us.extend(more.at_us)
    points.values.extend(more.values)
