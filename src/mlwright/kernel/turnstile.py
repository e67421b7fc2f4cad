"""A turnstile before the one write lock of a file: who has just written does not overtake those who wait.

SQLite's own waiting is asking again, in ever longer pauses: who asks at the right moment has the lock, and of
many writers some wait for ever. Here one of those who wait is the next, and asks often; all others ask to be
that.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_S = 0.003


class Turnstile:
    """A file beside the database that is locked by whoever is the next.

    Where it cannot be made, nothing is waited for: the database itself says then what is wrong with the disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}-next")
        self._file = -1

    @contextmanager
    def passing(self, within_s: float) -> Iterator[bool]:
        """Be the next while the block takes the lock itself; yields False when that was not to be in time."""
        if (file := self._opened()) < 0:
            yield True
            return
        until = time.monotonic() + within_s
        while not (mine := _locked(file)) and time.monotonic() < until:
            time.sleep(_PAUSE_S)
        try:
            yield mine
        finally:
            if mine:
                fcntl.flock(file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file, which stays."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _opened(self) -> int:
        if self._file < 0:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError:
                return -1
        return self._file


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
