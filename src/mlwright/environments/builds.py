"""The virtual environments on this machine: each is named by its lock, built by uv, complete or not there."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from mlwright.environments.interpreters import interpreter
from mlwright.environments.inventory import Inventory
from mlwright.environments.listing import size_of
from mlwright.environments.locks import Lock, current_platform, make_lock
from mlwright.environments.places import (
    INVENTORY,
    beside,
    damaged_packages,
    is_whole,
    mark_damaged,
    site_packages_of,
)
from mlwright.environments.prune import RECENT_US, Unneeded, prune, unneeded
from mlwright.environments.pylocks import has_commits, kept_wheels
from mlwright.environments.uv import Uv
from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import Conflict, Incompatible, MlwrightError, NotFound
from mlwright.kernel.files import locked, write_whole
from mlwright.kernel.marks import left_over, marked
from mlwright.kernel.progress import SILENT, Progress
from mlwright.storage import InlineObjects

if TYPE_CHECKING:
    from mlwright.environments.damage import Damage


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

    def python(self, lock: Lock) -> Path:
        """The interpreter of an environment, whether it is there yet or not."""
        return self.place(lock) / "bin" / "python"

    def size_bytes(self, lock: Lock) -> int | None:
        """What an environment takes on the disk; files that uv shares with its cache count whole."""
        return size_of(self.place(lock)) if self.built(lock) else None

    def text(self, lock: Lock) -> bytes | None:
        """The pylock file that an environment was built from; None where it is not built."""
        return (self.place(lock) / "pylock.toml").read_bytes() if self.built(lock) else None

    def there(self) -> list[Lock]:
        """The environments that are built for this platform, whoever asked for them."""
        found = []
        for path in sorted(self.folder.glob(f"*/{INVENTORY}")):
            if path.parent.suffix or not is_whole(path.parent):
                continue
            with suppress(OSError, StopIteration, MlwrightError):  # somebody took a part of it away
                text = (path.parent / "pylock.toml").read_bytes()
                python = next((path.parent / "lib").glob("python*")).name.removeprefix("python")
                lock = make_lock(text, digest_of(text), python)
                if self.place(lock) == path.parent:
                    found.append(lock)
        return found

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
        return Environment(lock, self.python(lock), Inventory.read(place / INVENTORY))

    def build_at(self, lock: Lock, place: Path) -> Environment:
        """The virtual environment of a lock in a folder of the user's own, which must not be there.

        What somebody who was killed left beside it is taken away.

        Raises:
            Conflict: as `refuse`.
            Incompatible, Unavailable: as `build`.
        """
        self.refuse(lock, place)
        place.parent.mkdir(parents=True, exist_ok=True)
        with marked(beside(place, ".building")) as mark:
            _refuse_taken(place)  # by whoever was faster
            if not mark.left_over:
                _refuse_taken(beside(place, ".new"))
            try:
                self._make(lock, place, mark.descriptor)
            finally:
                shutil.rmtree(beside(place, ".new"), ignore_errors=True)
        return Environment(lock, place / "bin" / "python", Inventory.read(place / INVENTORY))

    def refuse(self, lock: Lock, place: Path | None = None) -> None:
        """Refuse what cannot be built here, before anything is done.

        Raises:
            Incompatible: the lock is for another platform, or an interpreter that is not here.
            Conflict: something is in its place, or where it is made before it is put there.
        """
        refuse_platform(lock)
        interpreter(self.uv, lock.python)
        if place is None:
            return
        _refuse_taken(place)
        if not left_over(beside(place, ".building")):
            _refuse_taken(beside(place, ".new"))

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Whatever is asked for while the block runs is in use until it ends: nobody takes it away."""
        with ExitStack() as stack:
            self._holding.append(stack)
            try:
                yield
            finally:
                self._holding.remove(stack)

    def rebuild(self, lock: Lock) -> Environment:
        """Make an environment anew, whatever is there; what is damaged in it is fetched again.

        Raises:
            Incompatible, Unavailable: as `build`.
        """
        place = self.place(lock)
        if place.exists() and not self.verify(lock):
            mark_damaged(place, [])
        return self.build(lock)

    def verify(self, lock: Lock, progress: Progress = SILENT) -> tuple[Damage, ...]:
        """What is damaged in an environment; if anything is, who needs it next makes it anew.

        Raises:
            NotFound: it is not built.
        """
        place = self.place(lock)
        if not place.exists():
            raise NotFound(f"{lock.label} is not built", hint="mlwright environments sync")
        return _verify(place, progress)

    def verify_all(self, progress: Progress = SILENT) -> dict[str, tuple[Damage, ...]]:
        """What is damaged in each environment that is built, by the beginning of its digest."""
        places = sorted(each.parent for each in self.folder.glob(f"*/{INVENTORY}") if not each.parent.suffix)
        return {place.name[:12]: _verify(place, progress) for place in places}

    def unneeded(self, needed: Iterable[Lock], older_us: int = RECENT_US) -> tuple[Unneeded, ...]:
        """What `prune` would take away: environments that nobody uses now, or has used of late.

        Args:
            needed: those that stay.
            older_us: how long ago a run must have used one last, in microseconds.
        """
        return unneeded(self.folder, {self.place(lock) for lock in needed}, older_us)

    def prune(self, planned: Collection[Unneeded]) -> tuple[Unneeded, ...]:
        """Take away what `unneeded` found, unless somebody uses it by now; a later run builds it again.

        Returns:
            What is gone.
        """
        return prune(planned)

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

        take_inventory(site_packages_of(making), pylock).write(making / INVENTORY)
        if place.exists():  # damaged, or half-made; who uses it finds the same files in its place
            aside = beside(place, ".old")
            shutil.rmtree(aside, ignore_errors=True)
            place.rename(aside)
            making.rename(place)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            making.rename(place)


def _refuse_taken(place: Path) -> None:
    if place.exists() or place.is_symlink():
        raise Conflict(f"{place} is there already", hint="name a new folder: --in DIR")


def _verify(place: Path, progress: Progress) -> tuple[Damage, ...]:
    from mlwright.environments.damage import verify  # what reads metadata takes 40 ms to import

    return verify(place, progress)


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
