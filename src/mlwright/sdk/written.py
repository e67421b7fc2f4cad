"""Which files of a folder a script wrote: what the folder held before, compared with what it holds after."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

NEVER_OUTPUTS = frozenset({"__pycache__", ".ipynb_checkpoints"})
"""Folders whose content nobody meant to keep."""

_COARSE_CLOCK = 5  # CLOCK_REALTIME_COARSE of clock_gettime(2), which Linux stamps files with
_TICK_S = 0.02

FolderState = dict[str, tuple[int, int, int, int]]
"""Of each file, by its path in the folder: size, time of change, time of its inode's change, inode."""


def folder_state(folder: Path) -> FolderState:
    """What a folder holds now, links and special files aside.

    It answers once a write would be stamped later than all it saw, some milliseconds at most: without
    that, a file of the same size written at once would look untouched.
    """
    state = dict(_files(str(folder), ""))
    newest = max((max(changed, inode_changed) for _, changed, inode_changed, _ in state.values()), default=0)
    until = time.monotonic() + _TICK_S
    while time.clock_gettime_ns(_COARSE_CLOCK) <= newest and time.monotonic() < until:
        time.sleep(0.001)
    return state


def written_since(folder: Path, before: FolderState) -> list[Path]:
    """The files that are new, or other than they were, by their paths in the folder, sorted.

    A symbolic link is not a file: what it leads to is, if it lies in the folder itself.
    """
    after = _files(str(folder), "")
    return sorted(Path(name) for name, state in after if before.get(name) != state)


def _files(folder: str, prefix: str) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:  # a process that the script left behind tidies up while we look
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in NEVER_OUTPUTS:
                yield from _files(entry.path, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield (
                prefix + entry.name,
                (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino),
            )
