"""Environments that a workspace has recorded, or this machine has built: known by digest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from mlwright.environments.builds import Builds, Environment
from mlwright.environments.differences import EnvironmentDifference, difference
from mlwright.environments.locks import Lock, lock_of
from mlwright.environments.pylocks import check_python, kept_wheels, read_pylock
from mlwright.kernel import edges
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import are_counted
from mlwright.storage import InlineObjects

_SQL = Queries.beside(__file__)


class KnownEnvironments:
    """What is known of environments, whatever a project asks for. `Environments` adds that.

    Args:
        builds: those that are built here.
    """

    def __init__(self, database: Database, objects: InlineObjects, builds: Builds) -> None:
        self._database = database
        self._objects = objects
        self._builds = builds

    def record(self, tx: Transaction, lock: Lock) -> None:
        """Write the lock's row and its edge, in the transaction of whoever refers to it."""
        tx.execute(
            _SQL["add_lock"],
            digest=lock.digest,
            pylock=lock.pylock,
            python=lock.python,
            platform=lock.platform,
            packages=lock.packages,
            created_us=now_us(),
        )
        made_of = [
            Edge(lock.end, f"wheel:{path.rpartition('/')[2]}", End("object", wheel))
            for path, wheel in kept_wheels(self.text(lock)).items()
        ]
        edges.add(tx, [Edge(lock.end, "bytes", End("object", lock.pylock)), *made_of])

    def get(self, digest: str) -> Lock:
        """A recorded lock by its digest or the beginning of it.

        Raises:
            NotFound: there is none.
            Invalid: the beginning fits several.
        """
        beginning = digest.removeprefix("b3:")
        rows = self._database.read(_SQL["lock_by_digest"], prefix=beginning)
        if not rows or not beginning:
            raise NotFound(f"there is no environment {beginning[:12]!r}")
        if len(rows) > 1:
            raise fits_several(beginning)
        return Lock(**rows[0])

    def adopt(self, lock: Lock, source: InlineObjects) -> None:
        """Take a lock over from another workspace, with its bytes."""
        text = source.get(lock.pylock)
        for wheel in kept_wheels(text).values():
            self._objects.put(source.get(wheel))
        self._objects.put(text)
        with self._database.transaction() as tx:
            self.record(tx, lock)

    def text(self, lock: Lock) -> bytes:
        """The pylock file of a lock.

        Raises:
            NotFound: it is not in the store.
            Corrupt: it is damaged.
        """
        return self._objects.get(lock.pylock)

    def count(self) -> int:
        """How many locks are recorded."""
        return int(self._database.read(_SQL["count_locks"])[0]["locks"])

    def loose_edges(self) -> Sequence[Edge]:
        """The edges that lead to locks, or come from them, which are not there."""
        return edges.loose(self._database, _SQL["loose_edges"])

    def difference(self, then: Lock, now: Lock) -> EnvironmentDifference:
        """What differs between two environments.

        Raises:
            NotFound, Corrupt: the pylock of one of them is not in the store, or damaged.
        """
        return difference(then, now, (self._text(then), self._text(now)))

    def built(self, lock: Lock) -> bool:
        """Whether the environment of a lock is there."""
        return self._builds.built(lock)

    def build(self, lock: Lock) -> Environment:
        """The virtual environment of a lock, made when it is not there; two that ask at once make one.

        Raises:
            Incompatible: the lock is for another interpreter or platform.
            Unavailable: a package cannot be had; uv's own words follow.
        """
        return self._builds.build(lock)

    def plan_restore(self, lock: Lock, folder: Path | None = None) -> Plan:
        """What `restore` would do.

        Raises:
            Incompatible: it is for another platform, or an interpreter that is not here.
            Conflict: something is in the folder's place.
        """
        self._builds.refuse(lock, folder)
        subject = lock.label if folder is None else f"{folder}: {lock.label}"
        if folder is None and self.built(lock):
            return Plan("restore", (Change("keep", subject, "it is built"),))
        return Plan("restore", (Change("write", subject, f"{are_counted(lock.packages, 'package')} locked"),))

    def restore(self, lock: Lock, folder: Path | None = None) -> Environment:
        """Build an environment, and record its lock.

        Args:
            folder: where to; by default where the project's environments are.

        Raises:
            Conflict, Incompatible: as `plan_restore`.
            Unavailable: a package cannot be had; uv's own words follow.
        """
        self._builds.refuse(lock, folder)
        made = self.build(lock) if folder is None else self._builds.build_at(lock, folder)
        with self._database.transaction() as tx:
            self.record(tx, lock)
        return made

    @property
    def builds(self) -> Builds:
        """Those that are built on this machine: to look at, to make anew, to take away."""
        return self._builds

    def holding(self) -> AbstractContextManager[None]:
        """Whatever is built or asked for while the block runs is in use until it ends: `prune` leaves it."""
        return self._builds.holding()

    def _recorded(self) -> list[Lock]:
        """Every lock, newest first."""
        return [Lock(**row) for row in self._database.read(_SQL["all_locks"])]

    def _used(self) -> dict[str, tuple[str, str]]:
        """The newest run that used each lock, and its role there."""
        used: dict[str, tuple[str, str]] = {}
        for row in self._database.read(_SQL["lock_users"]):
            used[row["digest"]] = max(used.get(row["digest"], ("", "")), (row["run"], row["role"]))
        return used

    def _stored(self, text: bytes, python: str, where: str) -> Lock:
        """The lock of a pylock file, checked and stored."""
        document = read_pylock(text, where)
        check_python(document, python, where)
        return lock_of(document, self._objects.put(text).digest, python)

    def _text(self, lock: Lock) -> bytes:
        """The pylock file; of one that is only built, it lies beside it."""
        try:
            return self.text(lock)
        except NotFound:
            built_from = self._builds.text(lock)
            if built_from is None:
                raise
            return built_from


def fits_several(beginning: str) -> Invalid:
    """What is said of a beginning that several digests have."""
    return Invalid(f"b3:{beginning} fits several environments", hint="type more of the digest")
