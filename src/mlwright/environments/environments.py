"""The environments of a project: lock by uv, build by uv, name by digest."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlwright.environments.inventory import Inventory
from mlwright.environments.locks import Lock, current_platform, current_python, make_lock
from mlwright.kernel import edges
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.digest import digest_of
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Incompatible, Invalid, NotFound, Unavailable, nearest
from mlwright.kernel.files import write_whole
from mlwright.storage import InlineObjects

_SQL = Queries.beside(__file__)


class Environment(Struct, frozen=True):
    """A virtual environment that is complete."""

    lock: Lock
    python: Path
    inventory: Inventory


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

    def lock(self, *, check: bool = False) -> bool:
        """Resolve the project's dependencies into `uv.lock`, or only look whether that is needed.

        Returns:
            Whether `uv.lock` was, or would be, changed.

        Raises:
            Invalid: a dependency is no requirement.
            Unavailable: uv cannot resolve them; its own words follow.
        """
        _check_requirements(_dependencies(self._root), self._root / "pyproject.toml")
        before = _content(self._root / "uv.lock")
        if check:
            done = self._uv("lock", "--check", "--python", sys.executable, check=False)
            return done.returncode != 0
        self._uv("lock", "--python", sys.executable, what="the dependencies cannot be locked")
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
        exported = self._local / "locks" / (f"{key}-{_normal(name)}.toml" if name else f"{key}.toml")
        if not exported.exists():
            self._export(exported, _selection(self._root, name))
        text = exported.read_bytes()
        return make_lock(text, self._objects.put(text).digest)

    def resolve_with(self, lock: Lock, requirements: Sequence[str]) -> Lock:
        """A lock that holds all of another, at the same versions, and more.

        Args:
            lock: whose packages are kept as they are.
            requirements: as a user would write them (PEP 508).

        Raises:
            Invalid: one of them is no requirement.
            Unavailable: the two cannot be had together; uv's own words follow.
        """
        _check_requirements(requirements)
        key = digest_of("\n".join([lock.digest, *sorted(requirements)]).encode())
        resolved = self._local / "locks" / f"{key}.toml"
        if not resolved.exists():
            base = self.build(lock)
            pins = [f"{name}=={pin.partition(' ')[0]}" for name, pin in sorted(base.inventory.pins.items())]
            with tempfile.TemporaryDirectory() as folder:
                wanted, target = Path(folder) / "requirements.in", Path(folder) / "pylock.toml"
                wanted.write_text("\n".join([*pins, *requirements]))
                self._uv(
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
            with _only_one(place.with_suffix(".building")) as held:
                if not self.built(lock):
                    self._make(lock, place, held)
        return Environment(lock, place / "bin" / "python", Inventory.read(place / "inventory.json"))

    def _place(self, lock: Lock) -> Path:
        return self._local / "environments" / lock.digest[:32]

    def _make(self, lock: Lock, place: Path, held: int) -> None:
        """Build beside the place and rename.

        `held` is the lock on the place. uv inherits it: should we be killed, it goes on writing for a
        while, and whoever builds next waits for that to end.
        """
        pylock = self._objects.get(lock.pylock)
        making = place.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        self._uv(
            *["venv", "--quiet", "--no-project", "--relocatable", "--python", sys.executable, str(making)],
            what="no virtual environment can be made",
            held=held,
        )
        (making / "pylock.toml").write_bytes(pylock)
        self._uv(
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

    def _export(self, target: Path, selection: Sequence[str]) -> None:
        """Turn `uv.lock` into a pylock, which stands alone; refused when it is behind `pyproject.toml`."""
        if self.lock(check=True):
            raise Unavailable(
                "uv.lock does not fit pyproject.toml any more",
                where=str(self._root),
                hint="mlwright environments lock",
            )
        done = self._uv(
            *["export", "--quiet", "--frozen", "--no-emit-project", "--no-header", "--no-default-groups"],
            *["--format", "pylock.toml", *selection],
            what="the lock cannot be read",
        )
        write_whole(target, done.stdout.encode())

    def _uv(
        self, *arguments: str, what: str = "uv failed", check: bool = True, held: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run uv in the project's folder, where its settings (indexes above all) are found."""
        from uv import find_uv_bin

        # The caller's own virtual environment is not asked for, nor an interpreter fetched behind their back.
        variables = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        variables.setdefault("UV_PYTHON_DOWNLOADS", "never")
        done = subprocess.run(
            [find_uv_bin(), "--no-progress", *arguments],
            cwd=self._root,
            env=variables,
            pass_fds=() if held is None else (held,),
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise Unavailable(
                f"{what}:\n{done.stderr.strip()}", hint="check the names and the network, then try again"
            )
        return done


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _dependencies(root: Path) -> list[str]:
    """The requirements in `pyproject.toml`, as they are written."""
    pyproject = _pyproject(root)
    project, groups = pyproject.get("project", {}), pyproject.get("dependency-groups", {})
    optional = project.get("optional-dependencies", {}).values()
    # A group may also name another one, in a table.
    grouped = [each for each in chain.from_iterable(groups.values()) if isinstance(each, str)]
    return [*project.get("dependencies", []), *chain.from_iterable(optional), *grouped]


def _selection(root: Path, name: str) -> tuple[str, ...]:
    """The option by which uv adds a group or an extra to the project's own dependencies.

    Raises:
        Invalid: neither has that name, or both.
    """
    if not name:
        return ()
    pyproject = _pyproject(root)
    kinds = {
        "--group": pyproject.get("dependency-groups", {}),
        "--extra": pyproject.get("project", {}).get("optional-dependencies", {}),
    }
    found = [kind for kind, names in kinds.items() if _normal(name) in map(_normal, names)]
    where = str(root / "pyproject.toml")
    if not found:
        known = [each for names in kinds.values() for each in names]
        raise Invalid(
            f"there is no environment `{name}`: no dependency group and no extra has that name",
            where=where,
            hint=nearest(name, known) or f'add one: [dependency-groups] {name} = ["PACKAGE"]',
        )
    if len(found) > 1:
        raise Invalid(
            f"the environment `{name}` is both a dependency group and an extra",
            where=where,
            hint="rename one of them",
        )
    return (found[0], name)


def _normal(name: str) -> str:
    """A name as it is compared. Source: PEP 503; PEP 685 for extras, PEP 735 for groups."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((_content(root / "pyproject.toml") or b"").decode())


def _check_requirements(lines: Sequence[str], where: Path | None = None) -> None:
    """Refuse what is an option, a path or a piece of shell: uv would build the project to learn more."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in lines:
        try:
            Requirement(line)
        except InvalidRequirement as error:
            raise Invalid(
                f"{line!r} is not a requirement",
                where=None if where is None else str(where),
                hint="write NAME, or NAME with versions: pandas>=2.2",
            ) from error


@contextmanager
def _only_one(path: Path) -> Iterator[int]:
    """Hold a lock; yields the descriptor that it belongs to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
