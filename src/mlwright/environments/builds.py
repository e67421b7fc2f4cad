"""The virtual environments on this machine: each is named by its lock, built by uv, complete or not there."""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path

from msgspec import Struct

from mlwright.environments.inventory import Inventory
from mlwright.environments.locks import Lock, current_platform, current_python
from mlwright.environments.uv import Uv
from mlwright.kernel.errors import Incompatible
from mlwright.kernel.files import locked
from mlwright.storage import InlineObjects


class Environment(Struct, frozen=True):
    """A virtual environment that is complete."""

    lock: Lock
    python: Path
    inventory: Inventory


class Builds(Struct, frozen=True):
    """The environments that are built.

    Args:
        folder: where they lie, each in a folder of its own.
    """

    objects: InlineObjects
    uv: Uv
    folder: Path

    def built(self, lock: Lock) -> bool:
        """Whether the environment of a lock is there."""
        return (self._place(lock) / "inventory.json").exists()

    def build(self, lock: Lock) -> Environment:
        """The virtual environment of a lock, made when it is not there; two that ask at once make one.

        Raises:
            Incompatible: the lock is for another interpreter or platform.
            Unavailable: a package cannot be had; uv's own words follow.
        """
        place = self._place(lock)
        if not self.built(lock):
            if (lock.python, lock.platform) != (current_python(), current_platform()):
                raise Incompatible(
                    f"the environment was locked for Python {lock.python} on {lock.platform},"
                    f" and this is Python {current_python()} on {current_platform()}",
                    hint="run mlwright with that interpreter, on such a machine",
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(place.with_suffix(".building"), fcntl.LOCK_EX) as held:
                if not self.built(lock):
                    self._make(lock, place, held)
        return Environment(lock, place / "bin" / "python", Inventory.read(place / "inventory.json"))

    def _place(self, lock: Lock) -> Path:
        return self.folder / lock.digest[:32]

    def _make(self, lock: Lock, place: Path, held: int) -> None:
        """Build beside the place and rename.

        `held` is the lock on the place. uv inherits it: should we be killed, it goes on writing for a
        while, and whoever builds next waits for that to end.
        """
        pylock = self.objects.get(lock.pylock)
        making = place.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        self.uv.run(
            *["venv", "--quiet", "--no-project", "--relocatable", "--python", sys.executable, str(making)],
            what="no virtual environment can be made",
            held=held,
        )
        (making / "pylock.toml").write_bytes(pylock)
        self.uv.run(
            *["pip", "sync", "--quiet", "--require-hashes", "--allow-empty-requirements"],
            *["--python", str(making / "bin" / "python"), str(making / "pylock.toml")],
            what="the packages of the environment cannot be installed",
            held=held,
        )
        # Most commands build nothing, and what reads metadata takes 40 ms to import.
        from mlwright.environments.installed import take_inventory

        site_packages = next((making / "lib").glob("python*/site-packages"))
        take_inventory(site_packages, pylock).write(making / "inventory.json")
        shutil.rmtree(place, ignore_errors=True)
        making.rename(place)
