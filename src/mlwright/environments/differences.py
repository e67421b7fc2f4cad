"""What differs between two environments: interpreter, platform, and package by package."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from mlwright.environments.declared import normal
from mlwright.environments.locks import Lock
from mlwright.environments.pylocks import files_digest
from mlwright.kernel.digest import composite


class PackageDifference(Struct, frozen=True):
    """A package that differs; each side is what `packages_of` says of it, empty where it is not there.

    A package that is locked for several platforms has several of both on one side.
    """

    name: str
    then: str
    now: str

    @property
    def verdict(self) -> Literal["added", "removed", "version", "files", "conditions"]:
        """What differs; `files` where the version is the same, `conditions` where the files are, too."""
        if not self.then:
            return "added"
        if not self.now:
            return "removed"
        if _versions(self.then) != _versions(self.now):
            return "version"
        return "conditions" if _files(self.then) == _files(self.now) else "files"

    @property
    def shown(self) -> str:
        """`1.0 -> 2.0`, `added 1.0`, `removed 1.0`, `1.0, other files`, `1.0, other conditions`."""
        then, now = _versions(self.then), _versions(self.now)
        shown = {
            "added": f"added {now}",
            "removed": f"removed {then}",
            "files": f"{now}, other files",
            "conditions": f"{now}, other conditions",
        }
        return shown.get(self.verdict, f"{then} -> {now}")


class EnvironmentDifference(Struct, frozen=True):
    """Two environments beside each other; packages that are the same are only counted."""

    then: Lock
    now: Lock
    packages: tuple[PackageDifference, ...]
    same: int


def difference(then: Lock, now: Lock, texts: tuple[bytes, bytes]) -> EnvironmentDifference:
    """What differs between two environments.

    Args:
        then: the first.
        now: the second.
        texts: their pylock files.
    """
    before, after = map(packages_of, texts)
    differences = differing(before, after)
    return EnvironmentDifference(
        then, now, differences, sum(before[name] == after.get(name) for name in before)
    )


def differing(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[PackageDifference, ...]:
    """The packages that differ between what `packages_of` says of two, by name."""
    return tuple(
        PackageDifference(name, then.get(name, ""), now.get(name, ""))
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    )


def packages_of(pylock: bytes) -> dict[str, str]:
    """The packages of a pylock by normalised name, each as `VERSION b3:DIGEST`.

    The digest is that of `files_digest`; `+DIGEST` follows if it is not for all platforms.
    """
    found: dict[str, str] = {}
    for entry in tomllib.loads(pylock.decode()).get("packages", []):
        name, shown = normal(entry["name"]), _package(entry)
        # One package may be locked more than once, for different platforms.
        found[name] = f"{found[name]}, {shown}" if name in found else shown
    return found


def _package(entry: Mapping[str, Any]) -> str:
    """A package's version, with digests of what it is installed from, and of when it is for."""
    version = entry.get("version", "no version")
    conditions = {name: entry[name] for name in ("marker", "requires-python") if name in entry}
    when = f"+{composite('conditions', conditions)[:8]}" if conditions else ""
    return f"{version} b3:{files_digest(entry)[:8]}{when}"


def _versions(shown: str) -> str:
    return ", ".join(each.rpartition(" ")[0] for each in shown.split(", "))


def _files(shown: str) -> list[str]:
    return [each.rpartition(" ")[2].partition("+")[0] for each in shown.split(", ")]
