"""The folder of a supervisor: all that is left of it when it is killed.

lock                   held by the supervisor as long as it lives
control.sock           where it takes orders
target.json            the address, and what is wanted; missing before the first order and after `stop`
supervisor.log         what it says itself
revisions/3/           revision.json and spec.json, which its replicas read
replicas/17/           replica.json, control.sock, replica.log, and what the model's codec copies
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from mlwright.kernel.errors import Conflict, Corrupt, Unavailable
from mlwright.kernel.files import locked, write_whole
from mlwright.serving.supervisor.plan import Target

CONTROL, LOG = "control.sock", "supervisor.log"
_KEPT_WORDS = 2000


class Revision(Struct, frozen=True):
    """What a supervisor was told to serve.

    Args:
        model: for messages, as `diagnosis@3`.
        python: the interpreter of its environment.
        spec: of its replicas, as JSON that only they read.
        number: given by the supervisor, from 1.
        threads: of BLAS and OpenMP in each replica.
        ready_within_s: a replica that has not answered its example after this is killed.
        grace_s: how long one that is replaced may take to answer what it has.
        silent_s: one whose event loop answers nothing for so long is killed.
    """

    model: str
    python: str
    spec: msgspec.Raw
    number: int = 0
    threads: int = 1
    ready_within_s: float = 120.0
    grace_s: float = 30.0
    silent_s: float = 10.0


class Kept(Struct, frozen=True):
    """What a supervisor that is started again goes on with.

    Args:
        port: that was taken; never 0.
    """

    address: str
    port: int
    target: Target


class Record(Struct, frozen=True):
    """What is known of a replica's process.

    Args:
        token: marks it, and all that it starts (`mlwright.compute.tree`).
        pid: 0 before it was started.
        began: its `process_start`; a number alone may be another's later.
    """

    slot: int
    revision: int
    token: str
    pid: int = 0
    began: str = ""


_T = TypeVar("_T")


class Folder:
    """A supervisor's; made, for this user alone, when it is missing.

    Args:
        path: absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
            for name in ("revisions", "replicas"):
                (path / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"the supervisor's folder cannot be made: {error.strerror}", where=str(path)
            ) from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be its only supervisor.

        Raises:
            Conflict: there is another one.
        """
        try:
            with locked(self.path / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield
        except BlockingIOError:
            raise Conflict("another supervisor works in this folder", where=str(self.path)) from None

    @property
    def control(self) -> Path:
        """Where it takes orders."""
        return self.path / CONTROL

    def kept(self) -> Kept | None:
        """What was wanted last.

        Raises:
            Corrupt: it cannot be read.
        """
        path = self.path / "target.json"
        return _read(path, Kept) if path.exists() else None

    def keep(self, kept: Kept) -> None:
        """Note what is wanted."""
        _write(self.path / "target.json", kept)

    def add(self, revision: Revision) -> None:
        """Note what a revision is."""
        folder = self.path / "revisions" / str(revision.number)
        folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(folder / "spec.json", bytes(revision.spec))
        _write(folder / "revision.json", revision)

    def revision(self, number: int) -> Revision:
        """What `add` noted.

        Raises:
            Corrupt: it cannot be read.
        """
        return _read(self.path / "revisions" / str(number) / "revision.json", Revision)

    def spec(self, number: int) -> Path:
        """The file that the replicas of a revision read."""
        return self.path / "revisions" / str(number) / "spec.json"

    def next_revision(self) -> int:
        """A number that no revision has had."""
        return max(self._numbers("revisions"), default=0) + 1

    def forget(self, of_use: set[int]) -> None:
        """Remove the revisions that are of no use any more, but the last: no number comes again."""
        numbers = self._numbers("revisions")
        for number in numbers:
            if number not in of_use and number != max(numbers):
                shutil.rmtree(self.path / "revisions" / str(number), ignore_errors=True)

    def replica(self, number: int) -> Path:
        """The folder of a replica."""
        return self.path / "replicas" / str(number)

    def replicas(self) -> list[int]:
        """The numbers of those that have a folder."""
        return self._numbers("replicas")

    def record(self, number: int) -> Record | None:
        """What is known of a replica; None if it is not to be read: then it never got as far as a process."""
        try:
            return _read(self.replica(number) / "replica.json", Record)
        except Corrupt:
            return None

    def note(self, number: int, record: Record) -> None:
        """Keep what is known of a replica."""
        _write(self.replica(number) / "replica.json", record)

    def log(self, number: int = 0) -> Path:
        """Where a replica's process leaves what it says; of 0, where the supervisor does."""
        return self.replica(number) / "replica.log" if number else self.path / LOG

    def said(self, number: int = 0) -> str:
        """The end of what a replica's process has said; of 0, of what the supervisor has."""
        try:
            with self.log(number).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _KEPT_WORDS))
                return file.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def clear(self) -> None:
        """Remove all but what the supervisor says itself: nothing is wanted any more."""
        for name in ("target.json", CONTROL):
            (self.path / name).unlink(missing_ok=True)
        for name in ("replicas", "revisions"):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def _numbers(self, name: str) -> list[int]:
        return sorted(int(each.name) for each in (self.path / name).iterdir() if each.name.isdecimal())


def _write(path: Path, value: Any) -> None:
    write_whole(path, msgspec.json.encode(value))


def _read(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise Corrupt(f"what a supervisor noted cannot be read: {error}", where=str(path)) from error
