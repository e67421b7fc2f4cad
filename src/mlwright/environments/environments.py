"""The environments of a project: lock by uv, build by uv, name by digest."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mlwright.environments.builds import Builds, Environment
from mlwright.environments.declared import check_requirements, dependencies, normal, pyproject_of, selection
from mlwright.environments.locks import Lock, make_lock
from mlwright.environments.uv import Uv
from mlwright.kernel import edges
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.digest import digest_of
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Invalid, NotFound, Unavailable
from mlwright.kernel.files import write_whole
from mlwright.storage import InlineObjects

_SQL = Queries.beside(__file__)


class Environments:
    """Locks and virtual environments.

    Args:
        root: the project's folder, with `pyproject.toml` and `uv.lock`.
        local: where this machine keeps its virtual environments.
    """

    def __init__(self, database: Database, objects: InlineObjects, root: Path, local: Path) -> None:
        self._database = database
        self._objects = objects
        self._root = root
        self._local = local
        self._uv = Uv(root)
        self._builds = Builds(objects, self._uv, local / "environments")

    def lock(self, *, check: bool = False) -> bool:
        """Resolve the project's dependencies into `uv.lock`, or only look whether that is needed.

        Returns:
            Whether `uv.lock` was, or would be, changed.

        Raises:
            Invalid: a dependency is no requirement.
            Unavailable: uv cannot resolve them; its own words follow.
        """
        check_requirements(dependencies(self._root), self._root / "pyproject.toml")
        before = _content(self._root / "uv.lock")
        if check:
            done = self._uv.run("lock", "--check", "--python", sys.executable, check=False)
            return done.returncode != 0
        self._uv.run("lock", "--python", sys.executable, what="the dependencies cannot be locked")
        return _content(self._root / "uv.lock") != before

    def current(self, name: str = "") -> Lock:
        """The lock of one of the project's environments, stored; recorded by `record`.

        Args:
            name: of a dependency group or an extra, which the project's own dependencies come with; empty for
                these alone.

        Raises:
            NotFound: there is no `uv.lock`.
            Unavailable: it does not fit `pyproject.toml` any more.
            Invalid: neither a group nor an extra has that name, or both have it.
        """
        uv_lock = _content(self._root / "uv.lock")
        if uv_lock is None:
            raise NotFound(
                "the project's dependencies are not locked: there is no uv.lock",
                where=str(self._root),
                hint="mlwright environments lock",
            )
        key = digest_of((_content(self._root / "pyproject.toml") or b"") + b"\0" + uv_lock)
        exported = self._local / "locks" / (f"{key}-{normal(name)}.toml" if name else f"{key}.toml")
        if not exported.exists():
            self._export(exported, selection(self._root, name))
        text = exported.read_bytes()
        return make_lock(text, self._objects.put(text).digest)

    def names(self) -> list[str]:
        """The names of the environments that the project declares beside its own."""
        pyproject = pyproject_of(self._root)
        extras = pyproject.get("project", {}).get("optional-dependencies", {})
        return sorted({*extras, *pyproject.get("dependency-groups", {})})

    def resolve_with(self, lock: Lock, requirements: Sequence[str]) -> Lock:
        """A lock that holds all of another, at the same versions, and more.

        Args:
            lock: whose packages are kept as they are.
            requirements: as a user would write them (PEP 508).

        Raises:
            Invalid: one of them is no requirement.
            Unavailable: the two cannot be had together; uv's own words follow.
        """
        check_requirements(requirements)
        key = digest_of("\n".join([lock.digest, *sorted(requirements)]).encode())
        resolved = self._local / "locks" / f"{key}.toml"
        if not resolved.exists():
            base = self.build(lock)
            pins = [f"{name}=={pin.partition(' ')[0]}" for name, pin in sorted(base.inventory.pins.items())]
            with tempfile.TemporaryDirectory() as folder:
                wanted, target = Path(folder) / "requirements.in", Path(folder) / "pylock.toml"
                wanted.write_text("\n".join([*pins, *requirements]))
                self._uv.run(
                    *["pip", "compile", "--format", "pylock.toml", "--no-header"],
                    *["--python", str(base.python), "-o", str(target), str(wanted)],
                    what="the packages of the model and those of the server do not go together",
                )
                write_whole(resolved, target.read_bytes())
        text = resolved.read_bytes()
        return make_lock(text, self._objects.put(text).digest)

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
        edges.add(tx, [Edge(lock.end, "bytes", End("object", lock.pylock))])

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
            raise Invalid(f"b3:{beginning} fits several environments", hint="type more of the digest")
        return Lock(**rows[0])

    def adopt(self, lock: Lock, source: InlineObjects) -> None:
        """Take a lock over from another workspace, with its bytes."""
        self._objects.put(source.get(lock.pylock))
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

    def loose_edges(self) -> list[Edge]:
        """The edges that lead to locks, or come from them, which are not there."""
        return edges.loose(self._database, _SQL["loose_edges"])

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

    def _export(self, target: Path, selection: Sequence[str]) -> None:
        """Turn `uv.lock` into a pylock, which stands alone; refused when it is behind `pyproject.toml`."""
        if self.lock(check=True):
            raise Unavailable(
                "uv.lock does not fit pyproject.toml any more",
                where=str(self._root),
                hint="mlwright environments lock",
            )
        done = self._uv.run(
            *["export", "--quiet", "--frozen", "--no-emit-project", "--no-header", "--no-default-groups"],
            *["--format", "pylock.toml", *selection],
            what="the lock cannot be read",
        )
        write_whole(target, done.stdout.encode())


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
