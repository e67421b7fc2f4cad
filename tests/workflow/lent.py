"""An environment that has the packages of the tests themselves: no index is asked for them."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from mlwright.app import Project
from mlwright.environments import Lock
from mlwright.environments.installed import take_inventory
from mlwright.kernel.digest import digest_of


def lend(project: Project, name: str = "") -> Lock:
    """Lend our packages to the environment that the project's files ask for now; returns its lock."""
    lock = project.environments.current(name)
    place = project.root / ".mlwright" / "local" / "environments" / lock.digest[:32]
    if not place.exists():
        prefix = Path(sys.prefix)
        (place / "bin").mkdir(parents=True)
        (place / "bin" / "python").symlink_to(Path(sys.executable).resolve())
        (place / "lib").symlink_to(prefix / "lib")
        (place / "pyvenv.cfg").write_text((prefix / "pyvenv.cfg").read_text())
        site_packages = next((prefix / "lib").glob("python*/site-packages"))
        _inventory(site_packages, project.environments.text(lock)).write(place / "inventory.json")
    return lock


_inventory = cache(take_inventory)
"""All our packages take a third of a second to look at."""


def lend_more(project: Project, lock: Lock, requirements: list[str]) -> None:
    """Let an environment that has packages already be the one that has them: no index is asked for it."""
    key = digest_of("\n".join(["kept", lock.digest, *sorted(requirements)]).encode())
    resolved = project.rooms.workspace.local / "locks" / f"{key}.toml"
    resolved.parent.mkdir(exist_ok=True)
    resolved.write_bytes(project.environments.text(lock))
