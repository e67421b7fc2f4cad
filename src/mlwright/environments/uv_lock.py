"""`uv.lock`, read: which packages it has, and who needs each."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from mlwright.environments.declared import normal
from mlwright.kernel.errors import Invalid


class LockedPackage(Struct, frozen=True):
    """A package in `uv.lock`; for different Pythons, platforms or environments there may be several.

    Args:
        version: empty where there is none, as of a folder whose version is computed.
        source: where it comes from: the address of an index, a file, a folder or a repository.
        hashes: of its files, sorted.
        needs: what it requires, with the condition under which it does.
    """

    name: str
    version: str
    source: str
    hashes: tuple[str, ...]
    needs: tuple[tuple[str, str], ...]


class UvLock(Struct, frozen=True):
    """What a `uv.lock` says.

    Args:
        packages: all but the project itself, by name.
        asked: what the project asks for, to the environments that ask: its own has an empty name.
    """

    packages: dict[str, tuple[LockedPackage, ...]]
    asked: dict[str, tuple[str, ...]]

    def needed_by(self, name: str) -> tuple[str, ...]:
        """Who needs a package: `two`, or `two (sys_platform == 'win32')`; sorted."""
        found = set()
        for each in self._all():
            for needed, marker in each.needs:
                if needed == name and each.name != name:
                    found.add(f"{each.name} ({marker})" if marker else each.name)
        return tuple(sorted(found))

    def _all(self) -> Iterator[LockedPackage]:
        for each in self.packages.values():
            yield from each


def read_uv_lock(data: bytes | None) -> UvLock:
    """Read a `uv.lock`; no file is one without packages.

    Raises:
        Invalid: it is no TOML.
    """
    try:
        entries = tomllib.loads((data or b"").decode()).get("package", [])
    except ValueError as error:
        raise Invalid(
            f"uv.lock cannot be read: {error}",
            hint="take it from version control, or remove it: mlwright environments lock makes it anew",
        ) from error
    packages: dict[str, list[LockedPackage]] = {}
    asked: dict[str, list[str]] = {}
    for entry in entries:
        if entry.get("source", {}).get("virtual") == "." or entry.get("source", {}).get("editable") == ".":
            asked = _asked(entry)
        else:
            packages.setdefault(entry["name"], []).append(_package(entry))
    return UvLock(
        {name: tuple(each) for name, each in packages.items()},
        {name: tuple(each) for name, each in asked.items()},
    )


def _asked(entry: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the project's own entry depends on."""
    found: dict[str, list[str]] = {}
    parts = {
        "": entry.get("dependencies", []),
        **entry.get("optional-dependencies", {}),
        **entry.get("dev-dependencies", {}),
    }
    for part, needed in parts.items():
        for each in needed:
            names = found.setdefault(each["name"], [])
            if part not in names:
                names.append(part)
    return found


def _package(entry: Mapping[str, Any]) -> LockedPackage:
    files = [*entry.get("wheels", []), *([entry["sdist"]] if "sdist" in entry else [])]
    optional = [each for group in entry.get("optional-dependencies", {}).values() for each in group]
    return LockedPackage(
        normal(entry["name"]),
        entry.get("version", ""),
        next(iter(entry.get("source", {}).values()), ""),
        tuple(sorted(each.get("hash", "") for each in files)),
        tuple((each["name"], _marker(each)) for each in [*entry.get("dependencies", []), *optional]),
    )


def _marker(needed: Mapping[str, Any]) -> str:
    """The condition as it is written; not what uv makes of environments that exclude each other."""
    marker: str = needed.get("marker", "")
    return "" if "extra ==" in marker else marker
