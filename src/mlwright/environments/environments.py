"""The environments of a project: lock by uv, build by uv, name by digest."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from msgspec.structs import replace

from mlwright.environments.aside import aside, real_paths
from mlwright.environments.builds import Builds, Environment
from mlwright.environments.changes import Changes, Proposal
from mlwright.environments.credentials import refuse_credentials
from mlwright.environments.declared import check_requirements, normal, selection
from mlwright.environments.differences import EnvironmentDifference, difference
from mlwright.environments.exports import Export, check_same, export, read_export
from mlwright.environments.listing import OWN, ListedEnvironment
from mlwright.environments.locks import Lock, at_platform, current_python, lock_of
from mlwright.environments.mixing import mixed
from mlwright.environments.prune import RECENT_US, Unneeded
from mlwright.environments.pylocks import check_python, kept_wheels, of_indexes, read_pylock
from mlwright.environments.source_locks import Locked, SourceLocks
from mlwright.environments.sources import Source, meant, names, script_source, source_of
from mlwright.environments.uv import Uv
from mlwright.environments.wheels import FolderWheels
from mlwright.kernel import edges
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.digest import digest_of
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Corrupt, Invalid, MlwrightError, NotFound, Unavailable, nearest
from mlwright.kernel.files import content_of, write_whole
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import are_counted
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
        self.changes = Changes(root, self._uv, local)
        self._wheels = FolderWheels(objects, self._uv, root, local / "locks")
        self._source_locks = SourceLocks(self._uv, root, local / "locks")

    def lock(self, *, check: bool = False, allow_yanked: bool = False) -> bool:
        """Resolve what the project needs into `uv.lock`, or only look whether that is needed.

        Args:
            check: only look.
            allow_yanked: also take versions that their authors took back.

        Returns:
            Whether `uv.lock` was, or would be, changed; or the lock of the file that says it instead.

        Raises:
            Invalid: a dependency is no requirement, they contradict each other, or one is yanked.
            NotFound: no index has one of them.
            Incompatible: one of them does not serve this Python or platform.
            Unavailable: an index cannot be reached.
        """
        source = source_of(self._root)
        if source is not None:
            return self._source_locks.lock(source, check=check, allow_yanked=allow_yanked).changed
        return self._lock_project(check=check, allow_yanked=allow_yanked)

    def _lock_project(self, *, check: bool, allow_yanked: bool = False) -> bool:
        proposal = self.changes.plan_lock()
        if not check:
            self.changes.apply(proposal, allow_yanked=allow_yanked)
        return not proposal.empty

    def current(self, name: str = "") -> Lock:
        """The lock of one of the project's environments, stored; recorded by `record`.

        Args:
            name: of a dependency group or an extra, which the project's own dependencies come with; empty for
                these alone.

        Raises:
            NotFound: there is no `uv.lock`.
            Unavailable: it does not fit `pyproject.toml` any more.
            Invalid: neither a group nor an extra has that name, or both have it; or the lock has a password.
        """
        source = source_of(self._root, name)
        if source is not None:
            return self._of_source(source)
        self.changes.mend()
        uv_lock = content_of(self._root / "uv.lock")
        if uv_lock is None:
            raise NotFound(
                "the project's dependencies are not locked: there is no uv.lock",
                where=str(self._root),
                hint="mlwright environments lock",
            )
        key = digest_of((content_of(self._root / "pyproject.toml") or b"") + b"\0" + uv_lock)
        exported = self._local / "locks" / (f"{key}-{normal(name)}.toml" if name else f"{key}.toml")
        if not exported.exists():
            self._export(exported, selection(self._root, name))
        text = self._wheels.fixed(exported.read_bytes(), self._refuse_stale)
        return self._stored(text, current_python(), str(self._root / "uv.lock"))

    def of_script(self, path: str) -> Lock | None:
        """The lock of a script that says itself what it needs (PEP 723); None if it does not.

        Args:
            path: of the script, in the project.

        Raises:
            NotFound: it is not locked.
            Unavailable: its lock does not fit it any more.
            Invalid: what it says cannot be read.
            Incompatible: this machine has no interpreter that it asks for.
        """
        source = script_source(self._root, path)
        return None if source is None else self._of_source(source)

    def lock_file(self, name: str, *, check: bool = False, allow_yanked: bool = False) -> Locked:
        """Lock what one file asks for: that of a named environment, or a script.

        Args:
            name: of an environment in `[tool.mlwright.environments]`, or a script's path in the project;
                empty, or `default`, for the project's own.
            check: only look whether that is needed.
            allow_yanked: also take versions that their authors took back.

        Raises:
            Invalid: neither is there, or it asks for what is no requirement.
            Unavailable: uv cannot resolve it; its own words follow.
        """
        name = meant(self._root, name)
        source = script_source(self._root, name) if name.endswith(".py") else source_of(self._root, name)
        if source is not None:
            return self._source_locks.lock(source, check=check, allow_yanked=allow_yanked)
        if name.endswith(".py"):
            raise Invalid(
                f"{name} does not say what it needs: it runs in the project's environment",
                hint='let it say so: # /// script, # dependencies = ["PACKAGE"], # ///',
            )
        selection(self._root, name)
        changed = self._lock_project(check=check, allow_yanked=allow_yanked)
        return Locked(self._root / "uv.lock", self._root / "pyproject.toml", changed)

    def lock_all(self, *, check: bool = False, allow_yanked: bool = False) -> Sequence[Locked]:
        """Lock the project's own environment, and those that it names files for.

        Raises:
            Invalid, Unavailable: as `lock_file`.
        """
        wanted = dict.fromkeys(["", *self.files()])
        return [self.lock_file(name, check=check, allow_yanked=allow_yanked) for name in wanted]

    def files(self) -> Sequence[str]:
        """The names of the environments that files say, beside `[project]`; the project's own is empty."""
        return [name for name in ["", *self.names()] if source_of(self._root, name) is not None]

    def names(self) -> Sequence[str]:
        """The names of the environments that the project declares beside its own."""
        return names(self._root)

    def proposed(self, proposal: Proposal, name: str = "") -> Lock:
        """The lock that an environment would have: `build` builds it, beside those there are.

        What a file says, a proposal does not change.

        Raises:
            Invalid: the project would have no environment of that name, or its lock holds a password.
            NotFound, Unavailable: as `current`, of one that a file says.
        """
        if source_of(self._root, name) is not None:
            return self.current(name)
        with aside(self._root, proposal.pyproject, proposal.uv_lock) as place:
            try:
                text = _exported(Uv(place), selection(place, name))
            except MlwrightError as error:
                error.message = real_paths(error.message, place, self._root)
                error.where = error.where and real_paths(error.where, place, self._root)
                raise
        text = self._wheels.fixed(text, lambda: None)
        return self._stored(text, current_python(), str(self._root / "uv.lock"))

    def resolve_with(self, lock: Lock, requirements: Sequence[str]) -> Lock:
        """A lock that holds all that another installs, the same files from the same places, and more.

        Args:
            lock: whose packages are kept as they are.
            requirements: as a user would write them (PEP 508).

        Raises:
            Invalid: one of them is no requirement.
            Unavailable: the two cannot be had together; uv's own words follow.
        """
        check_requirements(requirements)
        key = digest_of("\n".join(["kept", lock.digest, *sorted(requirements)]).encode())
        resolved = self._local / "locks" / f"{key}.toml"
        if not resolved.exists():
            base = self.build(lock)
            document = read_pylock(self.text(lock), lock.label)
            pins = {name: f"{name}=={pin.partition(' ')[0]}" for name, pin in base.inventory.pins.items()}
            asked = sorted(pins.keys() & of_indexes(document))
            with tempfile.TemporaryDirectory() as folder:
                wanted, kept = Path(folder) / "requirements.in", Path(folder) / "kept.txt"
                target = Path(folder) / "pylock.toml"
                wanted.write_text("\n".join([*(pins[name] for name in asked), *requirements]))
                kept.write_text("\n".join(pins.values()))
                self._uv.run(
                    *["pip", "compile", "--format", "pylock.toml", "--no-header"],
                    *["--python", str(base.python), "--constraint", str(kept)],
                    *["-o", str(target), str(wanted)],
                    what="the packages of the model and those of the server do not go together",
                )
                refuse_credentials(target.read_text(), "the lock")
                # An index may have another package of that name and version: what is there stays what it is.
                text = mixed(target.read_bytes(), self.text(lock), base.inventory.pins)
                write_whole(resolved, text)
        return self._stored(resolved.read_bytes(), lock.python, lock.label)

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
            raise _fits_several(beginning)
        return Lock(**rows[0])

    def named(self, name: str) -> Lock | None:
        """The lock of the environment that the project names so: `default` is its own; None for no such name.

        Raises:
            NotFound, Unavailable, Invalid: as `current`.
        """
        name = meant(self._root, name)
        return self.current(name) if not name or normal(name) in map(normal, names(self._root)) else None

    def find(self, reference: str) -> Lock:
        """An environment by its name, or by its digest or the beginning of it, recorded or only built.

        Raises:
            NotFound: there is none.
            Unavailable, Invalid: as `current` and `get`.
        """
        lock = self.named(reference)
        if lock is not None:
            return lock
        try:
            return self.get(reference)
        except NotFound as error:
            beginning = reference.removeprefix("b3:")
            there = [each for each in self._builds.there() if beginning and each.digest.startswith(beginning)]
            if len(there) == 1:
                return there[0]
            if there:
                raise _fits_several(beginning) from error
            hint = f"{nearest(reference, [OWN, *names(self._root)])} (digests: mlwright environments list)"
            raise NotFound(error.message, hint=hint) from error

    def list(self) -> tuple[ListedEnvironment, ...]:
        """The environments that the project names, then those that are only recorded or built here."""
        found = [self._listed_by_name(name) for name in ("", *names(self._root))]
        used: dict[str, tuple[str, str]] = {}
        for row in self._database.read(_SQL["lock_users"]):
            used[row["digest"]] = max(used.get(row["digest"], ("", "")), (row["run"], row["role"]))
        seen = {each.lock.digest for each in found if each.lock}
        recorded = [Lock(**row) for row in self._database.read(_SQL["all_locks"])]
        for lock in {each.digest: each for each in [*recorded, *self._builds.there()]}.values():
            if lock.digest not in seen:
                role = used.get(lock.digest, ("", ""))[1]
                name = (role.partition(":")[2] or OWN) if role else ""
                found.append(ListedEnvironment(name, current=False, lock=lock))
        return tuple(self._with_facts(each, used) for each in found)

    def difference(self, then: Lock, now: Lock) -> EnvironmentDifference:
        """What differs between two environments.

        Raises:
            NotFound, Corrupt: the pylock of one of them is not in the store, or damaged.
        """
        return difference(then, now, (self._text(then), self._text(now)))

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

    def export(self, lock: Lock, form: str, name: str = "mlwright") -> Export:
        """An environment in a form that others read.

        Args:
            form: `requirements`, `pylock`, `conda` or `dockerfile`.
            name: what conda calls it.

        Raises:
            Invalid: there is no such form.
        """
        return export(lock, self.text(lock), form, name)

    def write_export(self, exported: Export, file: Path) -> None:
        """Write what was exported, and what must lie beside it.

        Raises:
            Conflict: another file of such a name lies beside it, or it would replace a lock of the project.
        """
        for name in ["", *self.names()]:
            with suppress(NotFound, Invalid):  # what has no file has no lock beside it
                source = source_of(self._root, name)
                if source is not None and source.kind != "pylock":
                    exported.refuse_over(source.lock, source.file.name, file)
        exported.write(file, self._objects.get)

    def take(self, file: Path) -> Lock:
        """The lock in a pylock file, stored; of the same digest as where it was exported.

        What others have written is for our own interpreter and platform.

        Raises:
            NotFound: there is no such file, or a wheel that must lie beside it.
            Corrupt: it is no pylock, or was changed since it was exported.
            Incompatible: it is for another interpreter.
            Invalid: it names a package without a hash, by a path, or by an address with a password.
        """
        where, text = str(file), content_of(file)
        if text is None:
            raise NotFound(f"there is no file {file.name}", where=str(file.absolute().parent))
        if file.suffix != ".toml":
            raise Invalid(
                f"{file.name} is no pylock, and names no environment exactly",
                where=where,
                hint="write one: mlwright environments export -o pylock.toml",
            )
        bare, told = read_export(text, where)
        for path, digest in kept_wheels(bare).items():
            wheel = content_of(file.parent / path)
            if wheel is None:
                raise NotFound(f"there is no {path} beside {file.name}", where=str(file.absolute().parent))
            if self._objects.put(wheel).digest != digest:
                raise Corrupt(
                    f"{path} is not the wheel that {file.name} names", where=str(file.parent / path)
                )
        lock = self._stored(bare, told["python"] if told else current_python(), where)
        lock = at_platform(lock, told["platform"]) if told else lock
        check_same(lock, told, where)
        return lock

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

    def unneeded(self, older_us: int = RECENT_US) -> tuple[Unneeded, ...]:
        """The built environments that nobody uses now, no name of the project means, and no run used of late.

        Args:
            older_us: how long ago a run must have used one last, in microseconds.
        """
        needed = []
        for name in ["", *self.names()]:
            with suppress(MlwrightError):  # what cannot be locked now is kept as long as it was of use
                needed.append(self.current(name))
        return self._builds.unneeded(needed, older_us)

    @property
    def builds(self) -> Builds:
        """Those that are built on this machine: to look at, to make anew, to take away."""
        return self._builds

    def holding(self) -> AbstractContextManager[None]:
        """Whatever is built or asked for while the block runs is in use until it ends: `prune` leaves it."""
        return self._builds.holding()

    def _of_source(self, source: Source) -> Lock:
        text, python = self._source_locks.text(source)
        return self._stored(text, python, str(source.lock))

    def _stored(self, text: bytes, python: str, where: str) -> Lock:
        """The lock of a pylock file, checked and kept."""
        document = read_pylock(text, where)
        check_python(document, python, where)
        return lock_of(document, self._objects.put(text).digest, python)

    def _listed_by_name(self, name: str) -> ListedEnvironment:
        try:
            return ListedEnvironment(name or OWN, current=True, lock=self.current(name))
        except MlwrightError as error:
            return ListedEnvironment(name or OWN, current=True, lock=None, problem=error.message)

    def _with_facts(
        self, listed: ListedEnvironment, used: Mapping[str, tuple[str, str]]
    ) -> ListedEnvironment:
        if listed.lock is None:
            return listed
        return replace(
            listed,
            built=self._builds.built(listed.lock),
            size_bytes=self._builds.size_bytes(listed.lock),
            last_run=used.get(listed.lock.digest, ("", ""))[0] or None,
        )

    def _text(self, lock: Lock) -> bytes:
        """The pylock file; of one that is only built, it lies beside it."""
        try:
            return self.text(lock)
        except NotFound:
            built_from = self._builds.text(lock)
            if built_from is None:
                raise
            return built_from

    def _refuse_stale(self) -> None:
        if self._lock_project(check=True):
            raise Unavailable(
                "uv.lock does not fit pyproject.toml any more",
                where=str(self._root),
                hint="mlwright environments lock",
            )

    def _export(self, target: Path, selection: Sequence[str]) -> None:
        """Turn `uv.lock` into a pylock, which stands alone; refused when it is behind `pyproject.toml`."""
        self._refuse_stale()
        write_whole(target, _exported(self._uv, selection))


def _exported(uv: Uv, selection: Sequence[str]) -> bytes:
    """The pylock of a `uv.lock`; refused when it would store a password."""
    done = uv.run(
        *["export", "--quiet", "--frozen", "--no-emit-project", "--no-header", "--no-default-groups"],
        *["--format", "pylock.toml", *selection],
        what="the lock cannot be read",
    )
    refuse_credentials(done.stdout, "uv.lock", str(uv.root / "uv.lock"))
    return done.stdout.encode()


def _fits_several(beginning: str) -> Invalid:
    return Invalid(f"b3:{beginning} fits several environments", hint="type more of the digest")
