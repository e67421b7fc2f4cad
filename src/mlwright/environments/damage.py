"""What is damaged in a virtual environment: files that are not what its packages say, gone, or not theirs."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from packaging.utils import canonicalize_name

from mlwright.environments.installed import take_inventory
from mlwright.environments.inventory import Inventory
from mlwright.environments.places import mark_damaged, site_packages_of
from mlwright.kernel.progress import SILENT, Progress

_OURS = {"_virtualenv.py", "_virtualenv.pth"}
"""What uv puts into a virtual environment, and no package."""
_NEVER_HASHED = {"RECORD", "RECORD.jws", "RECORD.p7s"}


class Damage(Struct, frozen=True):
    """One thing that is not as it was installed.

    Args:
        what: `changed` or `missing` for a file of a package, `extra` for one of nobody's; `packages` if what
            is installed is not what was built.
        path: of the file, in the environment; or the package.
        package: whose; empty if nobody's.
    """

    what: Literal["changed", "missing", "extra", "packages"]
    path: str
    package: str = ""


def verify(place: Path, progress: Progress = SILENT) -> tuple[Damage, ...]:
    """What is damaged in a built environment; if anything is, that is noted in it.

    Args:
        place: the environment.
    """
    try:
        found = find_damage(place, (place / "pylock.toml").read_bytes(), progress)
    except FileNotFoundError:
        found = (Damage("missing", "pylock.toml"),)
    if found:
        mark_damaged(place, sorted({each.package for each in found if each.package}))
    return found


def find_damage(place: Path, pylock: bytes, progress: Progress = SILENT) -> tuple[Damage, ...]:
    """Read every file of an environment, and compare it with what its packages recorded of it.

    Compiled Python (`*.pyc`) is no damage: it is made when a module is first imported.

    Args:
        place: the environment.
        pylock: what it was built of.

    Source of the records: PyPA, Recording installed projects, the RECORD file.
    """
    if not (place / "bin" / "python").exists():
        return (Damage("missing", "bin/python"),)
    try:
        site = site_packages_of(place)
    except StopIteration:
        return (Damage("missing", "lib"),)
    found: list[Damage] = []
    known: set[str] = set()
    progress.begin(f"verifying {place.name[:12]}", _size(site))
    for distribution in distributions(path=[str(site)]):
        name = str(canonicalize_name(distribution.metadata["Name"] or "unknown"))
        record = distribution.read_text("RECORD")
        if record is None:
            found.append(Damage("missing", f"RECORD of {name}", name))
            continue
        for row in csv.reader(record.splitlines()):
            if len(row) == 3:
                path = os.path.normpath(site / row[0])
                known.add(path)
                found += _compared(place, Path(path), row[1], name, progress)
    progress.end()
    found += [Damage("extra", _told(place, path)) for path in _files(site) if str(path) not in known]
    return (*sorted(found, key=lambda each: each.path), *_packages(place, site, pylock))


def _compared(place: Path, path: Path, recorded: str, name: str, progress: Progress) -> Iterator[Damage]:
    if path.suffix == ".pyc":
        return
    algorithm, _, expected = recorded.partition("=")
    try:
        size = path.stat().st_size
        if algorithm and path.name not in _NEVER_HASHED:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, algorithm).digest()
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != expected.rstrip("="):
                yield Damage("changed", _told(place, path), name)
    except (OSError, ValueError):  # gone, unreadable, or a kind of hash that nobody knows
        yield Damage("missing" if not path.is_file() else "changed", _told(place, path), name)
    else:
        progress.advance(size)


def _files(site: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(site):
        folders[:] = [each for each in folders if each != "__pycache__"]
        for name in names:
            if not name.endswith(".pyc") and not (folder == str(site) and name in _OURS):
                yield Path(folder, name)


def _size(site: Path) -> int:
    return sum(path.stat().st_size for path in _files(site) if path.is_file())


def _packages(place: Path, site: Path, pylock: bytes) -> Iterator[Damage]:
    """Where the packages are not those that were there when it was built."""
    try:
        built = Inventory.read(place / "inventory.json")
    except (OSError, msgspec.MsgspecError):
        yield Damage("missing", "inventory.json")
        return
    now = take_inventory(site, pylock)
    for name in sorted({*built.pins, *now.pins}):
        if built.pins.get(name) != now.pins.get(name):
            yield Damage("packages", f"{name}: {_version(built, name)} -> {_version(now, name)}", name)
    for name, pin in now.pins.items():
        if pin.endswith(" unlocked"):
            yield Damage("packages", f"{name} is not in the lock", name)


def _version(inventory: Inventory, name: str) -> str:
    return inventory.pins[name].partition(" ")[0] if name in inventory.pins else "not there"


def _told(place: Path, path: Path) -> str:
    return os.path.relpath(path, place)
