"""Taking the inventory of an environment: what its installed metadata and its lock say."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mlwright.environments.inventory import Inventory
from mlwright.environments.pylocks import files_digest


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
        # A lock by others need not say the version of what is built of a commit or an archive.
        found = hashes.get((name, distribution.version)) or hashes.get((name, ""), "unlocked")
        pins[name] = f"{distribution.version} {found}"
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
        key = (str(canonicalize_name(package["name"])), package.get("version", ""))
        found[key] = f"b3:{files_digest(package)[:16]}"
    return found
