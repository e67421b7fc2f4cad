"""Which environments there are: those the project names, those recorded, those built on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from mlwright.environments.locks import Lock

OWN = "default"
"""What the project's own environment is called where it needs a name."""


class ListedEnvironment(Struct, frozen=True):
    """An environment as `environments list` has it.

    Args:
        name: by which the project asks for it, or a run did; empty for one without a name, as a server has.
        current: whether the project asks for it now.
        lock: None where there is none; `problem` says why.
        built: whether it is there on this machine.
        size_bytes: on disk; files that uv shares with its cache count whole. None where it is not built.
        last_run: the id of the newest run that used it, or None.
        problem: why it cannot be told more.
    """

    name: str
    current: bool
    lock: Lock | None
    built: bool = False
    size_bytes: int | None = None
    last_run: str | None = None
    problem: str = ""


def size_of(folder: Path) -> int:
    """What the files below a folder take on the disk, in bytes; one that is there twice counts once."""
    seen: set[int] = set()
    total = 0
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for each in entries:
                found = each.stat(follow_symlinks=False)
                if each.is_dir(follow_symlinks=False):
                    waiting.append(each.path)
                if found.st_ino not in seen:
                    seen.add(found.st_ino)
                    total += found.st_blocks * 512
    return total
