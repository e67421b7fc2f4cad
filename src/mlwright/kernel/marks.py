"""Marks: a file that lies where something is made in a place of the user's own, as long as it is made.

By it, what somebody who was killed has left there is told from the user's own files.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from mlwright.kernel.errors import Conflict

_WORDS = b"mlwright is making something here. This file goes when that is done.\n"


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
        descriptor = _opened(mark, 0)
    except FileNotFoundError:
        return False
    try:
        return _is_ours(descriptor, mark)
    finally:
        os.close(descriptor)


@contextmanager
def marked(mark: Path) -> Iterator[Mark]:
    """Let a mark lie there while the block runs; a process that it starts may inherit it, and hold it longer.

    Raises:
        Conflict: as `left_over`.
    """
    descriptor = _opened(mark, os.O_CREAT)
    try:
        left = _is_ours(descriptor, mark)
        os.pwrite(descriptor, _WORDS, 0)
        try:
            yield Mark(descriptor, left)
        finally:
            mark.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _opened(mark: Path, create: int) -> int:
    """The file, locked; again, if its last owner has taken it away meanwhile."""
    while True:
        if mark.is_symlink() or (mark.exists() and not mark.is_file()):
            raise _taken(mark)
        descriptor = os.open(mark, os.O_RDWR | os.O_NOFOLLOW | create, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if mark.exists() and os.path.samestat(os.fstat(descriptor), mark.stat()):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise Conflict(
                "another process is making something there",
                where=str(mark),
                hint="wait until it has ended, then try again",
            ) from error
        os.close(descriptor)


def _is_ours(descriptor: int, mark: Path) -> bool:
    """Whether it was written; empty is one whose owner had not begun."""
    words = os.pread(descriptor, len(_WORDS) + 1, 0)
    if words not in {_WORDS, b""}:
        raise _taken(mark)
    return bool(words)


def _taken(mark: Path) -> Conflict:
    return Conflict(f"{mark} is there already", hint="name a new folder: --in DIR")
