"""Wiring: the only place that knows which implementation stands behind which port.

`Project` is the Python face of everything the command line does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mlwright import replicas as servers
from mlwright import serving
from mlwright.environments import Environments, Lock, Proposal
from mlwright.kernel.plan import Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.settings import LOCAL_FOLDER, find_project
from mlwright.opened import OpenWorkspace
from mlwright.runtimes import RuntimeName, conversions_of, with_conversion
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.parts import ROWS
from mlwright.sdk.ranges import Range
from mlwright.storage.remotes import open_remote
from mlwright.tracking import Run, Runs
from mlwright.versioning import Datasets, ModelDetail
from mlwright.versioning.remotes import Exchange, remote_named
from mlwright.workflow import Pipelines, Reproduction, Request, Rooms, Watcher, open_rooms, reproduce
from mlwright.workflow.artifacts import Artifacts
from mlwright.workflow.culprit import Culprit
from mlwright.workflow.impact import Impact, impact_of
from mlwright.workflow.locks import lock_called, plan_lock
from mlwright.workflow.openlineage import told_of
from mlwright.workflow.predicting import (
    Predicted,
    needs_arrow,
    predicted_by,
    prediction_request,
    wanted_from,
)
from mlwright.workflow.registry import Registry
from mlwright.workflow.scripts import asked_for
from mlwright.workflow.trials import Trial
from mlwright.workflow.watch import Unwatched
from mlwright.workspace import open_workspace
from mlwright.workspace.layout import keep_in_folder


def open_dataset(reference: str) -> tuple[dict[str, Range], Path]:
    """The files of a dataset of the project that this process is in, and where copies may be made.

    Raises:
        NotFound: no such dataset, or no project.
    """
    with Project.open() as project:
        version = project.datasets.versions.resolve(reference)
        return project.datasets.files(version), project.rooms.workspace.local / "datasets"


class Project(OpenWorkspace):
    """A project with its workspace.

    Use it as a context manager, or call `close`.
    """

    @classmethod
    def open(cls, folder: str | Path = ".") -> Project:
        """The project that a folder lies in.

        Raises:
            NotFound: it lies in none.
            Incompatible: a newer mlwright wrote its workspace.
        """
        found = find_project(Path(folder))
        return cls(open_rooms(found, open_workspace(found)))

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
        return lock_called(self.rooms, reference, Path.cwd() if self.takes_paths else None)

    def plan_lock(self, name: str = "", *, check: bool = False, allow_yanked: bool = False) -> Plan:
        """Lock an environment by its name, or a script; without one, all that the project names.

        Args:
            check: only look what would be done.
            allow_yanked: also take versions that their authors took back.

        Raises:
            Invalid: it asks for what is no requirement.
            Unavailable: uv cannot resolve it; its own words follow.
        """
        return plan_lock(self.rooms, name, Path.cwd(), check=check, allow_yanked=allow_yanked)

    @cached_property
    def pipelines(self) -> Pipelines:
        """The project's pipelines."""
        return Pipelines(self.rooms)

    @cached_property
    def artifacts(self) -> Artifacts:
        """What the steps of runs made."""
        return Artifacts(self.rooms)

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
        snapshot: str = "",
    ) -> Request:
        """What is to be run: a pipeline by its name, a script or a notebook by its path.

        Args:
            snapshot: recorded code: its digest, or a run that was made with it; empty for the files here.

        Raises:
            NotFound: there is no such script, snapshot or run.
            Invalid: arguments are given to what is no script.
        """
        name, given = asked_for(self.rooms.project, name, parameters, arguments, Path.cwd())
        request = Request(name, given, seed, cache, executor=executor, verify=verify)
        if not snapshot:
            return request
        from mlwright.workflow.accept import with_code

        return with_code(self.rooms, request, snapshot)

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
            Conflict: another trial goes on.
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
            Incompatible: their interpreters or platforms differ.
            WorkFailed: the good run does not come out again.
            Unavailable: the packages of one of them cannot be had now.
            Conflict: another search of the good run goes on.
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

    def collect_predictions(self) -> int:
        """Bring into the workspace what replicas on this machine have recorded of predictions.

        Returns:
            How many records are new.
        """
        return servers.collect_predictions(self.rooms)

    def replica_spec(
        self,
        *references: str,
        runtime: RuntimeName = "auto",
        access: serving.Access | None = None,
        limits: serving.Limits | None = None,
        split: Mapping[str, float] | None = None,
        shadow: Sequence[str] = (),
    ) -> serving.ReplicaSpec:
        """What a replica of model versions needs to know, as they are converted now.

        Args:
            runtime: as for `serve`.
            access: as for `serve`.
            limits: as for `serve`.
            split: as for `serve`.
            shadow: as for `serve`.

        Raises:
            NotFound: there is no such version.
            Invalid: two versions of one model that are no group; a group that is none; or a limit cannot be
                that.
            Incompatible: one is a pickle that no run of this workspace made, or has no signature; or they
                were made in different environments, or do not take the same.
        """
        details, group = self._served(references, split or {}, shadow)
        return servers.spec_of(self.rooms, details, runtime, access, limits, group)

    def serve(
        self,
        *references: str,
        host: str = "127.0.0.1",
        port: int = 0,
        replicas: int = 1,
        runtime: RuntimeName = "auto",
        access: serving.Access | None = None,
        limits: serving.Limits | None = None,
        split: Mapping[str, float] | None = None,
        shadow: Sequence[str] = (),
        preparing: Callable[[str], object] | None = None,
    ) -> AbstractContextManager[serving.Server]:
        """Answer predictions over HTTP while the block runs, in the models' own environment.

        Args:
            references: the first is the one that is asked where none is named.
            replicas: processes that answer, among which connections are shared out.
            runtime: `onnx` answers with the models' conversions, made now if need be; `native` with the
                models as they are; `auto` with the conversions if all have one that is used, and makes those
                beside the server for the next time.
            access: on what terms it answers; without, it asks for no token, and others cannot reach it.
            limits: of requests, as `Limits(timeout_ms=500)`; by default those of the project's settings.
            split: versions that answer beside the first one where that is asked, and the percent of requests
                that each answers; a request with the header `x-mlwright-key` has always the same one.
            shadow: versions that are asked the same once the client has been answered; what they say is only
                recorded and counted.

        Raises:
            NotFound: there is no such version.
            Invalid: an address that others can reach, though nothing says that they may; two versions of one
                model that are no group; a group that is none; or a limit cannot be that.
            Incompatible: the models were made in different environments, do not take the same as the first
                one, or `onnx` is asked for and one has no conversion that is used.
            Unavailable: the port is taken, or the environment cannot be made.
            WorkFailed: the replica never got ready; the message says why.
        """
        details, group = self._served(references, split or {}, shadow)
        return servers.serve(
            self.rooms,
            details,
            host=host,
            port=port,
            replicas=replicas,
            runtime=runtime,
            access=access,
            limits=limits,
            group=group,
            preparing=preparing,
        )

    def _served(
        self, references: Sequence[str], split: Mapping[str, float], shadow: Sequence[str]
    ) -> tuple[list[ModelDetail], serving.Group | None]:
        """The versions that are named, each once but for what is named twice, and what they are together."""
        found = {each: self.models.servable(each) for each in (*references, *split, *shadow)}
        details = [found[each] for each in references]
        for each in (*split, *shadow):
            if found[each].version.reference not in {one.version.reference for one in details}:
                details.append(found[each])
        meant = {name: detail.version.reference for name, detail in found.items()}
        shares = {meant[name]: percent for name, percent in split.items()}
        return details, serving.Group.of(shares, [meant[name] for name in shadow])

    def prediction(
        self,
        model: str,
        dataset: str,
        to: str = "",
        *,
        runtime: RuntimeName = "auto",
        cache: bool = True,
        executor: str = "",
        preparing: Callable[[str], object] | None = None,
        **asked: Any,
    ) -> Request:
        """The request of a run that predicts over a dataset: see `predict`.

        Args:
            preparing: is told what answers, and what takes long.
            asked: `proba`, `only_predictions` and `rows`.

        Raises:
            NotFound: there is no such model or dataset.
            Invalid: the dataset has no table, `to` cannot be its name, or there are no probabilities.
            Incompatible: the model cannot be served, or takes no table; or `onnx` is asked for, and it has no
                conversion that is used.
            Unavailable: its environment cannot be had with what predicts.
        """
        rooms, detail = self.rooms, self.models.servable(model)
        say = preparing or (lambda what: None)
        wanted = wanted_from(rooms, detail, dataset, to, **asked)  # before anything is converted
        if runtime == "onnx":
            detail = with_conversion(rooms, detail, say)
        onnx = "".join(each.digest for each in conversions_of([detail], runtime))
        locks = servers.locks_to_predict(rooms, detail, runtime, say, arrow=needs_arrow(rooms, dataset))
        wanted = replace(wanted, onnx=onnx)
        return prediction_request(rooms, detail, wanted, locks, cache=cache, executor=executor)

    def predict(
        self,
        model: str,
        dataset: str,
        to: str = "",
        *,
        proba: bool = False,
        only_predictions: bool = False,
        rows: int = ROWS,
        runtime: RuntimeName = "auto",
        cache: bool = True,
        executor: str = "",
        watcher: Watcher | None = None,
    ) -> Predicted:
        """Predict over a dataset, part by part and in parallel, in a run; a dataset gets a version of it.

        Args:
            model: a reference.
            dataset: likewise: tables.
            to: the name of the dataset that gets the version; by default `MODEL-predictions`.
            proba: also the probability of each class, in columns `probability_CLASS`.
            only_predictions: the columns of the dataset are not kept.
            rows: of a part, at most.
            runtime: what answers, as for `serve`; but that with `auto` nothing is converted.
            cache: False predicts every part again.

        Raises:
            WorkFailed: a row does not fit the model, or the model fails; no version is made.
            MlwrightError: as `prediction`; or the run could not begin, or go on.
        """
        request = self.prediction(
            model,
            dataset,
            to,
            proba=proba,
            only_predictions=only_predictions,
            rows=rows,
            runtime=runtime,
            cache=cache,
            executor=executor,
        )
        run, error = self.pipelines.run(request, watcher)
        if error is not None:
            raise error
        return predicted_by(self.rooms, run)
