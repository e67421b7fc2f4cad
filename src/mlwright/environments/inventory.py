"""What an environment holds: which distribution gives which module, needs which others, and its hashes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mlwright.kernel.digest import composite


@dataclass(frozen=True, slots=True)
class Inventory:
    """The distributions of one environment.

    Args:
        modules: top-level module to the distributions that bring it.
        requires: distribution to those it requires here.
        pins: distribution to `version b3:digest-of-its-file-hashes`.
    """

    modules: dict[str, tuple[str, ...]]
    requires: dict[str, tuple[str, ...]]
    pins: dict[str, str]

    def closure(self, names: Iterable[str]) -> dict[str, str]:
        """Distributions and all that they require, each with its pin; unknown names are left out."""
        reached: set[str] = set()
        waiting = [str(canonicalize_name(name)) for name in names]
        while waiting:
            name = waiting.pop()
            if name in self.pins and name not in reached:
                reached.add(name)
                waiting += self.requires[name]
        return {name: self.pins[name] for name in sorted(reached)}

    def write(self, path: Path) -> None:
        """Keep it beside the environment."""
        path.write_text(json.dumps(asdict(self), sort_keys=True))

    @classmethod
    def read(cls, path: Path) -> Inventory:
        """Read what `write` kept."""
        return msgspec.json.decode(path.read_bytes(), type=cls)


def take_inventory(site_packages: Path, pylock: bytes) -> Inventory:
    """Look at what is installed in an environment, and at its lock for the files' hashes."""
    hashes = _file_hashes(pylock)
    modules: dict[str, list[str]] = {}
    requires, pins = {}, {}
    for distribution in distributions(path=[str(site_packages)]):
        name = str(canonicalize_name(distribution.metadata["Name"]))
        for module in _top_level(distribution):
            modules.setdefault(module, []).append(name)
        requires[name] = tuple(_required(distribution))
        pins[name] = f"{distribution.version} {hashes.get((name, distribution.version), 'unlocked')}"
    return Inventory({module: tuple(sorted(names)) for module, names in modules.items()}, requires, pins)


def _top_level(distribution: Distribution) -> set[str]:
    found = set()
    for file in distribution.files or ():
        first = file.parts[0]
        if len(file.parts) == 1 and file.suffix in {".py", ".so", ".pyd"}:
            found.add(first.partition(".")[0])
        elif len(file.parts) > 1 and first.isidentifier():
            found.add(first)
    return found


def _required(distribution: Distribution) -> Iterable[str]:
    """What it requires with any extra: an extra that is not installed is not there to be reached."""
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        yield str(canonicalize_name(requirement.name))


def _file_hashes(pylock: bytes) -> dict[tuple[str, str], str]:
    found = {}
    for package in tomllib.loads(pylock.decode()).get("packages", []):
        files = [*package.get("wheels", []), package.get("sdist", {}), package.get("archive", {})]
        hashes = sorted(f"{kind}:{value}" for file in files for kind, value in file.get("hashes", {}).items())
        key = (str(canonicalize_name(package["name"])), package.get("version", ""))
        source = package.get("vcs") or package.get("directory") or None
        found[key] = f"b3:{composite('files', {'hashes': hashes, 'source': source})[:16]}"
    return found
