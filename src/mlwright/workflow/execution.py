"""The execution of one run: nodes become ready, are reused, sent to workers or judged, and recorded."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from mlwright.compute import Executor, Report, Task
from mlwright.kernel.database import Transaction
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Cancelled, Conflict, Incompatible, MlwrightError, WorkFailed
from mlwright.kernel.ids import AttemptId, new_id, short
from mlwright.kernel.interrupts import Interrupts
from mlwright.kernel.leases import Lease
from mlwright.kernel.words import is_or_are
from mlwright.kernel.writer import Writer
from mlwright.sdk.frames import Frame
from mlwright.tracking import Entry, JournalReader, Progress, Run, RunState
from mlwright.versioning import Artifact
from mlwright.workflow.attempts import Attempt, AttemptState, begin, finish
from mlwright.workflow.cache import Cache, Reusable
from mlwright.workflow.durations import Durations
from mlwright.workflow.failures import in_words
from mlwright.workflow.fan import Fan, elements_of, learn_items
from mlwright.workflow.fingerprint import Fingerprint, seed_of
from mlwright.workflow.frontier import Frontier
from mlwright.workflow.graph import JUDGEMENTS, Node, with_defaults
from mlwright.workflow.heard import Heard, reported
from mlwright.workflow.judge import Judge, read_value
from mlwright.workflow.known import Known
from mlwright.workflow.orders import Orders
from mlwright.workflow.outcome import Outcome, Publisher
from mlwright.workflow.records import Records
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.sending import Sender, SmallValues
from mlwright.workflow.watch import NodeView, RunView, Watcher

if TYPE_CHECKING:
    from concurrent.futures import Future

_FIRST_PAUSE_S = 0.5
_TICK_S = 0.5
"""How often running steps' journals are read, and whether the run is wanted no longer is asked."""


_ASIDE_S = 0.01
"""How often it is asked whether a large output has been taken in."""


class _Flight(Struct):
    """An attempt that a worker has, or will have next."""

    node: Node
    attempt: Attempt
    ready: float
    began: float
    journal: JournalReader
    basis: str = ""
    heard: Heard = field(default_factory=Heard)
    waited_s: float = 0.0


class _Turn(Struct, frozen=True):
    """A try that may begin."""

    node: Node
    number: int
    key: Fingerprint | None
    ready: float


class Execution:
    """One run on its way; `go` takes it to its end."""

    def __init__(
        self,
        rooms: Rooms,
        executor: Executor,
        run: Run,
        lease: Lease,
        orders: Orders,
        durations: Durations,
        watcher: Watcher,
    ) -> None:
        self.run = run
        self.view = RunView(run, {node.name: NodeView(node.name) for node in orders.graph.nodes})
        self._rooms = rooms
        self._executor = executor
        self._orders = orders
        self._durations = durations
        self._watcher = watcher
        self._lease = lease
        self._writer = Writer(rooms.database)
        self._records = Records(rooms.attempts, self._writer, run, lease)
        self._known: Known = orders.known()
        self._small = SmallValues(rooms, self._records)
        self._scratch = rooms.workspace.scratch / run.id
        self._sender = Sender(rooms, self._known, orders.datasets, self._small, self._scratch / "folders")
        self._judge = Judge(
            rooms, self._records, run, orders.graph, self._known, set(), orders.parameters, orders.replay
        )
        self._frontier = Frontier(orders.graph, orders.models, durations.known)
        self._publisher = Publisher(rooms.objects, self._scratch)
        self._aside: list[tuple[_Flight, Report, Future[Outcome]]] = []
        self._absent: set[str] = set()
        self._fans: dict[str, Fan] = {}
        self._flights: dict[str, _Flight] = {}
        self._again: list[tuple[float, Node, int]] = []
        self._held: _Turn | None = None
        self._cache = Cache(rooms)
        self._error: MlwrightError | None = None
        self._next_tick = time.monotonic() + _TICK_S

    def go(self, interrupts: Interrupts) -> MlwrightError | None:
        """Execute every node that can be; returns what failed first, if anything did.

        Args:
            interrupts: heard while it waits, so that they part no attempt from its record.

        Raises:
            KeyboardInterrupt, Cancelled: the running attempts are recorded as cancelled.
            MlwrightError: the engine itself could not go on (a full disk).
        """
        self._watcher.began(self.view)
        try:
            self._start_ready()
            while self._flights or self._aside or self._again:
                with interrupts.heard():
                    reports = self._executor.wait(self._pause())
                for report in reports:
                    self._hear(report)
                self._take_in()
                self._start_ready()
                self._records.collect()
                self._tick()
        except BaseException:
            self._abandon()
            raise
        finally:
            self._cache.close()
            shutil.rmtree(self._scratch, ignore_errors=True)
        return self._error

    def end(self, state: RunState, error: MlwrightError | None) -> None:
        """Record how the run ended, with what ended it: durable on return, and the last that is written."""
        told = None if error is None else {"message": error.message, "where": error.where, "hint": error.hint}

        def change(tx: Transaction) -> None:
            self._rooms.runs.finish(tx, self.run, state, self._lease, told)
            self._rooms.lose_attempts(tx, self.run.id)
            self._durations.record(tx, self.run.project)

        try:
            self._records.send()
            self._writer.write(change)
            self._writer.close()
        except Conflict:
            return  # somebody declared it lost meanwhile, and that stays
        except MlwrightError:
            if error is None:
                raise
            # The writer could not go on, which is the error that is told; what can be is written without it.
            with contextlib.suppress(MlwrightError), self._rooms.database.transaction() as tx:
                change(tx)

    def _start_ready(self) -> None:
        """Start what is ready while there is room for it: what is recorded as running can run."""
        while (turn := self._next()) is not None:
            brief = self._durations.brief(turn.node.step)
            if not self._executor.has_room(self._orders.place(turn.node), brief=brief):
                self._held = turn
                return
            self._try(turn, brief)

    def _next(self) -> _Turn | None:
        """A try that needs a worker: what was held back, a retry that is due, or what cannot be reused."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        now = time.monotonic()
        for again in self._again:
            if again[0] <= now:
                self._again.remove(again)
                key = self._orders.fingerprint(again[1], self._known, self.run.seed)
                return _Turn(again[1], again[2], key, again[0])
        while (node := self._new()) is not None:
            key = self._orders.fingerprint(node, self._known, self.run.seed)
            if key is None or not self._orders.cache or not self._reuse(node, key):
                return _Turn(node, 1, key, time.monotonic())
        return None

    def _new(self) -> Node | None:
        """The next step, or element of one, that has not begun."""
        while True:
            for name, fan in list(self._fans.items()):
                if self._frontier.goes_before(fan.node):
                    break
                if (item := fan.take()) is not None:
                    return item
                if fan.over:
                    del self._fans[name]
            node = self._frontier.take()
            if node is None:
                return None
            try:
                ready = self._ready(node)
            except WorkFailed as error:
                self._refuse(node, error)
                continue
            if ready is not None:
                return ready

    def _ready(self, node: Node) -> Node | None:
        """A step that is to run as a whole; judgements are made, conditions looked at, maps begun."""
        complete = with_defaults(node, self._absent)
        if complete is None or not self._judge.holds(complete):
            self._skip(node, "what it needs was skipped" if complete is None else "its condition is false")
            # Nothing failed: what is behind it may have a default for what it would have given.
            self._absent.add(node.name)
            self._frontier.meet(node.name)
            return None
        if complete.kind in JUDGEMENTS:
            verdict = self._judge.judge(complete)
            self._show(node.name, verdict.state, note=verdict.note)
            if verdict.error is None:
                self._frontier.meet(node.name)
            else:
                self._stop_behind(node, verdict.error)
            return None
        if complete.mapped:
            self._fan_out(complete)
            return None
        return complete

    def _fan_out(self, node: Node) -> None:
        if any(part.kind == "output" for name in node.mapped for part in node.inputs[name].parts()):
            self._records.flush()
        elements = elements_of(
            node, self._known, lambda made, what: read_value(self._rooms.objects, made, what)
        )
        fan = Fan(node, elements, time.monotonic())
        self.view.nodes[node.name].items = fan.count
        if fan.count:
            self._fans[node.name] = fan
            self._show(node.name, AttemptState.RUNNING)
        else:
            self._all_items(fan)

    def _reuse(self, node: Node, key: Fingerprint) -> bool:
        found = self._cache.find(key.digest)
        if found is None:
            return False
        made = begin(
            self.run.id,
            node.name,
            AttemptState.REUSED,
            fingerprint=key.digest,
            detail=self._noted(node),
            cpus=node.cpus,
        )
        # Its fingerprint is on record: with the success that it reuses.
        self._records.begun(made, [Edge(made.end, "reuses", End("attempt", found.attempt))])
        # What it reported then holds for this run as well.
        self._records.told(node.name, reported(found.detail))
        self._finished(node, AttemptState.REUSED, found.outputs)
        return True

    def _try(self, turn: _Turn, brief: bool) -> None:
        node = turn.node
        # What was made in this process, with its hash seed and its threads, is nothing to be reused.
        key = turn.key if self._executor.isolates else None
        try:
            parcel = self._sender.parcel(node)
        except Incompatible as error:
            self._refuse(node, error)
            return
        identity = AttemptId(new_id())
        journal = f"{self._scratch}/{identity}.jsonl"
        head = {
            "id": identity,
            "op": "execute" if node.kind == "step" else node.kind,
            "step": node.step,
            "node": node.name,
            "seed": seed_of(node, self.run.seed),
            "scratch": str(self._scratch),
            "journal": journal,
            "arguments": parcel.arguments,
        }
        frame = Frame(head, tuple(parcel.parts))
        place = self._orders.place(node)
        self._executor.submit(Task(identity, place, frame, timeout_s=node.timeout_s, brief=brief))
        attempt = begin(
            self.run.id,
            node.name,
            AttemptState.RUNNING,
            id=identity,
            number=turn.number,
            fingerprint=None if key is None else key.digest,
            detail=self._noted(node),
            cpus=node.cpus,
            bytes_in=parcel.bytes_in,
            worker=self._executor.worker_of(identity),  # who follows its log must know where that is
        )
        whole = None if node.index is None else self._fan_of(node).node
        made_from = self._sender.input_edges(attempt.end, node, whole)
        self._records.begun(attempt, made_from, key, brief=brief)
        basis = "" if key is None else key.basis.digest
        began = time.monotonic()
        self._flights[identity] = _Flight(node, attempt, turn.ready, began, JournalReader(journal), basis)
        if node.index is None:
            self.view.nodes[node.name].worker = attempt.worker
            self._show(node.name, AttemptState.RUNNING, number=turn.number)

    def _hear(self, report: Report) -> None:
        flight = self._flights.pop(report.task)
        flight.waited_s = max(0.0, time.monotonic() - report.ran_s - flight.ready)
        told = (report, flight.journal, flight.heard, flight.basis)
        if (aside := self._publisher.aside(*told)) is not None:
            self._aside.append((flight, report, aside))
        else:
            self._landed(flight, report, self._publisher.publish(*told))

    def _take_in(self, *, whole: bool = False) -> None:
        """Record what was published aside; with `whole`, wait for all of it."""
        for each in list(self._aside):
            flight, report, outcome = each
            if whole or outcome.done():
                self._aside.remove(each)
                self._landed(flight, report, outcome.result())

    def _landed(self, flight: _Flight, report: Report, outcome: Outcome) -> None:
        ran = {
            "worker": report.worker,
            "gpus": ",".join(report.gpus),
            "log": outcome.log,
            "waited_s": flight.waited_s,
            "wall_s": report.ran_s,
            **report.head.get("usage", {}),
        }
        if report.state == "done":
            detail = flight.attempt.detail | flight.heard.detail()
            done = finish(
                flight.attempt, AttemptState.SUCCEEDED, detail=detail, bytes_out=outcome.bytes_out, **ran
            )
            self._record(done, outcome)
            self._durations.saw(flight.node.step, done.wall_s or 0.0)
            if done.fingerprint is not None:
                self._cache.learn(done.fingerprint, Reusable(done.id, outcome.outputs, detail))
            self._finished(flight.node, AttemptState.SUCCEEDED, outcome.outputs, seconds=done.wall_s)
            return
        error = in_words(self.run, flight.node, report)
        detail = flight.attempt.detail | {"error": {"message": error.message, "where": error.where}}
        self._record(finish(flight.attempt, AttemptState.FAILED, detail=detail, **ran), outcome)
        self._failed(flight, error, report.ran_s)

    def _record(self, done: Attempt, outcome: Outcome) -> None:
        """Bytes first, then the one transaction that names them."""
        self._small.learn(outcome.inline)
        log = [] if done.log is None else [Edge(done.end, "log", End("object", done.log))]
        self._records.ended(done, outcome.made, outcome.inline, log)
        self._told(done.node, outcome.entries)

    def _told(self, node: str, entries: list[Entry]) -> None:
        self._records.told(node, entries)
        steps = [each for each in entries if isinstance(each, Progress)]
        if steps and node in self.view.nodes:
            self.view.nodes[node].progress = steps[-1]
            self._watcher.changed(self.view, self.view.nodes[node])

    def _failed(self, flight: _Flight, error: MlwrightError, seconds: float) -> None:
        node, number = flight.node, flight.attempt.number
        if number <= node.retries:
            pause = _FIRST_PAUSE_S * 2 ** (number - 1)
            self._again.append((time.monotonic() + pause, node, number + 1))
            if node.index is None:
                cause = error.message.partition(" failed: ")[2].partition("\n")[0]
                note = f"try {number} failed ({cause}), again in {pause:g} s"
                self._show(node.name, AttemptState.RUNNING, note=note, number=number)
        elif node.index is None:
            self._show(node.name, AttemptState.FAILED, seconds=seconds, number=number)
            self._stop_behind(node, error)
        else:
            fan = self._fan_of(node)
            fan.failed += 1
            self._error = self._error or error
            self._item_ended(fan)

    def _finished(
        self, node: Node, state: AttemptState, outputs: Mapping[str, Artifact], seconds: float | None = None
    ) -> None:
        self._known.learn(node.name, outputs)
        note = _unsafe_note(outputs)
        if node.index is None:
            self._frontier.meet(node.name)
            self._show(node.name, state, seconds=seconds, note=note)
            return
        fan = self._fan_of(node)
        fan.done += 1
        fan.reused += state is AttemptState.REUSED
        fan.note = note or fan.note
        self._item_ended(fan)

    def _noted(self, node: Node) -> dict[str, Any]:
        """What is kept with an attempt however it ends: tags; with a first element, how many there are."""
        noted: dict[str, Any] = {"tags": node.tags} if node.tags else {}
        if node.environment:
            noted["environment"] = node.environment
        if node.memory_bytes is not None:
            noted["memory_bytes"] = node.memory_bytes
        if node.index == 0:
            noted["elements"] = self._fan_of(node).count
        return noted

    def _fan_of(self, item: Node) -> Fan:
        return self._fans[item.name.rpartition("[")[0]]

    def _item_ended(self, fan: Fan) -> None:
        view = self.view.nodes[fan.node.name]
        view.done, view.reused, view.failed = fan.done, fan.reused, fan.failed
        if fan.over:
            self._all_items(fan)
        else:
            self._watcher.changed(self.view, view)

    def _all_items(self, fan: Fan) -> None:
        self._fans.pop(fan.node.name, None)
        seconds = time.monotonic() - fan.began
        if fan.failed:
            self._show(fan.node.name, AttemptState.FAILED, seconds=seconds)
            assert self._error is not None
            self._stop_behind(fan.node, self._error)
            return
        learn_items(self._known, fan.node, fan.count)
        state = AttemptState.REUSED if fan.count and fan.reused == fan.count else AttemptState.SUCCEEDED
        self._frontier.meet(fan.node.name)
        took = None if state is AttemptState.REUSED else seconds
        self._show(fan.node.name, state, seconds=took, note=fan.note)

    def _refuse(self, node: Node, error: MlwrightError) -> None:
        """A node that cannot begin with what it was given has failed."""
        detail = self._noted(node) | {"error": {"message": error.message, "where": error.where}}
        self._records.begun(begin(self.run.id, node.name, AttemptState.FAILED, detail=detail), [])
        told = type(error)(
            f"step `{node.name}` of run {short(self.run.id)} failed: {error.message}", hint=error.hint
        )
        if node.index is None:
            self._show(node.name, AttemptState.FAILED)
            self._stop_behind(node, told)
        else:
            fan = self._fan_of(node)
            fan.failed += 1
            self._error = self._error or told
            self._item_ended(fan)

    def _stop_behind(self, node: Node, error: MlwrightError) -> None:
        self._error = self._error or error
        for behind in self._frontier.drop(self._orders.graph.behind({node.name})):
            self._skip(behind, f"behind `{node.name}`")

    def _skip(self, node: Node, why: str) -> None:
        detail = self._noted(node) | {"note": why}
        self._records.begun(begin(self.run.id, node.name, AttemptState.SKIPPED, detail=detail), [])
        self._show(node.name, AttemptState.SKIPPED, note=why)

    def _tick(self) -> None:
        """Once in a while: what running steps report is recorded, and who cancelled the run is heard."""
        now = time.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + _TICK_S
        for flight in self._flights.values():
            if now - flight.began >= _TICK_S and (worker := self._executor.worker_of(flight.attempt.id)):
                flight.attempt = replace(flight.attempt, worker=worker)
                self._records.still_running(flight.attempt)
                entries = flight.journal.read()
                flight.heard.learn(entries)
                self._told(flight.node.name, entries)
        self._records.send()
        self._cache.renew()
        if self._rooms.runs.is_cancelled(self.run.id):
            raise Cancelled(f"run {short(self.run.id)} was cancelled", signal_number=15)

    def _abandon(self) -> None:
        """The run ends before its attempts do. What ended it is told, not what recording that may raise."""
        workers = {
            flight.attempt.id: self._executor.worker_of(flight.attempt.id)
            for flight in self._flights.values()
        }
        self._executor.close()
        with contextlib.suppress(MlwrightError):
            self._take_in(whole=True)
            for flight in self._flights.values():
                worker = workers[flight.attempt.id]
                outcome = self._publisher.salvage(worker, flight.journal, flight.heard)
                done = finish(flight.attempt, AttemptState.CANCELLED, worker=worker, log=outcome.log)
                self._record(done, outcome)
            self._records.send()
        for flight in self._flights.values():
            if flight.node.index is None:
                self._show(flight.node.name, AttemptState.CANCELLED)
        for name in self._fans:
            self._show(name, AttemptState.CANCELLED)

    def _pause(self) -> float | None:
        moments = [when for when, _, _ in self._again] if self._held is None else []
        if self._flights:
            moments.append(self._next_tick)
        if self._records.due is not None:
            moments.append(self._records.due)
        if self._aside:
            moments.append(time.monotonic() + _ASIDE_S)
        pause = max(0.0, min(moments) - time.monotonic())
        if not self._flights:
            time.sleep(min(pause, _TICK_S))  # nothing else can happen until the next try is due
        return pause

    def _show(
        self,
        name: str,
        state: AttemptState,
        *,
        seconds: float | None = None,
        note: str = "",
        number: int | None = None,
    ) -> None:
        view = self.view.nodes[name]
        if state is AttemptState.RUNNING and view.began is None:
            view.began = time.monotonic()
        view.state, view.seconds, view.note = state, seconds, note
        view.number = number or view.number
        self._watcher.changed(self.view, view)


def _unsafe_note(outputs: Mapping[str, Artifact]) -> str:
    """What the run says of a step whose output is a pickle; why, the step's log says."""
    names = [name for name, each in outputs.items() if each.unsafe]
    if not names:
        return ""
    what = "its output" if len(outputs) == 1 else ", ".join(f"`{name}`" for name in names)
    return f"{what} {is_or_are(len(names))} stored as pickle (unsafe)"
