"""The execution of one run: nodes become ready, are reused, sent to workers or judged, and recorded."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlwright.compute import Executor, Place, Report, Task
from mlwright.kernel import edges, leases
from mlwright.kernel.database import Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Conflict, MlwrightError, WorkFailed
from mlwright.kernel.ids import short
from mlwright.sdk.frames import Frame
from mlwright.sdk.report import JOURNAL
from mlwright.storage.inline import put_inline
from mlwright.tracking import Run, RunState, read_journal, record_metrics
from mlwright.versioning import Artifact, Version, add_artifact
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.failures import in_words
from mlwright.workflow.fingerprint import Fingerprint, Fingerprints, Known, seed_of
from mlwright.workflow.frontier import Frontier
from mlwright.workflow.graph import Argument, Graph, Node
from mlwright.workflow.judge import judge_gate, read_value
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import NodeView, RunView, Watcher

_FIRST_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Orders:
    """What an execution is given.

    Args:
        datasets: the version behind each dataset reference in the graph.
        models: the artifact behind each pinned model reference, by pseudo-node name.
        parameters: as they were recorded.
        cache: whether earlier successes may be reused.
        replay: judgements are made, but nothing is registered and no alias moves.
    """

    graph: Graph
    place: Place
    fingerprints: Fingerprints
    datasets: Mapping[str, Version]
    models: Mapping[str, Artifact]
    parameters: Mapping[str, Any]
    cache: bool
    replay: bool

    def known(self) -> Known:
        """What arguments stand for before any step has run."""
        return Known(
            {(name, "model"): artifact for name, artifact in self.models.items()},
            {name: version.digest for name, version in self.datasets.items()},
        )


@dataclass(slots=True)
class _Flight:
    """An attempt that a worker has."""

    node: Node
    attempt: Attempt
    scratch: Path


@dataclass(slots=True)
class Execution:
    """One run on its way; `go` takes it to its end."""

    rooms: Rooms
    executor: Executor
    run: Run
    lease: leases.Lease
    orders: Orders
    watcher: Watcher
    _done: set[str] = field(default_factory=set)
    _flights: dict[str, _Flight] = field(default_factory=dict)
    _again: list[tuple[float, Node, int]] = field(default_factory=list)
    _error: MlwrightError | None = None
    _held: tuple[Node, int] | None = None
    _known: Known = field(init=False)
    _frontier: Frontier = field(init=False)
    view: RunView = field(init=False)

    def __post_init__(self) -> None:
        self._frontier = Frontier(self.orders.graph, self.orders.models)
        self.view = RunView(self.run, {node.name: NodeView(node.name) for node in self.orders.graph.nodes})
        self._known = self.orders.known()

    def go(self) -> MlwrightError | None:
        """Execute every node that can be; returns what failed first, if anything did.

        Raises:
            KeyboardInterrupt, Cancelled: the running attempts are recorded as cancelled.
            MlwrightError: the engine itself could not go on (a full disk).
        """
        self.watcher.began(self.view)
        try:
            self._start_ready()
            while self._flights or self._again:
                for report in self.executor.wait(self._pause()):
                    self._hear(report)
                self._start_ready()
        except BaseException:
            self._abandon()
            raise
        finally:
            shutil.rmtree(self._scratch_root, ignore_errors=True)
        return self._error

    @property
    def _scratch_root(self) -> Path:
        return self.rooms.workspace.scratch / self.run.id

    def _start_ready(self) -> None:
        """Start what is ready while its processors are free: what is recorded as running can run."""
        while (ready := self._next()) is not None:
            if self._must_wait(ready[0]):
                self._held = ready
                return
            self._start(*ready)

    def _next(self) -> tuple[Node, int] | None:
        """A node that may start, and which try: what was held back, a retry that is due, or a new one."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        due = [each for each in self._again if each[0] <= time.monotonic()]
        if due:
            self._again.remove(due[0])
            return due[0][1:]
        node = self._frontier.take()
        return None if node is None else (node, 1)

    def _must_wait(self, node: Node) -> bool:
        """A step that asks for more processors than there are runs alone."""
        taken = sum(flight.node.cpus for flight in self._flights.values())
        return node.kind == "step" and bool(taken) and taken + node.cpus > self.executor.slots

    def _start(self, node: Node, number: int) -> None:
        if node.kind != "step":
            self._judge(node)
            return
        key = self.orders.fingerprints.of(node, self._known, self.run.seed)
        if key is not None and number == 1 and self.orders.cache and self._reuse(node, key):
            return
        self._try(node, number, key)

    def _reuse(self, node: Node, key: Fingerprint) -> bool:
        found = self.rooms.reusable(key.digest)
        if found is None:
            return False
        earlier, outputs = found
        with self.rooms.database.transaction() as tx:
            made = self.rooms.attempts.add(tx, self.run.id, node.name, AttemptState.REUSED, fingerprint=key)
            edges.add(
                tx, [Edge(made.end, "of", self.run.end), Edge(made.end, "reuses", End("attempt", earlier))]
            )
        self._finished(node, AttemptState.REUSED, outputs)
        return True

    def _try(self, node: Node, number: int, key: Fingerprint | None) -> None:
        parts: list[bytes] = []
        arguments = {
            name: self._sent(argument, node.accepts.get(name, ""), parts)
            for name, argument in node.inputs.items()
        }
        with self.rooms.database.transaction() as tx:
            attempt = self.rooms.attempts.add(
                tx, self.run.id, node.name, AttemptState.RUNNING, number=number, fingerprint=key
            )
            edges.add(tx, [Edge(attempt.end, "of", self.run.end), *self._input_edges(attempt, node)])
        scratch = self._scratch_root / attempt.id
        self._flights[attempt.id] = _Flight(node, attempt, scratch)
        scratch.mkdir(parents=True)
        head = {
            "id": attempt.id,
            "op": "execute",
            "step": node.step,
            "node": node.name,
            "seed": seed_of(node, self.run.seed),
            "scratch": str(scratch),
            "arguments": arguments,
        }
        self.executor.submit(
            Task(
                attempt.id,
                replace(self.orders.place, cpus=node.cpus),
                Frame(head, tuple(parts)),
                timeout_s=node.timeout_s,
            )
        )
        self._show(node, AttemptState.RUNNING)

    def _sent(self, argument: Argument, wanted: str, parts: list[bytes]) -> dict[str, Any]:
        """An argument as the worker takes it: a path to read, or the bytes of a small value."""
        match argument.kind:
            case "value":
                return {"kind": "value", "value": argument.value}
            case "dataset":
                version = self.orders.datasets[argument.value]
                files = {name: str(path) for name, path in self.rooms.datasets.files(version).items()}
                return {"kind": "dataset", "value": version.reference, "files": files}
            case "list":
                return {"kind": "list", "items": [self._sent(item, "", parts) for item in argument.items]}
            case "dict":
                fields = {name: self._sent(item, "", parts) for name, item in argument.fields.items()}
                return {"kind": "dict", "fields": fields}
        artifact = self._known.outputs[argument.node, argument.output]
        sent: dict[str, Any] = {
            "kind": "artifact",
            "codec": artifact.codec,
            "wanted": wanted or artifact.type,
        }
        inline = self.rooms.objects.inline(artifact.digest)
        if inline is None:
            return {**sent, "path": str(self.rooms.objects.path(artifact.digest))}
        parts.append(inline)
        return {**sent, "part": len(parts) - 1}

    def _input_edges(self, attempt: Attempt, node: Node) -> list[Edge]:
        found = []
        for name, argument in node.inputs.items():
            for part in argument.parts():
                if part.kind == "output":
                    found.append(
                        Edge(attempt.end, f"input:{name}", self._known.outputs[part.node, part.output].end)
                    )
                elif part.kind == "dataset":
                    found.append(Edge(attempt.end, f"input:{name}", self.orders.datasets[part.value].end))
        return found

    def _hear(self, report: Report) -> None:
        flight = self._flights[report.task]
        if report.state == "done":
            self._succeeded(flight, report)
        else:
            self._failed(flight, report)
        shutil.rmtree(flight.scratch, ignore_errors=True)

    def _succeeded(self, flight: _Flight, report: Report) -> None:
        """Bytes first, then the one transaction that names them."""
        told = report.head["outputs"]
        stored = {
            each["name"]: self.rooms.objects.put(Path(each["path"]), take=True)
            for each in told
            if "path" in each
        }
        log = self._log(flight)
        outputs = {}
        with self.rooms.database.transaction() as tx:
            done = self.rooms.attempts.finish(
                tx,
                flight.attempt,
                AttemptState.SUCCEEDED,
                log=log,
                waited_s=report.waited_s,
                **report.head["usage"],
            )
            for each in told:
                where = stored.get(each["name"]) or put_inline(tx, report.parts[each["part"]])
                artifact = add_artifact(
                    tx,
                    codec=each["codec"],
                    type_text=each["type"],
                    digest=where.digest,
                    size_bytes=where.size_bytes,
                    about=each["about"],
                    ours=True,
                )
                outputs[each["name"]] = artifact
                edges.add(tx, [Edge(artifact.end, f"output:{each['name']}", done.end)])
            self._record_told(tx, done, flight)
        del self._flights[done.id]
        self._finished(flight.node, AttemptState.SUCCEEDED, outputs, seconds=done.wall_s)

    def _failed(self, flight: _Flight, report: Report) -> None:
        error = in_words(self.run, flight.node, report)
        log = self._log(flight)
        detail = {"error": {"message": error.message, "where": error.where}}
        with self.rooms.database.transaction() as tx:
            done = self.rooms.attempts.finish(
                tx,
                flight.attempt,
                AttemptState.FAILED,
                log=log,
                detail=detail,
                waited_s=report.waited_s,
                wall_s=report.ran_s,
            )
            self._record_told(tx, done, flight)
        del self._flights[done.id]
        number = flight.attempt.number
        if number <= flight.node.retries:
            pause = _FIRST_PAUSE_S * 2 ** (number - 1)
            self._again.append((time.monotonic() + pause, flight.node, number + 1))
            self._show(flight.node, AttemptState.RUNNING, note=f"try {number} failed, again in {pause:g} s")
            return
        self._show(flight.node, AttemptState.FAILED, seconds=report.ran_s)
        self._stop_behind(flight.node, error)

    def _record_told(self, tx: Transaction, attempt: Attempt, flight: _Flight) -> None:
        record_metrics(tx, self.run.id, read_journal(flight.scratch / JOURNAL))
        if attempt.log is not None:
            edges.add(tx, [Edge(attempt.end, "log", End("object", attempt.log))])

    def _log(self, flight: _Flight) -> Digest | None:
        path = flight.scratch / "log.txt"
        if not path.exists() or not path.stat().st_size:
            return None
        return self.rooms.objects.put(path, take=True).digest

    def _judge(self, node: Node) -> None:
        values = {name: self._value(node, name) for name in node.inputs if name != "model"}
        if node.kind == "gate":
            self._judge_gate(node, values)
        elif values.get("when", True):
            self._register(node, values)
        else:
            self._skip(node, "the gate is closed")

    def _judge_gate(self, node: Node, values: Mapping[str, Any]) -> None:
        verdict = judge_gate(node, values)
        passed = verdict["passed"]
        state = AttemptState.CHECKED if passed else AttemptState.FAILED
        with self.rooms.database.transaction() as tx:
            self._checked(tx, node, state, verdict)
        note = "; ".join(each["text"] for each in verdict["findings"] if passed or not each["holds"])
        self._show(node, state, note=note)
        if passed:
            self._met(node)
            return
        run = short(self.run.id)
        error = WorkFailed(
            f"gate `{node.name}` of run {run} is closed: {note}",
            hint=f"look at the run: mlwright runs show {run}",
        )
        self._stop_behind(node, error)

    def _register(self, node: Node, values: Mapping[str, Any]) -> None:
        model, signature = self._artifact(node, "model"), self._artifact(node, "signature")
        assert model is not None
        assert signature is not None
        with self.rooms.database.transaction() as tx:
            if self.orders.replay:
                note = "replayed: nothing is registered"
                detail = {"note": note}
            else:
                version, note = self.rooms.models.register(
                    tx,
                    node.settings["name"],
                    model,
                    signature=signature,
                    signature_value=values["signature"],
                    scores=self._artifact(node, "scores"),
                    metrics=values.get("scores", {}),
                    parameters={**self.orders.parameters, "seed": self.run.seed},
                    run=self.run.end,
                    message=node.settings["message"],
                )
                detail = {"version": version.id, "reference": version.reference, "note": note}
            self._checked(tx, node, AttemptState.CHECKED, detail)
        self._show(node, AttemptState.CHECKED, note=note)
        self._met(node)

    def _checked(self, tx: Transaction, node: Node, state: AttemptState, detail: dict[str, Any]) -> None:
        attempt = self.rooms.attempts.add(tx, self.run.id, node.name, state, detail=detail)
        edges.add(tx, [Edge(attempt.end, "of", self.run.end), *self._judged_edges(attempt, node)])

    def _judged_edges(self, attempt: Attempt, node: Node) -> list[Edge]:
        """A gate's promise is no artifact: `when` leaves no edge."""
        found = {name: self._artifact(node, name) for name in node.inputs}
        return [
            Edge(attempt.end, f"input:{name}", made.end) for name, made in found.items() if made is not None
        ]

    def _value(self, node: Node, name: str) -> Any:
        argument = node.inputs[name]
        if argument.kind == "output" and self.orders.graph[argument.node].kind == "gate":
            return argument.node in self._done
        artifact = self._artifact(node, name)
        if artifact is None:
            return argument.value
        return read_value(self.rooms.objects, artifact, f"what `{node.name}` is given as {name}")

    def _artifact(self, node: Node, name: str) -> Artifact | None:
        argument = node.inputs.get(name)
        return None if argument is None else self._known.outputs.get((argument.node, argument.output))

    def _finished(
        self, node: Node, state: AttemptState, outputs: Mapping[str, Artifact], seconds: float | None = None
    ) -> None:
        for name, artifact in outputs.items():
            self._known.outputs[node.name, name] = artifact
        self._met(node)
        self._show(node, state, seconds=seconds)

    def _met(self, node: Node) -> None:
        self._done.add(node.name)
        self._frontier.meet(node.name)

    def _stop_behind(self, node: Node, error: MlwrightError) -> None:
        self._error = self._error or error
        for behind in self._frontier.drop(self.orders.graph.behind({node.name})):
            self._skip(behind, f"behind `{node.name}`")

    def _skip(self, node: Node, why: str) -> None:
        with self.rooms.database.transaction() as tx:
            made = self.rooms.attempts.add(
                tx, self.run.id, node.name, AttemptState.SKIPPED, detail={"note": why}
            )
            edges.add(tx, [Edge(made.end, "of", self.run.end)])
        self._show(node, AttemptState.SKIPPED, note=why)

    def _abandon(self) -> None:
        """The run ends before its attempts do. What ended it is told, not what recording that may raise."""
        self.executor.close()
        with contextlib.suppress(MlwrightError), self.rooms.database.transaction() as tx:
            for flight in self._flights.values():
                done = self.rooms.attempts.finish(tx, flight.attempt, AttemptState.CANCELLED)
                self._record_told(tx, done, flight)
        for flight in self._flights.values():
            self._show(flight.node, AttemptState.CANCELLED)

    def _pause(self) -> float | None:
        if not self._again or self._held is not None:
            return None  # only a report lets anything start
        pause = max(0.0, min(when for when, _, _ in self._again) - time.monotonic())
        if not self._flights:
            time.sleep(pause)  # nothing else can happen until the next try is due
        return pause

    def _show(self, node: Node, state: AttemptState, *, seconds: float | None = None, note: str = "") -> None:
        view = self.view.nodes[node.name]
        if state is AttemptState.RUNNING and view.began is None:
            view.began = time.monotonic()
        view.state, view.seconds, view.note = state, seconds, note
        self.watcher.changed(self.view, view)


def end_run(execution: Execution, state: RunState, error: MlwrightError | None) -> None:
    """Record how a run ended, with what ended it."""
    rooms = execution.rooms
    told = None if error is None else {"message": error.message, "where": error.where, "hint": error.hint}
    try:
        with rooms.database.transaction() as tx:
            rooms.runs.finish(tx, execution.run, state, execution.lease, told)
            rooms.lose_attempts(tx, execution.run.id)
    except Conflict:
        return  # somebody declared it lost meanwhile, and that stays
