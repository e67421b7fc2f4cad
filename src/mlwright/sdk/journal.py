"""The journal of an attempt: the files where a step's reports go, metrics as points, all else line by line.

A line is written whole by one call of the system, with no lock: nothing that a fork or a killed thread could
leave locked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from mlwright.kernel.errors import Unavailable, disk_full, is_disk_full
from mlwright.sdk.points import PointLog


class _Descriptor:
    """An open file, closed when the last thread that writes to it lets go: its number is never another's."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.number)


class Journal:
    """One attempt's journal. Nothing of it is on the disk before the first report.

    Args:
        head: a line that stands before all others, perhaps more than once; empty for none.
    """

    __slots__ = ("_closed", "_descriptor", "_head", "loops", "path", "points", "scratch")

    def __init__(self, path: Path | str, scratch: Path, head: bytes = b"") -> None:
        self.path = path
        self._head = head
        self.scratch = scratch
        self._descriptor: _Descriptor | None = None
        self._closed = False
        self.points = PointLog(path)
        self.loops: set[Callable[[], None]] = set()
        """What tells of each loop that has not ended: a loop outlives its step where an error holds it."""

    def write(self, lines: bytes) -> None:
        """Append whole lines; nothing happens when the attempt has ended."""
        descriptor = self._descriptor
        try:
            if descriptor is None:
                if self._closed:
                    return
                # Two threads may both open it: each writes to the end of the same file, and one is kept.
                descriptor = self._descriptor = self._open()
                lines = self._head + lines
            while lines:
                lines = lines[os.write(descriptor.number, lines) :]
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(Path(self.path)) from error
            raise

    def close(self) -> bool:
        """Hear the loops out, and let no thread that outlives the attempt write.

        Returns:
            Whether anything was reported, by a child too.
        """
        for tell in tuple(self.loops):
            with contextlib.suppress(OSError, Unavailable):  # a full disk was told where a report needed it
                tell()
        self._closed, written = True, self._descriptor is not None
        self._descriptor = None
        return self.points.close() or written or os.access(self.path, os.F_OK)

    def folder(self) -> Path:
        """A new folder for the bytes of what is logged."""
        from tempfile import mkdtemp  # 4 ms that a step which logs numbers only need not wait for

        logged = self.scratch / "logged"
        logged.mkdir(parents=True, exist_ok=True)
        return Path(mkdtemp(dir=logged))

    def _open(self) -> _Descriptor:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            return _Descriptor(os.open(self.path, flags, 0o644))
        except FileNotFoundError:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            return _Descriptor(os.open(self.path, flags, 0o644))
