"""The pipelines of a project: found, planned, run, continued."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from msgspec.structs import asdict, replace

from mlwright.compute import Executor, open_executor, this_machine
from mlwright.compute.process import recorded_variables
from mlwright.kernel import edges, leases
from mlwright.kernel.database import Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge
from mlwright.kernel.errors import Cancelled, Conflict, Invalid, MlwrightError
from mlwright.kernel.ids import short
from mlwright.kernel.interrupts import Interrupts
from mlwright.kernel.plan import Plan
from mlwright.storage import check_out
from mlwright.tracking import Run, RunState, waiting
from mlwright.tracking.run import PREDICTION
from mlwright.versioning import Artifact, artifact
from mlwright.workflow.cache import Cache
from mlwright.workflow.durations import durations_of
from mlwright.workflow.execution import Execution
from mlwright.workflow.fingerprint import Fingerprint
from mlwright.workflow.found import FoundPipeline
from mlwright.workflow.graph import Graph
from mlwright.workflow.judge import read_value
from mlwright.workflow.openlineage import Receiver, emitted, receiver_of
from mlwright.workflow.orders import Orders
from mlwright.workflow.planner import plan_run
from mlwright.workflow.predicting import prepare_prediction
from mlwright.workflow.prepare import Prepared, draw_up, prepare, slots_of
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import Unwatched, Watcher


class Pipelines:
    """The pipelines of one project."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def list(self) -> list[FoundPipeline]:
        """Every pipeline of the project, found without importing anything."""
        from mlwright.workflow.discover import discover  # parses

        return discover(self._rooms.project, self._rooms.project.root)

    def plan(self, request: Request, watcher: Watcher | None = None) -> Plan:
        """What a run would do: which steps it would reuse, run, or decide when their inputs are there."""
        from mlwright.workflow.code import CodeIndex  # parses
        from mlwright.workflow.why import why_not

        prepared = _prepared(self._rooms, request, watcher or Unwatched())
        orders = prepared.orders

        def read(artifact: Artifact, what: str) -> Any:
            return read_value(self._rooms.objects, artifact, what)

        code = CodeIndex(orders.code, orders.code / "src")
        versions = {version.digest: version for version in orders.datasets.values()}

        def explain(key: Fingerprint) -> str:
            return why_not(self._rooms, key, code, versions)

        with closing(Cache(self._rooms)) as cache:

            def lookup(key: Digest) -> Mapping[str, Artifact] | None:
                found = cache.find(key)
                return None if found is None else found.outputs

            return plan_run(orders, lookup, read, explain, seed=request.seed)

    def graph(self, request: Request, watcher: Watcher | None = None) -> Graph:
        """The graph of a pipeline for these parameters; what it names need not be there."""
        return draw_up(self._rooms, request, watcher or Unwatched())

    def run(self, request: Request, watcher: Watcher | None = None) -> tuple[Run, MlwrightError | None]:
        """Run a pipeline to its end.

        Returns:
            The run in its terminal state, and what failed.

        Raises:
            MlwrightError: it could not begin (nothing is recorded then), or the engine could not go on.
            Cancelled: by Ctrl-C or a signal; the run is recorded so.
        """
        watcher = watcher or Unwatched()

        def prepared(executor: Executor) -> Prepared:
            return _prepared(self._rooms, request, watcher, executor)

        return self.run_prepared(prepared, watcher, request.executor)

    def run_prepared(
        self, prepared: Callable[[Executor], Prepared], watcher: Watcher, executor: str = ""
    ) -> tuple[Run, MlwrightError | None]:
        """Run what somebody prepares, to its end; else as `run`.

        Args:
            prepared: is given the executor, to warm it.
            executor: where steps run; empty for what the settings say.
        """
        with self._executor(executor) as opened, self._rooms.environments.holding():
            made = prepared(opened)
            # A run that is made again in a workspace of its own is told to nobody.
            receiver = None if made.request.replay else receiver_of(self._rooms.project, os.environ)
            self._rooms.runs.bury_lost()
            with Interrupts() as interrupts:
                return self._execute(made, opened, watcher, interrupts, receiver)

    def resume(self, reference: str) -> Request:
        """The request that continues a run where it stopped, with today's code.

        Raises:
            Conflict: the run has not ended, or is being continued already.
            Invalid: it succeeded, or was reported from outside.
        """
        run = self._rooms.runs.get(reference)
        run.refuse_reported("resumed")
        if not run.state.ended:
            raise Conflict(
                f"run {short(run.id)} is still {run.state}", hint=f"mlwright runs show {short(run.id)}"
            )
        if run.kind in {"comparison", PREDICTION}:
            did = "compared models" if run.kind == "comparison" else "predicted over a dataset"
            raise Invalid(f"run {short(run.id)} {did}: it is not continued", hint=run.go_on)
        if run.state is RunState.SUCCEEDED:
            raise Invalid(f"run {short(run.id)} succeeded: there is nothing to continue")
        return Request(
            run.pipeline, self._rooms.runs.parameters(run.id), run.seed, pins=run.pins, continues=run
        )

    def _execute(
        self,
        prepared: Prepared,
        executor: Executor,
        watcher: Watcher,
        interrupts: Interrupts,
        receiver: Receiver | None,
    ) -> tuple[Run, MlwrightError | None]:
        """From the moment a run is recorded, whatever happens is recorded too."""
        with self._rooms.database.transaction() as tx:
            run, lease = self._begin(tx, prepared, isolates=executor.isolates)
        with emitted(self._rooms, run, receiver, watcher):
            error = self._go(prepared, run, lease, executor, watcher, interrupts)
        return self._rooms.runs.recorded(run.id), error

    def _go(
        self,
        prepared: Prepared,
        run: Run,
        lease: leases.Lease,
        executor: Executor,
        watcher: Watcher,
        interrupts: Interrupts,
    ) -> MlwrightError | None:
        orders = self._with_a_copy(prepared, run)
        durations = durations_of(self._rooms.database, run.project)
        execution = Execution(self._rooms, executor, run, lease, orders, durations, watcher)
        try:
            error = execution.go(interrupts)
        except (KeyboardInterrupt, Cancelled) as interrupt:
            execution.end(RunState.CANCELLED, None)
            raise _cancelled(run, interrupt) from interrupt
        except MlwrightError as failure:
            execution.end(RunState.FAILED, failure)
            raise
        execution.end(RunState.FAILED if error else RunState.SUCCEEDED, error)
        return error

    @contextmanager
    def _executor(self, name: str) -> Iterator[Executor]:
        executor = open_executor(name or self._rooms.project.settings.executor, slots_of(self._rooms))
        try:
            yield executor
        finally:
            executor.close()

    def _with_a_copy(self, prepared: Prepared, run: Run) -> Orders:
        """A script may write where it lies: it has a copy of the project."""
        if prepared.request.kind in {"pipeline", "comparison", PREDICTION}:
            return prepared.orders
        folder = self._rooms.workspace.scratch / run.id / "project"
        check_out(self._rooms.objects, self._rooms.snapshots.tree(prepared.snapshot), folder)
        return replace(prepared.orders, code=folder)

    def _begin(self, tx: Transaction, prepared: Prepared, *, isolates: bool) -> tuple[Run, leases.Lease]:
        rooms, continued = self._rooms, prepared.request.continues
        if continued is not None:
            refuse_second(rooms, continued, prepared.request.waiting)
        rooms.snapshots.record(tx, prepared.snapshot)
        locks = {name: environment.lock for name, environment in prepared.environments.items()}
        for lock in locks.values():
            rooms.environments.record(tx, lock)
        known: dict[str, Any] = {
            "parameters": prepared.parameters,
            "pins": prepared.pins,
            "machine": asdict(this_machine()),
            "about": _about(prepared, isolates=isolates),
        }
        if prepared.request.waiting is not None:
            run, lease = waiting.start(tx, prepared.request.waiting, **known)
        else:
            run, lease = rooms.runs.begin(
                tx,
                project=rooms.project.name,
                pipeline=prepared.request.pipeline,
                seed=prepared.request.seed,
                kind=prepared.request.kind,
                **known,
            )
        made_with = [
            Edge(run.end, "code", prepared.snapshot.end),
            Edge(run.end, "environment", locks[""].end),
            *(Edge(run.end, f"environment:{name}", lock.end) for name, lock in locks.items() if name),
            *(Edge(run.end, f"data:{name}", each.end) for name, each in prepared.orders.datasets.items()),
            *(Edge(run.end, f"reference:{name}", each.end) for name, each in prepared.references.items()),
            *(
                Edge(run.end, f"conversion:{name}", artifact(tx, each.id).end)  # which may be gone by now
                for name, each in prepared.conversions.items()
            ),
        ]
        if continued is not None:
            made_with.append(Edge(run.end, "continues", continued.end))
        edges.add(tx, made_with)
        return run, lease


def _prepared(rooms: Rooms, request: Request, watcher: Watcher, executor: Executor | None = None) -> Prepared:
    if request.predicts:
        return prepare_prediction(rooms, request, watcher)
    return prepare(rooms, request, watcher, executor)


def refuse_second(rooms: Rooms, continued: Run, but: Run | None = None) -> None:
    """Refuse to continue a run that is being continued.

    Args:
        but: the run that does so itself.

    Raises:
        Conflict: another run goes on, or waits, that continues it.
    """
    for edge in edges.made_into(rooms.database, continued.end, "continues"):
        other = rooms.runs.recorded(edge.later.id)
        if not other.state.ended and (but is None or other.id != but.id):
            raise Conflict(
                f"run {short(continued.id)} is being continued already, by run {short(other.id)}",
                hint=f"mlwright runs show {short(other.id)}",
            )


def _about(prepared: Prepared, *, isolates: bool) -> dict[str, Any]:
    about: dict[str, Any] = {"variables": recorded_variables(isolates=isolates)}
    return about | ({"left_out": prepared.snapshot.left_out} if prepared.snapshot.left_out else {})


def _cancelled(run: Run, interrupt: BaseException) -> Cancelled:
    number = interrupt.exit_code - 128 if isinstance(interrupt, Cancelled) else signal.SIGINT
    return Cancelled(f"run {short(run.id)} was cancelled", signal_number=number, hint=run.go_on)
