"""The virtual environments on this machine: each is named by its lock, built by uv, complete or not there."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct, field

from mlwright.environments.interpreters import interpreter
from mlwright.environments.inventory import Inventory
from mlwright.environments.locks import Lock, current_platform
from mlwright.environments.pylocks import has_commits, kept_wheels
from mlwright.environments.uv import Uv
from mlwright.kernel.errors import Conflict, Incompatible
from mlwright.kernel.files import locked, write_whole
from mlwright.storage import InlineObjects

_INVENTORY = "inventory.json"
_DAMAGED = "damaged.json"


class Environment(Struct, frozen=True):
    """A virtual environment that is complete."""

    lock: Lock
    python: Path
    inventory: Inventory


class Builds(Struct, frozen=True):
    """The environments that are built.

    Beside the folder of each lie two files that processes lock: `.building` while it is made or taken away,
    `.used` while it is in use; the time of the latter is when it last was.

    Args:
        folder: where they lie, each in a folder of its own.
    """

    objects: InlineObjects
    uv: Uv
    folder: Path
    _holding: list[ExitStack] = field(default_factory=list)

    def built(self, lock: Lock) -> bool:
        """Whether the environment of a lock is there, and not known to be damaged."""
        return is_whole(self.place(lock))

    def build(self, lock: Lock) -> Environment:
        """The virtual environment of a lock, made when it is not there; two that ask at once make one.

        Raises:
            Incompatible: the lock is for another platform, or an interpreter that is not here.
            Unavailable: a package cannot be had; uv's own words follow.
        """
        place = self.place(lock)
        self._hold(place)
        if not self.built(lock):
            refuse_platform(lock)
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(beside(place, ".building"), fcntl.LOCK_EX) as held:
                if not self.built(lock):
                    self._make(lock, place, held)
        return Environment(lock, place / "bin" / "python", Inventory.read(place / _INVENTORY))

    def build_at(self, lock: Lock, place: Path) -> Environment:
        """The virtual environment of a lock in a folder of the user's own, which must not be there.

        Raises:
            Incompatible, Unavailable: as `build`.
        """
        self.refuse(lock, place)
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(beside(place, ".building"), fcntl.LOCK_EX) as held:
            self._make(lock, place, held)
        beside(place, ".building").unlink(missing_ok=True)
        return Environment(lock, place / "bin" / "python", Inventory.read(place / _INVENTORY))

    def refuse(self, lock: Lock, place: Path | None = None) -> None:
        """Refuse what cannot be built here, before anything is done.

        Raises:
            Incompatible: the lock is for another platform, or an interpreter that is not here.
            Conflict: something is in its place.
        """
        refuse_platform(lock)
        interpreter(self.uv, lock.python)
        if place is not None and place.exists():
            raise Conflict(f"{place} is there already", hint="name a new folder: --in DIR")

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Whatever is asked for while the block runs is in use until it ends: nobody takes it away."""
        with ExitStack() as stack:
            self._holding.append(stack)
            try:
                yield
            finally:
                self._holding.remove(stack)

    def places(self) -> list[Path]:
        """Where environments are that are built, damaged ones too."""
        return sorted(each.parent for each in self.folder.glob(f"*/{_INVENTORY}") if not each.parent.suffix)

    def distrust(self, lock: Lock) -> None:
        """Have an environment made anew by whoever needs it next."""
        if not damaged_packages(self.place(lock)):
            mark_damaged(self.place(lock), [])

    def place(self, lock: Lock) -> Path:
        """Where the environment of a lock is, or would be."""
        return self.folder / lock.digest[:32]

    def _hold(self, place: Path) -> None:
        if self._holding:
            self.folder.mkdir(parents=True, exist_ok=True)
            used = beside(place, ".used")
            self._holding[-1].enter_context(locked(used, fcntl.LOCK_SH))
            os.utime(used)

    def _make(self, lock: Lock, place: Path, held: int) -> None:
        """Build beside the place and rename.

        `held` is the lock on the place. uv inherits it: should we be killed, it goes on writing for a
        while, and whoever builds next waits for that to end.
        """
        pylock = self.objects.get(lock.pylock)
        python = interpreter(self.uv, lock.python)
        making = beside(place, ".new")
        shutil.rmtree(making, ignore_errors=True)
        # What is damaged here is damaged in uv's cache too, where it is linked to.
        if distrusted := damaged_packages(place):
            self.uv.run("cache", "clean", *distrusted, what="uv's cache cannot be cleaned", held=held)
        self.uv.run(
            *["venv", "--quiet", "--no-project", "--relocatable", "--python", python, str(making)],
            what="no virtual environment can be made",
            held=held,
        )
        (making / "pylock.toml").write_bytes(pylock)
        for path, wheel in kept_wheels(pylock).items():
            write_whole(making / path, self.objects.get(wheel))
        # A commit of Git is its own hash. That all else has one is checked when the lock is taken.
        hashes = "--verify-hashes" if has_commits(pylock) else "--require-hashes"
        self.uv.run(
            *["pip", "sync", "--quiet", hashes, "--allow-empty-requirements"],
            *["--python", str(making / "bin" / "python"), str(making / "pylock.toml")],
            what="the packages of the environment cannot be installed",
            held=held,
        )
        # Most commands build nothing, and what reads metadata takes 40 ms to import.
        from mlwright.environments.installed import take_inventory

        take_inventory(site_packages_of(making), pylock).write(making / _INVENTORY)
        if place.exists():  # damaged, or half-made; who uses it finds the same files in its place
            aside = beside(place, ".old")
            shutil.rmtree(aside, ignore_errors=True)
            place.rename(aside)
            making.rename(place)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            making.rename(place)


def beside(place: Path, suffix: str) -> Path:
    """The file or folder of an environment that lies beside it."""
    return place.with_name(place.name + suffix)


def is_whole(place: Path) -> bool:
    """Whether an environment is complete, and not known to be damaged."""
    return (place / _INVENTORY).exists() and not (place / _DAMAGED).exists()


def mark_damaged(place: Path, packages: list[str]) -> None:
    """Note that an environment is damaged: whoever needs it next makes it anew.

    Args:
        packages: whose files are, as far as it is known.
    """
    write_whole(place / _DAMAGED, json.dumps(packages).encode())


def damaged_packages(place: Path) -> list[str]:
    """The packages whose files are known to be damaged."""
    try:
        return [str(each) for each in json.loads((place / _DAMAGED).read_bytes())]
    except FileNotFoundError:
        return []


def site_packages_of(place: Path) -> Path:
    """Where the packages of an environment are."""
    return next((place / "lib").glob("python*/site-packages"))


def refuse_platform(lock: Lock) -> None:
    """Refuse a lock for another platform, before anything is installed.

    Raises:
        Incompatible: it is for another.
    """
    if lock.platform != current_platform():
        raise Incompatible(
            f"the environment was locked for {lock.platform}, and this is {current_platform()}",
            hint="the same packages for this machine: name the lock's file in [tool.mlwright.environments]",
        )
