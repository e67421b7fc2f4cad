"""A copy of a project's `pyproject.toml` and `uv.lock` in which uv may work, before anything is changed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PYPROJECT, UV_LOCK = "pyproject.toml", "uv.lock"
_LEFT_OUT = {PYPROJECT, UV_LOCK, ".mlwright", ".venv"}
_FOUND_ABOVE = (PYPROJECT, "uv.toml", ".python-version")


@contextmanager
def aside(root: Path, pyproject: bytes, uv_lock: bytes | None) -> Iterator[Path]:
    """A folder that looks to uv as the project's does, with these two files; it is removed afterwards.

    It has the project's path, beneath a temporary folder, and links to what relative paths in the two files
    lead to: uv writes paths as they are written.

    Args:
        root: the project's folder.
        pyproject: what `pyproject.toml` holds there.
        uv_lock: what `uv.lock` holds there; None for no such file.
    """
    root = root.resolve()
    with tempfile.TemporaryDirectory(prefix="mlwright-") as base:
        place = Path(f"{base}{root}")
        place.mkdir(parents=True)
        _link(root, place, _LEFT_OUT)
        upwards = _upwards(pyproject + (uv_lock or b""))
        for level, folder in enumerate(root.parents):
            there = place.parents[level]
            if level < upwards:
                _link(folder, there, {UV_LOCK})  # uv would write into the one it finds above
            else:
                for name in _FOUND_ABOVE:
                    if (folder / name).is_file():
                        (there / name).symlink_to(folder / name)
        (place / PYPROJECT).write_bytes(pyproject)
        if uv_lock is not None:
            (place / UV_LOCK).write_bytes(uv_lock)
        yield place


def real_paths(text: str, place: Path, root: Path) -> str:
    """What uv said of the copy, said of the project."""
    return text.replace(str(place), str(root))


def _upwards(texts: bytes) -> int:
    """How many folders up the relative paths in them lead at most."""
    return max((each.count(b"..") for each in re.findall(rb"(?:\.\./)*\.\.(?=[/'\"])", texts)), default=0)


def _link(source: Path, target: Path, left_out: set[str]) -> None:
    with suppress(PermissionError):  # a folder that may be passed and not listed: uv sees what it says itself
        for each in source.iterdir():
            link = target / each.name
            if each.name not in left_out and not link.exists():
                link.symlink_to(each)
