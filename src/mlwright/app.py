"""Wiring: the only place that knows which implementation stands behind which port.

`Project` is the Python face of everything the command line does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from mlwright import serving
from mlwright.environments import Environments, Lock, Proposal
from mlwright.kernel.errors import Invalid, MlwrightError, NotFound, Unavailable
from mlwright.kernel.events import Event, history
from mlwright.kernel.ids import looks_like_id
from mlwright.kernel.plan import Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.settings import LOCAL_FOLDER, ProjectFolder, Settings, find_project
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.ranges import Range
from mlwright.storage.remotes import open_remote
from mlwright.tracking import Run, Runs
from mlwright.tracking.runs import counts_back
from mlwright.versioning import Datasets, Lineage
from mlwright.versioning.remotes import Exchange, remote_named
from mlwright.workflow import Pipelines, Reproduction, Request, Rooms, Watcher, open_rooms, reproduce
from mlwright.workflow.artifacts import Artifacts
from mlwright.workflow.culprit import Culprit
from mlwright.workflow.ends import finders, labellers
from mlwright.workflow.impact import Impact, impact_of
from mlwright.workflow.openlineage import told_of
from mlwright.workflow.registry import Registry
from mlwright.workflow.scripts import kind_of, path_in
from mlwright.workflow.trials import Trial
from mlwright.workflow.upkeep import Collected, collect, plan_collect
from mlwright.workflow.watch import Unwatched
from mlwright.workspace import create_project, open_workspace
from mlwright.workspace.backup import Manifest
from mlwright.workspace.doctor import Finding
from mlwright.workspace.summary import Summary
from mlwright.workspace.verify import Verified
from mlwright.workspace.workspace import DATABASE, RECORDS, keep_in_folder


def open_dataset(reference: str) -> tuple[dict[str, Range], Path]:
    """The files of a dataset of the project that this process is in, and where copies may be made.

    Raises:
        NotFound: no such dataset, or no project.
    """
    with Project.open() as project:
        version = project.datasets.versions.resolve(reference)
        return project.datasets.files(version), project.rooms.workspace.local / "datasets"


def create(folder: Path, name: str | None = None) -> Plan:
    """Make a project: the starter's files, the lock of its packages, and its data.

    Raises:
        Conflict: the folder holds files of the same names.
        Unavailable: the packages cannot be locked or installed; the files are there already.
    """
    plan = create_project(folder, name)
    with Project.open(folder) as project:
        project.environments.lock()
        environment = project.environments.build(project.environments.current())
        done = subprocess.run(
            [str(environment.python), "scripts/patients.py"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"scripts/patients.py failed:\n{done.stderr}", where=str(folder))
    return plan


def doctor(folder: Path = Path()) -> list[Finding]:
    """Look whether all is well with this machine and with the project that a folder lies in, if it does.

    Later checks replace earlier ones of the same name: of the clock, the project's own knows more.
    """
    from mlwright.workflow.upkeep import project_checks
    from mlwright.workspace.doctor import Finding, examine, machine_checks

    checks = machine_checks(folder)
    try:
        found = find_project(folder)
        checks = machine_checks(found.root)
        if not any((found.local / name).exists() for name in (DATABASE, RECORDS)):
            told = f"{found.name} in {found.root}, without a workspace yet"
            return [*examine(checks), Finding("project", "ok", told, "the first command makes it")]
        with Project.open(folder) as project:
            return examine(checks | project_checks(project.rooms))
    except NotFound:
        return [*examine(checks), Finding("project", "ok", "you are in none", "make one: mlwright init")]
    except MlwrightError as error:
        told = f"{error.message} ({error.where})" if error.where else error.message
        return [*examine(checks), Finding("project", "problem", told, error.hint or "")]


def verify_backup(source: Path, progress: Progress = SILENT) -> Verified:
    """Look at every record, edge and byte of a backup, where it lies; nothing in it is changed.

    Raises:
        NotFound: there is no backup.
        Corrupt: it is not complete, or its records are damaged: what it should hold cannot be known.
        Incompatible: a newer mlwright made it.
    """
    from mlwright.workspace.verify_backup import for_backup, opened_backup

    with opened_backup(source) as backup:
        place = ProjectFolder(backup.workspace.root, backup.manifest.project, Settings())
        found = Project(open_rooms(place, backup.workspace)).verify(progress)
        return for_backup(backup, found)


class Project:
    """A project with its workspace.

    Use it as a context manager, or call `close`.
    """

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms

    @classmethod
    def open(cls, folder: str | Path = ".") -> Project:
        """The project that a folder lies in.

        Raises:
            NotFound: it lies in none.
            Incompatible: a newer mlwright wrote its workspace.
        """
        found = find_project(Path(folder))
        return cls(open_rooms(found, open_workspace(found)))

    def close(self) -> None:
        """Let go of the workspace."""
        self.rooms.workspace.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.rooms.project.root

    @property
    def datasets(self) -> Datasets:
        """The datasets of the workspace."""
        return self.rooms.datasets

    @cached_property
    def models(self) -> Registry:
        """The models of the workspace."""
        return Registry(self.rooms)

    @property
    def runs(self) -> Runs:
        """The runs of the workspace."""
        return self.rooms.runs

    @property
    def environments(self) -> Environments:
        """The project's environments."""
        return self.rooms.environments

    def environment(self, reference: str = "") -> Lock:
        """The lock of an environment: by its name, a script, a run (`RUN`, `RUN/STEP`), or a digest.

        Args:
            reference: empty, or `default`, for the project's own.

        Raises:
            NotFound: there is none.
            Unavailable: the project's files do not fit each other.
            Invalid: it fits several.
        """
        lock = self.environments.named(reference)
        if lock is not None:
            return lock
        if reference.endswith(".py"):
            script = path_in(self.rooms.project, reference, Path.cwd())
            return self.environments.of_script(script) or self.environments.current()
        run = reference.partition("/")[0]
        if counts_back(run) or looks_like_id(run):
            from mlwright.workflow.detail import environment_of

            try:
                return environment_of(self.rooms, reference)
            except NotFound:
                if counts_back(run) or run != reference:
                    raise
        return self.environments.find(reference)

    def plan_lock(self, name: str = "", *, check: bool = False, allow_yanked: bool = False) -> Plan:
        """Lock an environment by its name, or a script; without one, all that the project names.

        Args:
            check: only look what would be done.
            allow_yanked: also take versions that their authors took back.

        Raises:
            Invalid: it asks for what is no requirement.
            Unavailable: uv cannot resolve it; its own words follow.
        """
        if name.endswith(".py"):
            name = path_in(self.rooms.project, name, Path.cwd())
        found = self.environments
        done = (
            [found.lock_file(name, check=check, allow_yanked=allow_yanked)]
            if name
            else found.lock_all(check=check, allow_yanked=allow_yanked)
        )
        return Plan("lock", tuple(change for each in done for change in each.changes))

    @cached_property
    def pipelines(self) -> Pipelines:
        """The project's pipelines."""
        return Pipelines(self.rooms)

    @cached_property
    def artifacts(self) -> Artifacts:
        """What the steps of runs made."""
        return Artifacts(self.rooms)

    @cached_property
    def lineage(self) -> Lineage:
        """The way from anything to what it was made from, and to what came of it."""
        return Lineage(self.rooms.database, finders(self.rooms), labellers(self.rooms))

    def impact(self, reference: str) -> Impact:
        """What is affected if a thing was wrong: runs, models with their aliases, datasets; and what makes
        each again.

        Raises:
            NotFound: nothing has that name.
            Invalid: the reference fits several things.
        """
        return impact_of(self.rooms, self.lineage, reference)

    def openlineage(self, reference: str, *, down: bool = False) -> list[dict[str, Any]]:
        """The events of a run in OpenLineage's words, as they are sent while it goes.

        Args:
            reference: a run; of another thing, all runs that it came of are told, oldest first.
            down: all runs that came of it, instead.

        Raises:
            NotFound: nothing has that name.
            Invalid: the reference fits several things.
        """
        return told_of(self.rooms, self.lineage, reference, down=down)

    def exchange(self, remote: str | None = None) -> Exchange:
        """Push and pull of datasets.

        Args:
            remote: a name of `remotes`, an address, or None for `origin` or the only one.

        Raises:
            NotFound: there is no such remote.
            Invalid: its address is none.
            Unavailable: obstore is not installed.
        """
        workspace = self.rooms.workspace
        address = remote_named(remote, self.rooms.project.settings.remotes)
        opened = open_remote(address, self.root, workspace.local)
        return Exchange(workspace.database, workspace.objects, opened)

    def dataset(self, reference: str) -> Dataset:
        """A dataset whose files can be read here.

        Raises:
            NotFound: there is none.
        """
        return self.datasets.open(reference, self.rooms.workspace.scratch / "datasets")

    def request(
        self,
        name: str,
        parameters: Mapping[str, Any],
        arguments: Sequence[str] = (),
        *,
        seed: int = 0,
        cache: bool = True,
        executor: str = "",
        verify: bool = False,
    ) -> Request:
        """What is to be run: a pipeline by its name, a script or a notebook by its path.

        Raises:
            NotFound: there is no such script.
            Invalid: arguments are given to what is no script.
        """
        given = dict(parameters)
        kind = kind_of(name)
        if kind != "pipeline":
            name = path_in(self.rooms.project, name, Path.cwd())
        if kind == "script":
            given["arguments"] = list(arguments)
        elif arguments:
            raise Invalid(
                f"{arguments[0]!r} is too much: a {kind} has no arguments",
                hint="set parameters: -p NAME=VALUE",
            )
        return Request(name, given, seed, cache, executor=executor, verify=verify)

    def run(
        self,
        pipeline: str,
        *arguments: str,
        seed: int = 0,
        cache: bool = True,
        executor: str = "",
        **parameters: Any,
    ) -> Run:
        """Run a pipeline, a script or a notebook, and wait for its end.

        Args:
            pipeline: its name, or a path.
            arguments: of a script.
            executor: `inline` runs steps in this process, so that a debugger stops in them.

        Raises:
            WorkFailed: a step failed or a gate is closed.
            MlwrightError: it could not begin, or could not go on.
        """
        request = self.request(pipeline, parameters, arguments, seed=seed, cache=cache, executor=executor)
        run, error = self.pipelines.run(request)
        if error is not None:
            raise error
        return run

    def reproduce(self, run: str, folder: Path | None = None, watcher: Watcher | None = None) -> Reproduction:
        """Make a run again from what was recorded, and compare every output."""
        return reproduce(self.rooms, run, folder, self.opener, watcher)

    @staticmethod
    def opener(place: Path) -> Rooms:
        """Open a copy of a project, whose workspace is in its own folder: what is made there stays there."""
        keep_in_folder(place / LOCAL_FOLDER)
        return Project.open(place).rooms

    def try_proposal(self, proposal: Proposal, pipeline: str = "", watcher: Watcher | None = None) -> Trial:
        """The project with other packages, in a place aside: its tests and a pipeline run there.

        Args:
            proposal: what `environments.changes.plan_add` and the like worked out.
            pipeline: what to run; by default what succeeded last, with the same parameters.

        Raises:
            WorkFailed: the pipeline fails with the packages that the project has.
            Unavailable: a package cannot be had.
        """
        from mlwright.workflow.trials import request_to_try, run_trial

        return run_trial(
            self.rooms,
            request_to_try(self.rooms, pipeline),
            {"pyproject.toml": proposal.pyproject, "uv.lock": proposal.uv_lock},
            lambda name: self.environments.proposed(proposal, name),
            self.opener,
            watcher or Unwatched(),
        )

    def find_culprit(self, good: str, bad: str, watcher: Watcher | None = None) -> Culprit:
        """The package that made a result of one run another in a later one.

        Raises:
            Invalid: they cannot be compared, or have the same packages.
            WorkFailed: the good run does not come out again.
            Unavailable: the packages of one of them cannot be had now.
        """
        from mlwright.workflow.culprit import find_culprit

        return find_culprit(self.rooms, good, bad, self.opener, watcher or Unwatched())

    def export_run(
        self,
        run: str,
        target: Path,
        *,
        with_outputs: bool = False,
        force: bool = False,
        progress: Progress = SILENT,
    ) -> Plan:
        """Write a run into one file, from which it can be made again in another workspace.

        Args:
            run: its id.
            target: the file.
            with_outputs: the bytes of what its steps made come with it.
            force: write over what is there.
            progress: hears of every byte.

        Returns:
            What was written.
        """
        from mlwright.workflow.bundle import export

        return export(self.rooms, run, target, with_outputs=with_outputs, force=force, progress=progress)

    def import_run(self, source: Path, *, progress: Progress = SILENT) -> tuple[Run, bool]:
        """Take a run over from the file that `export_run` wrote, anywhere; twice is once.

        Returns:
            The run, and whether it is new here.

        Raises:
            Corrupt: the file is no bundle, or damaged; nothing is recorded.
            Conflict: the run needs a version that has other bytes here.
        """
        from mlwright.workflow.unbundle import import_run

        return import_run(self.rooms, source, progress=progress)

    def replica_spec(self, reference: str) -> serving.ReplicaSpec:
        """What a replica of a model version needs to know.

        Raises:
            NotFound: there is no such version.
            Incompatible: it is a pickle that no run of this workspace made, or has no signature.
        """
        detail = self.models.servable(reference)
        assert detail.signature is not None
        path = self.rooms.objects.path(detail.artifact.digest)
        return serving.ReplicaSpec(
            detail.version.reference, detail.version.id, detail.artifact.codec, str(path), detail.signature
        )

    @contextmanager
    def serve(
        self,
        reference: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        preparing: Callable[[str], object] | None = None,
    ) -> Iterator[serving.Server]:
        """Answer predictions over HTTP while the block runs, in the model's own environment.

        Raises:
            NotFound: there is no such version.
            Invalid: an address that others can reach.
            Unavailable: the port is taken, or the environment cannot be made.
            WorkFailed: the replica never got ready; the message says why.
        """
        # An alias may move while the environment is made: what is served is what it means now.
        detail = self.models.detail(reference)
        spec = self.replica_spec(detail.version.reference)
        serving.plan_serve(spec, host=host, port=port)  # an address that may not be served is refused at once
        lock = self.environments.get(detail.environment)
        say = preparing or (lambda what: None)
        say(f"preparing the environment of {spec.model}, with the server's packages")
        with self.environments.holding():
            with_server = self.environments.resolve_with(lock, serving.serve_requirements())
            python = self.environments.build(with_server).python
            folder = self.rooms.workspace.local / "serving"
            say(f"starting a replica of {spec.model}: it must answer its example as the pipeline did")
            server = serving.start_replica(spec, python, host=host, port=port, folder=folder)
            try:
                yield server
            finally:
                server.stop()

    def summary(self) -> Summary:
        """What the workspace is, where it lies, and how much room its parts take."""
        from mlwright.workflow.upkeep import summary

        return summary(self.rooms)

    def verify(self, progress: Progress = SILENT) -> Verified:
        """Look at every record, edge and byte of the workspace; nothing is changed."""
        from mlwright.workflow.upkeep import verified

        return verified(self.rooms, self.lineage.label, progress)

    def backup(self, target: Path, progress: Progress = SILENT) -> tuple[Manifest, tuple[str, ...]]:
        """Copy the workspace and the project's code into a folder elsewhere, while runs go on.

        Returns:
            What the backup says of itself; and the files of the project that are too large to be code.

        Raises:
            Invalid: the folder lies inside the project.
            Conflict: it holds something else; or another backup, or a collection, is going on.
            Unavailable: the disk is full or cannot be written.
        """
        from mlwright.workflow.upkeep import backed_up

        return backed_up(self.rooms, target, progress)

    def plan_collect(self) -> Collected:
        """What `collect` would take away.

        Raises:
            NotFound, Corrupt: a stored tree cannot be read: what it names cannot be known.
        """
        return plan_collect(self.rooms)

    def collect(self, progress: Progress = SILENT) -> Collected:
        """Take away objects that nothing names any more, a day after anybody wanted them; runs may go on.

        Raises:
            Conflict: somebody else collects, or makes a backup.
            NotFound, Corrupt: as `plan_collect`; nothing went.
        """
        return collect(self.rooms, progress)

    def events(self, *, after: int | None = None, limit: int = 100) -> list[Event]:
        """The newest `limit` events, or the next ones after the id `after`; oldest first."""
        return history(self.rooms.database, after=after, limit=limit)
