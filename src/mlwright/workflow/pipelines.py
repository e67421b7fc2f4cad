"""The pipelines of a project: found, planned, run, continued."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mlwright.compute import Executor, LocalExecutor, Place, Task
from mlwright.environments import Environment, Lock
from mlwright.kernel import edges, leases
from mlwright.kernel.database import Transaction
from mlwright.kernel.digest import Digest, composite
from mlwright.kernel.edges import Edge
from mlwright.kernel.errors import Cancelled, Conflict, Invalid, MlwrightError, NotFound
from mlwright.kernel.files import write_whole
from mlwright.kernel.ids import looks_like_id, short
from mlwright.kernel.plan import Plan
from mlwright.kernel.version import VERSION
from mlwright.sdk.frames import Frame
from mlwright.tracking import Run, RunState
from mlwright.versioning import Artifact, Snapshot, Version, artifact, parse_reference
from mlwright.workflow.code import CodeIndex
from mlwright.workflow.discover import FoundPipeline, discover, find
from mlwright.workflow.execution import Execution, Orders, end_run
from mlwright.workflow.fingerprint import Fingerprints
from mlwright.workflow.graph import Argument, Graph, read_graph, references_of, with_references
from mlwright.workflow.parameters import Parameter, bind
from mlwright.workflow.planner import plan_run
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import Unwatched, Watcher


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be run.

    Args:
        pipeline: its name.
        given: parameters, as text or as values; the rest have their defaults.
        seed: of the run.
        cache: False runs every step again.
        pins: what moving references mean, instead of what they mean now.
        replay: judgements are made, but nothing is registered.
        snapshot: the code, instead of the project's files as they are.
        lock: the environment, instead of the project's own.
        continues: the run whose work is taken up.
    """

    pipeline: str
    given: Mapping[str, Any]
    seed: int = 0
    cache: bool = True
    pins: Mapping[str, str] | None = None
    replay: bool = False
    snapshot: Snapshot | None = None
    lock: Lock | None = None
    continues: Run | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with all that it means here and now: nothing is recorded yet."""

    request: Request
    snapshot: Snapshot
    environment: Environment
    parameters: dict[str, Any]
    pins: dict[str, str]
    orders: Orders
    references: dict[str, Version]


class Pipelines:
    """The pipelines of one project."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def list(self) -> list[FoundPipeline]:
        """Every pipeline of the project, found without importing anything."""
        return discover(self._rooms.project, self._rooms.project.root)

    def plan(self, request: Request, watcher: Watcher | None = None) -> Plan:
        """What a run would do: which steps it would reuse, run, or decide when their inputs are there."""
        prepared = self._prepare(request, watcher or Unwatched())
        orders = prepared.orders

        def lookup(key: Digest) -> Mapping[str, Artifact] | None:
            found = self._rooms.reusable(key)
            return None if found is None else found[1]

        return plan_run(
            orders.graph, orders.fingerprints, orders.known(), lookup, seed=request.seed, cache=request.cache
        )

    def run(self, request: Request, watcher: Watcher | None = None) -> tuple[Run, MlwrightError | None]:
        """Run a pipeline to its end.

        Returns:
            The run in its terminal state, and what failed.

        Raises:
            MlwrightError: it could not begin (nothing is recorded then), or the engine could not go on.
            Cancelled: by Ctrl-C or a signal; the run is recorded so.
        """
        watcher = watcher or Unwatched()
        with self._executor() as executor:
            prepared = self._prepare(request, watcher)
            self._clear_lost()
            with self._rooms.database.transaction() as tx:
                run, lease = self._begin(tx, prepared)
            execution = Execution(self._rooms, executor, run, lease, prepared.orders, watcher)
            try:
                error = execution.go()
            except (KeyboardInterrupt, Cancelled) as interrupt:
                end_run(execution, RunState.CANCELLED, None)
                raise _cancelled(run, interrupt) from interrupt
            except MlwrightError as failure:
                end_run(execution, RunState.FAILED, failure)
                raise
            end_run(execution, RunState.FAILED if error else RunState.SUCCEEDED, error)
            return self._rooms.runs.get(run.id), error

    def resume(self, reference: str) -> Request:
        """The request that continues a run where it stopped, with today's code.

        Raises:
            Conflict: the run has not ended, or is being continued already.
            Invalid: it succeeded.
        """
        run = self._rooms.runs.get(reference)
        if run.state is RunState.RUNNING:
            raise Conflict(
                f"run {short(run.id)} is still running", hint=f"mlwright runs show {short(run.id)}"
            )
        if run.state is RunState.SUCCEEDED:
            raise Invalid(f"run {short(run.id)} succeeded: there is nothing to continue")
        return Request(
            run.pipeline, self._rooms.runs.parameters(run.id), run.seed, pins=run.pins, continues=run
        )

    @contextmanager
    def _executor(self) -> Iterator[Executor]:
        executor = LocalExecutor(self._rooms.project.settings.slots)
        try:
            yield executor
        finally:
            executor.close()

    def _prepare(self, request: Request, watcher: Watcher) -> Prepared:
        rooms = self._rooms
        if not 0 <= request.seed < 2**63:
            raise Invalid(f"the seed {request.seed} is not between 0 and 2^63 - 1")
        snapshot = request.snapshot or rooms.snapshots.take()
        lock = request.lock or rooms.environments.current()
        if not rooms.environments.built(lock):
            watcher.preparing(f"installing the environment: {lock.packages} packages are locked")
        environment = rooms.environments.build(lock)
        code = rooms.materialise(snapshot)
        found = find(rooms.project, code, request.pipeline)
        place = Place(environment.python, code)
        tracer = _Tracer(
            place,
            found,
            {"tree": snapshot.tree, "lock": lock.digest, "mlwright": VERSION},
            rooms.workspace.local,
            watcher,
        )
        parameters = bind(found.name, tracer.parameters(), request.given)
        graph = read_graph(found.name, tracer.nodes(parameters))
        pins = dict(request.pins or {})
        datasets = {name: self._pin_dataset(name, pins) for name in _dataset_references(graph)}
        references = {name: self._pin_model(name, pins) for name in references_of(graph)}
        present = {name: version for name, version in references.items() if version is not None}
        graph = with_references(
            graph, {name: Argument("output", node=f"@{name}", output="model") for name in present}
        )
        models = {
            f"@{name}": artifact(rooms.database, version.artifact_id) for name, version in present.items()
        }
        files = {each.path: each.digest for each in rooms.snapshots.tree(snapshot).entries}
        others = {path: digest for path, digest in files.items() if not path.endswith(".py")}
        fingerprints = Fingerprints(CodeIndex(code, code / "src", files=others), environment)
        orders = Orders(
            graph, place, fingerprints, datasets, models, parameters, request.cache, request.replay
        )
        return Prepared(request, snapshot, environment, parameters, pins, orders, present)

    def _begin(self, tx: Transaction, prepared: Prepared) -> tuple[Run, leases.Lease]:
        rooms, continued = self._rooms, prepared.request.continues
        if continued is not None:
            for edge in edges.made_into(rooms.database, continued.end, "continues"):
                other = rooms.runs.recorded(edge.later.id)
                if other.state is RunState.RUNNING:
                    raise Conflict(
                        f"run {short(continued.id)} is being continued already, by run {short(other.id)}",
                        hint=f"mlwright runs show {short(other.id)}",
                    )
        rooms.snapshots.record(tx, prepared.snapshot)
        rooms.environments.record(tx, prepared.environment.lock)
        run, lease = rooms.runs.begin(
            tx,
            project=rooms.project.name,
            pipeline=prepared.request.pipeline,
            seed=prepared.request.seed,
            parameters=prepared.parameters,
            pins=prepared.pins,
        )
        made_with = [
            Edge(run.end, "code", prepared.snapshot.end),
            Edge(run.end, "environment", prepared.environment.lock.end),
            *(Edge(run.end, f"data:{name}", each.end) for name, each in prepared.orders.datasets.items()),
            *(Edge(run.end, f"reference:{name}", each.end) for name, each in prepared.references.items()),
        ]
        if continued is not None:
            made_with.append(Edge(run.end, "continues", continued.end))
        edges.add(tx, made_with)
        return run, lease

    def _clear_lost(self) -> None:
        """Declare dead runs lost, and take away where their attempts worked."""
        self._rooms.runs.bury_lost()
        scratch = self._rooms.workspace.scratch
        # The folders first: a run is recorded before it makes its own.
        folders = list(scratch.iterdir()) if scratch.exists() else []
        alive = {run.id for run in self._rooms.runs.list(state=RunState.RUNNING, limit=10_000)}
        for folder in folders:
            if looks_like_id(folder.name) and folder.name not in alive:
                shutil.rmtree(folder, ignore_errors=True)

    def _pin_dataset(self, reference: str, pins: dict[str, str]) -> Version:
        version = self._rooms.datasets.versions.resolve(pins.get(reference) or reference)
        pins[reference] = version.reference
        return version

    def _pin_model(self, reference: str, pins: dict[str, str]) -> Version | None:
        """What a gate compares with; nothing, before there is a first version."""
        if reference in pins and not pins[reference]:
            return None
        wanted = pins.get(reference) or reference
        version = self._rooms.models.versions.find(parse_reference(wanted, "model"))
        if version is None and parse_reference(wanted, "model").alias is None:
            raise NotFound(f"there is no model `{wanted}` to compare with", hint="mlwright models list")
        pins[reference] = version.reference if version else ""
        return version


@dataclass(frozen=True, slots=True)
class _Tracer:
    """Asks a worker what a pipeline looks like, and remembers the answer: importing takes seconds."""

    place: Place
    pipeline: FoundPipeline
    key: Mapping[str, Any]
    local: Path
    watcher: Watcher

    def parameters(self) -> list[Parameter]:
        """The pipeline's parameters."""
        return msgspec.convert(self._ask("parameters", {})["parameters"], list[Parameter])

    def nodes(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The nodes of its graph for these values."""
        return self._ask("trace", {"values": dict(values)})["nodes"]  # type: ignore[no-any-return]

    def _ask(self, operation: str, more: dict[str, Any]) -> dict[str, Any]:
        question = {"op": operation, "module": self.pipeline.module, "pipeline": self.pipeline.name, **more}
        answered = self.local / "graphs" / f"{composite('graph', {**self.key, **question})}.json"
        if answered.exists():
            return json.loads(answered.read_bytes())  # type: ignore[no-any-return]
        self.watcher.preparing(f"importing {self.pipeline.file}")
        # In a worker of its own: what a pipeline's function does to its modules must not reach a step.
        executor = LocalExecutor(slots=1)
        try:
            executor.submit(Task("trace", self.place, Frame({"id": "trace", **question})))
            report = executor.wait()[0]
        finally:
            executor.close()
        if report.state != "done":
            raise self._refusal(report.head)
        write_whole(answered, json.dumps(report.head).encode())
        return report.head

    def _refusal(self, told: Mapping[str, Any]) -> MlwrightError:
        """A pipeline that cannot be traced, in the words of what its module raised."""
        if "error" not in told:
            return Invalid(
                f"pipeline `{self.pipeline.name}` cannot be traced: {told['cause']}\n{told['words']}"
            )
        cause = told["error"]
        where = (
            f"{cause['file']}:{cause['line']}"
            if "file" in cause
            else f"{self.pipeline.file}:{self.pipeline.line}"
        )
        message = cause["message"] if cause.get("hint") else f"{cause['type']}: {cause['message']}"
        hint = cause.get("hint")
        if cause["type"] == "ModuleNotFoundError":
            hint = "add the package to `dependencies` in pyproject.toml, then: mlwright environments lock"
        return Invalid(f"pipeline `{self.pipeline.name}` cannot be traced: {message}", where=where, hint=hint)


def _dataset_references(graph: Graph) -> list[str]:
    return sorted(
        {
            part.value
            for node in graph.nodes
            for argument in node.inputs.values()
            for part in argument.parts()
            if part.kind == "dataset"
        }
    )


def _cancelled(run: Run, interrupt: BaseException) -> Cancelled:
    number = interrupt.exit_code - 128 if isinstance(interrupt, Cancelled) else signal.SIGINT
    identity = short(run.id)
    return Cancelled(
        f"run {identity} was cancelled",
        signal_number=number,
        hint=f"continue where it stopped: mlwright runs resume {identity}",
    )
