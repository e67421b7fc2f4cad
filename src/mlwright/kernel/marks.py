"""Marks: a file that lies where something is made in a place of the user's own, as long as it is made.

By it, what somebody who was killed has left there is told from the user's own files.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from mlwright.kernel.errors import Conflict

_WORDS = b"mlwright is making something here. This file goes when that is done.\n"
_BEGINNING_S = 0.5
"""How long whoever has made the file may take to say so in it."""
_PAUSE_S = 0.01


class Mark(Struct, frozen=True):
    """A mark that is held.

    Args:
        descriptor: of the file, which is locked.
        left_over: it lay there before: what is beside it was made by somebody who lives no more.
    """

    descriptor: int
    left_over: bool


def left_over(mark: Path) -> bool:
    """Whether somebody who lives no more was making something where a mark lies.

    Raises:
        Conflict: it is being made now, or the file is somebody else's.
    """
    try:
        descriptor, _ = _locked(mark, create=False)
    except FileNotFoundError:
        return False
    os.close(descriptor)
    return True


@contextmanager
def marked(mark: Path) -> Iterator[Mark]:
    """Let a mark lie there while the block runs; a process that it starts may inherit it, and hold it longer.

    Raises:
        Conflict: as `left_over`.
    """
    descriptor, is_new = _locked(mark, create=True)
    try:
        if is_new:
            os.pwrite(descriptor, _WORDS, 0)
        try:
            yield Mark(descriptor, not is_new)
        finally:
            mark.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _locked(mark: Path, *, create: bool) -> tuple[int, bool]:
    """The file, locked, and whether this call made it; again, if its last owner has taken it away meanwhile.

    Whoever is faster than the one that makes it finds it empty, and lets go of it at once.
    """
    until = time.monotonic() + _BEGINNING_S
    while True:
        if mark.is_symlink() or (mark.exists() and not mark.is_file()):
            raise _taken(mark)
        descriptor, is_new = _opened(mark, create=create)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if is_new else fcntl.LOCK_NB))
            there = mark.exists() and os.path.samestat(os.fstat(descriptor), mark.stat())
            if there and (is_new or _is_written(descriptor, mark, until)):
                return os.dup(descriptor), is_new
        except BlockingIOError as error:
            raise Conflict(
                "another process is making something there",
                where=str(mark),
                hint="wait until it has ended, then try again",
            ) from error
        finally:
            os.close(descriptor)
        time.sleep(_PAUSE_S)


def _opened(mark: Path, *, create: bool) -> tuple[int, bool]:
    while create:
        try:
            return os.open(mark, os.O_RDWR | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            with suppress(FileNotFoundError):  # gone by now
                return os.open(mark, os.O_RDWR | os.O_NOFOLLOW), False
    return os.open(mark, os.O_RDWR | os.O_NOFOLLOW), False


def _is_written(descriptor: int, mark: Path, until: float) -> bool:
    """Whether it says that it is a mark; an empty one may soon, or is the user's own."""
    words = os.pread(descriptor, len(_WORDS) + 1, 0)
    if words not in {_WORDS, b""}:
        raise _taken(mark)
    if not words and time.monotonic() > until:
        raise Conflict(
            f"{mark} is there already, and says nothing",
            hint="remove it if it is not yours: who made something there was killed; or name a new folder",
        )
    return bool(words)


def _taken(mark: Path) -> Conflict:
    return Conflict(f"{mark} is there already", hint="name a new folder: --in DIR")
