"""Journals: what an attempt reports while it runs; metrics as points, all else as lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlwright.tracking.point_files import PointFiles
from mlwright.tracking.points import Points


class Metric(Struct, frozen=True):
    """A value of a metric. `value` may be NaN."""

    name: str
    value: float
    step: int
    at_us: int


class Series(Struct, frozen=True):
    """Values that a metric had, in the order in which one process of the attempt told them."""

    name: str
    points: Points


class Param(Struct, frozen=True):
    """A setting that a step told of. `value` is a JSON value."""

    name: str
    value: Any
    at_us: int


class LoggedArtifact(Struct, frozen=True):
    """Bytes that a step logged; they are complete, at a path that is kept until they are taken.

    Args:
        name: a relative path, as `plots/roc.png`; of one name, the last counts.
        type_text: the type of the value, as `pandas.DataFrame`.
        about: what its codec tells of it: rows, columns, a file's name.
    """

    name: str
    path: Path
    codec: str
    type_text: str
    about: dict[str, Any]
    at_us: int


class Progress(Struct, frozen=True):
    """How far a loop of a step is. `total` is None where nobody knows."""

    done: int
    total: int | None
    what: str
    at_us: int


Entry = Metric | Series | Param | LoggedArtifact | Progress


class JournalReader:
    """Reads a journal while it is written.

    Args:
        path: the journal; there may be none yet, or never.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._offset = 0
        self._points = PointFiles(path)

    def read(self) -> list[Entry]:
        """What is new since the last call: lines in their order, then points.

        A last line without its end waits, as does a point that is not whole. What is damaged is left out.
        """
        data = _lines(self._path, self._offset)
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [*_entries(whole), *_series(self._points)]


def read_journal(path: Path) -> list[Entry]:
    """All that an attempt reported, when nobody writes any more; what is damaged is left out."""
    return [*_entries(_lines(path)), *_series(PointFiles(path))]


def node_of(path: Path) -> str:
    """Whose journal it is, as its head says; empty where it has none."""
    for line in _lines(path).splitlines():
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            return _name(json.loads(line)["node"])
    return ""


def _lines(path: Path | str, offset: int = 0) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - most journals are never read: no Path is made
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""


def _series(files: PointFiles) -> Iterator[Series]:
    return (Series(name, points) for name, points in files.read())


def _entries(lines: bytes) -> list[Entry]:
    # Ours are ASCII; a damaged byte becomes a lone surrogate, which no name may hold.
    text = lines.decode("ascii", "surrogateescape")
    return [entry for line in text.split("\n") if line and (entry := _entry(line)) is not None]


def _entry(line: str) -> Entry | None:
    """What a line says; None for one that is not ours: the file lies where the user's code may write."""
    try:
        told = json.loads(line)
        for kind, read in _KINDS:
            if kind in told:
                return read(told)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def _param(told: dict[str, Any]) -> Param:
    return Param(_name(told["param"]), told["value"], _whole(told["at_us"]))


def _artifact(told: dict[str, Any]) -> LoggedArtifact:
    return LoggedArtifact(
        _name(told["artifact"]),
        Path(_text(told["path"])),
        _text(told["codec"]),
        _text(told["type"]),
        dict(told["about"]),
        _whole(told["at_us"]),
    )


def _progress(told: dict[str, Any]) -> Progress:
    total = None if told["total"] is None else _whole(told["total"])
    return Progress(_whole(told["progress"]), total, _text(told["what"]), _whole(told["at_us"]))


_KINDS: tuple[tuple[str, Callable[[dict[str, Any]], Entry]], ...] = (
    ("progress", _progress),
    ("param", _param),
    ("artifact", _artifact),
)


def _name(value: Any) -> str:
    """Text that a database can hold: with no lone surrogate in it."""
    _text(value).encode()
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise TypeError(value)
    return value
