"""The environments of a project: lock by uv, build by uv, name by digest."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from mlwright.environments.aside import PYPROJECT
from mlwright.environments.builds import Builds
from mlwright.environments.changes import Changes, Proposal
from mlwright.environments.declared import check_requirements, normal, selection
from mlwright.environments.exports import Export, check_same, export, read_export
from mlwright.environments.known import KnownEnvironments, fits_several
from mlwright.environments.listing import OWN, ListedEnvironment
from mlwright.environments.locks import Lock, at_platform, current_python
from mlwright.environments.mixing import alone, with_more
from mlwright.environments.project_locks import ProjectLocks
from mlwright.environments.prune import RECENT_US, Unneeded
from mlwright.environments.source_locks import Locked, SourceLocks
from mlwright.environments.sources import Source, meant, names, script_source, source_of
from mlwright.environments.uv import Uv
from mlwright.environments.wheels import FolderWheels
from mlwright.kernel.database import Database
from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import Invalid, MlwrightError, NotFound, nearest
from mlwright.kernel.files import write_whole
from mlwright.storage import InlineObjects


class Environments(KnownEnvironments):
    """Locks and virtual environments.

    Args:
        root: the project's folder, with `pyproject.toml` and `uv.lock`.
        local: where this machine keeps its virtual environments.
    """

    def __init__(self, database: Database, objects: InlineObjects, root: Path, local: Path) -> None:
        self._uv = Uv(root)
        super().__init__(database, objects, Builds(objects, self._uv, local / "environments"))
        self._root = root
        self._local = local
        self.changes = Changes(root, self._uv, local)
        locks = local / "locks"
        wheels = FolderWheels(objects, self._uv, root, locks)
        self._project_locks = ProjectLocks(self._uv, root, locks, self.changes, wheels)
        self._source_locks = SourceLocks(self._uv, root, locks)

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
        return self._project_locks.lock(check=check, allow_yanked=allow_yanked)

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
        text = self._project_locks.text(name)
        return self._stored(text, current_python(), str(self._project_locks.file))

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
        changed = self._project_locks.lock(check=check, allow_yanked=allow_yanked)
        return Locked(self._project_locks.file, self._root / "pyproject.toml", changed)

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
        text = self._project_locks.proposed(proposal, name)
        return self._stored(text, current_python(), str(self._project_locks.file))

    def resolve_with(self, lock: Lock, requirements: Sequence[str]) -> Lock:
        """A lock that holds all that another installs, the same files from the same places, and more.

        Args:
            lock: whose packages are kept as they are.
            requirements: as a user would write them (PEP 508).

        Raises:
            Invalid: one of them is no requirement.
            Exclusive: the two exclude each other.
            NotFound, Unavailable: one of them cannot be had; uv's own words follow.
        """
        check_requirements(requirements)
        key = digest_of("\n".join(["kept", lock.digest, *sorted(requirements)]).encode())
        resolved = self._local / "locks" / f"{key}.toml"
        if not resolved.exists():
            text = with_more(self._uv, self.build(lock), self.text(lock), requirements)
            write_whole(resolved, text)
        return self._stored(resolved.read_bytes(), lock.python, lock.label)

    def resolve_alone(self, requirements: Sequence[str]) -> Lock:
        """A lock of nothing but some packages and what they need, for the interpreter that runs this.

        What was resolved once is not resolved again.

        Args:
            requirements: as a user would write them (PEP 508).

        Raises:
            Invalid: one of them is no requirement.
            Unavailable: they cannot be had; uv's own words follow.
        """
        check_requirements(requirements)
        key = digest_of("\n".join(["alone", current_python(), *sorted(requirements)]).encode())
        resolved = self._local / "locks" / f"{key}.toml"
        if not resolved.exists():
            what = "the packages of a server cannot be had"
            write_whole(resolved, alone(self._uv, Path(sys.executable), sorted(requirements), what))
        return self._stored(resolved.read_bytes(), current_python(), "the server's own packages")

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
                raise fits_several(beginning) from error
            hint = f"{nearest(reference, [OWN, *names(self._root)])} (digests: mlwright environments list)"
            raise NotFound(error.message, hint=hint) from error

    def list(self) -> tuple[ListedEnvironment, ...]:
        """The environments that the project names, then those that are only recorded or built here."""
        found = [self._listed_by_name(name) for name in ("", *names(self._root))]
        used = self._used()
        seen = {each.lock.digest for each in found if each.lock}
        for lock in {each.digest: each for each in [*self._recorded(), *self._builds.there()]}.values():
            if lock.digest not in seen:
                role = used.get(lock.digest, ("", ""))[1]
                name = (role.partition(":")[2] or OWN) if role else ""
                found.append(ListedEnvironment(name, current=False, lock=lock))
        return tuple(self._with_facts(each, used) for each in found)

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
            Conflict: another file of such a name lies beside it, or it would replace a lock: one of the
                project, or of a script.
            Invalid: it would replace the lock of a script that cannot be read.
        """
        for name in ["", *self.names()]:
            with suppress(NotFound, Invalid):  # what has no file has no lock beside it
                source = source_of(self._root, name)
                if source is None:
                    exported.refuse_over(self._project_locks.file, PYPROJECT, file)
                elif source.kind != "pylock":
                    exported.refuse_over(source.lock, source.file.name, file)
        script = file.absolute().with_suffix("")
        if file.suffix == ".lock" and script.suffix == ".py" and script_source(self._root, str(script)):
            exported.refuse_over(file, script.name, file)
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
        text, told = read_export(file, self._objects)
        lock = self._stored(text, told["python"] if told else current_python(), str(file))
        lock = at_platform(lock, told["platform"]) if told else lock
        check_same(lock, told, str(file))
        return lock

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

    def _of_source(self, source: Source) -> Lock:
        text, python = self._source_locks.text(source)
        return self._stored(text, python, str(source.lock))

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
