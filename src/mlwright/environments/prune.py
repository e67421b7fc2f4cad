"""Taking away built environments that nobody needs: a later run builds them again."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct

from mlwright.environments.places import beside, is_whole
from mlwright.kernel.clock import now_us
from mlwright.kernel.files import locked

RECENT_US = 30 * 86_400_000_000
"""30 days: what a run has used since then stays."""
_SUFFIXES = {".new", ".old"}


class Unneeded(Struct, frozen=True):
    """A folder that can go.

    Args:
        place: where it is.
        why: `unused`: nothing needs it; `left over`: by a build that was killed, or `damaged`.
        used_us: when a run last used it, or when it was built; microseconds since 1970.
        bytes: what is free when it is gone.
        shared_bytes: what stays in uv's cache, to which its files are links, or in another environment.
    """

    place: Path
    why: Literal["unused", "left over"]
    used_us: int
    bytes: int
    shared_bytes: int


def unneeded(folder: Path, needed: Collection[Path], older_us: int) -> tuple[Unneeded, ...]:
    """The environments that nobody uses now, none of the project's names means, and no recent run used.

    Args:
        folder: where environments are built.
        needed: those that stay, however long ago they were used.
        older_us: how long ago the last use must be, in microseconds.
    """
    found = []
    freed: dict[tuple[int, int], int] = {}
    for place in sorted(folder.glob("*")) if folder.is_dir() else []:
        if not place.is_dir() or _is_busy(place):
            continue
        used_us = _used_us(place)
        if place.suffix in _SUFFIXES or not is_whole(place):
            why: Literal["unused", "left over"] = "left over"
        elif place in needed or used_us > now_us() - older_us:
            continue
        else:
            why = "unused"
        found.append(Unneeded(place, why, used_us, *_bytes(place, freed)))
    return tuple(found)


def prune(planned: Collection[Unneeded]) -> tuple[Unneeded, ...]:
    """Take away what was planned, unless somebody has begun to use it since.

    Returns:
        What is gone.
    """
    gone = []
    for each in planned:
        as_planned = _used_us(each.place) == each.used_us  # asked first: who takes it makes the file anew
        with _taken(_place_of(each.place)) as taken:
            if not taken or not as_planned:
                continue
            # At once out of the way: whoever is killed now leaves no half of an environment in its place.
            aside = each.place if each.place.suffix in _SUFFIXES else beside(each.place, ".old")
            if aside != each.place:
                shutil.rmtree(aside, ignore_errors=True)
                each.place.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
            gone.append(each)
    return tuple(gone)


def _place_of(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in _SUFFIXES else path


def _is_busy(path: Path) -> bool:
    """Whether it is being made, or used."""
    place = _place_of(path)
    try:
        for each in (beside(place, ".building"), beside(place, ".used")):
            if each.exists():
                with locked(each, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    pass
    except BlockingIOError:
        return True
    return False


@contextmanager
def _taken(place: Path) -> Iterator[bool]:
    """Keep others from making and using it, unless one of them is at it."""
    with ExitStack() as stack:
        try:
            for each in (beside(place, ".building"), beside(place, ".used")):
                stack.enter_context(locked(each, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def _used_us(place: Path) -> int:
    times = [0]
    for each in (place / "inventory.json", beside(place, ".used")):
        with suppress(FileNotFoundError):
            times.append(each.stat().st_mtime_ns // 1000)
    return max(times)


def _bytes(place: Path, seen: dict[tuple[int, int], int]) -> tuple[int, int]:
    """What is free when it is gone, and what is not, since other folders have the same files.

    Args:
        seen: how many links to each file are in folders that go too.
    """
    free = shared = 0
    for folder, _, names in os.walk(place):
        for name in names:
            found = Path(folder, name).lstat()
            key = (found.st_dev, found.st_ino)
            seen[key] = seen.get(key, 0) + 1
            if seen[key] == found.st_nlink:
                free += found.st_blocks * 512
            elif seen[key] == 1:
                shared += found.st_blocks * 512
    return free, shared
