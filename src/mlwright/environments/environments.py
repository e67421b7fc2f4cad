"""The environments of a project: lock by uv, build by uv, name by digest."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlwright.environments.inventory import Inventory
from mlwright.environments.locks import Lock, current_platform, current_python, make_lock
from mlwright.kernel import edges
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.digest import digest_of
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Incompatible, NotFound, Unavailable
from mlwright.storage import InlineObjects

_SQL = Queries.beside(__file__)


@dataclass(frozen=True, slots=True)
class Environment:
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
            Unavailable: uv cannot resolve them; its own words follow.
        """
        before = _content(self._root / "uv.lock")
        if check:
            done = _uv("lock", "--check", "--project", str(self._root), check=False)
            return done.returncode != 0
        _uv("lock", "--project", str(self._root), what="the dependencies cannot be locked")
        return _content(self._root / "uv.lock") != before

    def current(self) -> Lock:
        """The project's lock, stored; recorded by `record`.

        Raises:
            NotFound: there is no `uv.lock`.
            Unavailable: it does not fit `pyproject.toml` any more.
        """
        uv_lock = _content(self._root / "uv.lock")
        if uv_lock is None:
            raise NotFound(
                "the project's dependencies are not locked: there is no uv.lock",
                where=str(self._root),
                hint="mlwright environments lock",
            )
        key = digest_of((_content(self._root / "pyproject.toml") or b"") + b"\0" + uv_lock)
        exported = self._local / "locks" / f"{key}.toml"
        if not exported.exists():
            self._export(exported)
        text = exported.read_bytes()
        return make_lock(text, self._objects.put(text).digest)

    def resolve_with(self, lock: Lock, requirements: Sequence[str]) -> Lock:
        """A lock that holds all of another, at the same versions, and more.

        Args:
            lock: whose packages are kept as they are.
            requirements: as a user would write them (PEP 508).

        Raises:
            Unavailable: the two cannot be had together; uv's own words follow.
        """
        key = digest_of("\n".join([lock.digest, *sorted(requirements)]).encode())
        resolved = self._local / "locks" / f"{key}.toml"
        if not resolved.exists():
            base = self.build(lock)
            pins = [f"{name}=={pin.partition(' ')[0]}" for name, pin in sorted(base.inventory.pins.items())]
            with tempfile.TemporaryDirectory() as folder:
                wanted, target = Path(folder) / "requirements.in", Path(folder) / "pylock.toml"
                wanted.write_text("\n".join([*pins, *requirements]))
                _uv(
                    *["pip", "compile", "--format", "pylock.toml", "--no-header"],
                    *["--python", str(base.python), "-o", str(target), str(wanted)],
                    what="the packages of the model and those of the server do not go together",
                )
                _publish(target.read_bytes(), resolved)
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
        """
        rows = self._database.read(_SQL["lock_by_digest"], prefix=digest.removeprefix("b3:"))
        if len(rows) != 1:
            raise NotFound(f"there is no environment {digest[:12]!r}")
        return Lock(**rows[0])

    def adopt(self, lock: Lock, source: InlineObjects) -> None:
        """Take a lock over from another workspace, with its bytes."""
        self._objects.put(source.get(lock.pylock))
        with self._database.transaction() as tx:
            self.record(tx, lock)

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
            with _only_one(place.with_suffix(".building")):
                if not self.built(lock):
                    self._make(lock, place)
        return Environment(lock, place / "bin" / "python", Inventory.read(place / "inventory.json"))

    def _place(self, lock: Lock) -> Path:
        return self._local / "environments" / lock.digest[:32]

    def _make(self, lock: Lock, place: Path) -> None:
        pylock = self._objects.get(lock.pylock)
        making = place.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        _uv(
            *["venv", "--quiet", "--no-project", "--relocatable", "--python", sys.executable, str(making)],
            what="no virtual environment can be made",
        )
        (making / "pylock.toml").write_bytes(pylock)
        _uv(
            *["pip", "sync", "--quiet", "--require-hashes", "--allow-empty-requirements"],
            *["--python", str(making / "bin" / "python"), str(making / "pylock.toml")],
            what="the packages of the environment cannot be installed",
        )
        # Most commands build nothing, and what reads metadata takes 40 ms to import.
        from mlwright.environments.installed import take_inventory

        site_packages = next((making / "lib").glob("python*/site-packages"))
        take_inventory(site_packages, pylock).write(making / "inventory.json")
        shutil.rmtree(place, ignore_errors=True)
        making.rename(place)

    def _export(self, target: Path) -> None:
        """Turn `uv.lock` into a pylock, which stands alone; refused when it is behind `pyproject.toml`."""
        if self.lock(check=True):
            raise Unavailable(
                "uv.lock does not fit pyproject.toml any more",
                where=str(self._root),
                hint="mlwright environments lock",
            )
        done = _uv(
            *["export", "--quiet", "--frozen", "--no-emit-project", "--no-header", "--no-default-groups"],
            *["--format", "pylock.toml", "--project", str(self._root)],
            what="the lock cannot be read",
        )
        _publish(done.stdout.encode(), target)


def _publish(data: bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(target)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _uv(*arguments: str, what: str = "uv failed", check: bool = True) -> subprocess.CompletedProcess[str]:
    from uv import find_uv_bin

    # The caller's own virtual environment, and an interpreter fetched behind their back, are not asked for.
    variables = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    variables.setdefault("UV_PYTHON_DOWNLOADS", "never")
    done = subprocess.run(
        [find_uv_bin(), "--no-progress", *arguments],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode != 0:
        raise Unavailable(
            f"{what}:\n{done.stderr.strip()}", hint="check the names and the network, then try again"
        )
    return done
