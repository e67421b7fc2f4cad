"""The execution of one run: nodes become ready, are reused, sent to workers or judged, and recorded."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from mlwright.compute import Executor
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Busy, Cancelled, Incompatible, MlwrightError, WorkFailed
from mlwright.kernel.ids import short
from mlwright.kernel.interrupts import Interrupts
from mlwright.kernel.leases import Lease
from mlwright.kernel.writer import Writer
from mlwright.tracking import Entry, Progress, Run, RunState
from mlwright.versioning import Artifact
from mlwright.workflow.attempts import AttemptState, begin
from mlwright.workflow.cache import Cache, Reusable
from mlwright.workflow.durations import Durations
from mlwright.workflow.ending import Ending, is_declared_lost
from mlwright.workflow.fan import Fan, elements_of, learn_items
from mlwright.workflow.fingerprint import Fingerprint
from mlwright.workflow.flights import Flights, Landing, Turn
from mlwright.workflow.frontier import Frontier
from mlwright.workflow.graph import JUDGEMENTS, Node, with_defaults
from mlwright.workflow.heard import reported
from mlwright.workflow.judge import Judge, read_value
from mlwright.workflow.known import Known
from mlwright.workflow.orders import Orders
from mlwright.workflow.records import Records, beat, declared_lost
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import Shown, Watcher, unsafe_note

_FIRST_PAUSE_S = 0.5
_TICK_S = 0.5
"""How often running steps' journals are read, and whether the run is wanted no longer is asked."""
_ASIDE_S = 0.01
"""How often it is asked whether a large output has been taken in."""


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
        self._shown = Shown(run, (node.name for node in orders.graph.nodes), watcher)
        self._rooms = rooms
        self._executor = executor
        self._orders = orders
        self._durations = durations
        self._lease = lease
        self._writer = Writer(rooms.database, pulse=partial(beat, run=run, lease=lease))
        self._records = Records(rooms.attempts, self._writer, run, lease)
        self._known: Known = orders.known()
        self._scratch = rooms.workspace.scratch / run.id
        self._flights = Flights(
            rooms, executor, run, orders, self._known, self._records, self._scratch, self._told
        )
        self._judge = Judge(
            rooms, self._records, run, orders.graph, self._known, set(), orders.parameters, orders.replay
        )
        self._frontier = Frontier(orders.graph, orders.models, durations.known)
        self._absent: set[str] = set()
        self._fans: dict[str, Fan] = {}
        self._again: list[tuple[float, Node, int]] = []
        self._held: Turn | None = None
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
        self._shown.begin()
        try:
            self._start_ready()
            while self._flights.are_running or self._flights.are_landing or self._again:
                with interrupts.heard():
                    reports = self._executor.wait(self._pause())
                for landing in self._flights.land(reports):
                    self._landed(landing)
                self._start_ready()
                self._records.collect()
                self._tick()
        except BaseException:
            self._abandon()
            raise
        finally:
            self._cache.close()
        return self._error

    def end(self, state: RunState, error: MlwrightError | None) -> None:
        """Record how the run ended, with what ended it: durable on return, and the last that is written.

        Where it worked goes before, once all that its steps reported is on record. What cannot be recorded
        stays there for whoever looks next, and the error says so.

        Raises:
            Conflict: it was to succeed, and was declared lost meanwhile.
            MlwrightError: a success cannot be recorded.
        """
        scratch, run = self._rooms.scratch, self.run.id
        ending = Ending(self._rooms, self.run, self._lease, self._durations, state, error)
        whole = self._writer.written
        try:
            self._records.send()
            whole = self._writer.written
            self._writer.write(ending.settle)
            self._writer.flush()
            scratch.remove(run)
            whole += 1
            self._writer.write(ending.finish)
            self._writer.close()
        except MlwrightError as broken:
            # What waits too long for others may lack the end alone, and that can be written once more.
            only_last = isinstance(broken, Busy) and self._writer.durable >= whole
            if error is None and not only_last and not is_declared_lost(broken):
                ending.keep(broken)
                raise
            # The writer could not go on, which is the error that is told; what can be is written without it.
            ending.without_writer(declared_lost=is_declared_lost(broken))
            if state is RunState.SUCCEEDED and self._rooms.runs.recorded(run).state is not state:
                raise declared_lost(self.run) from broken

    def _start_ready(self) -> None:
        """Start what is ready while there is room for it: what is recorded as running can run."""
        while (turn := self._next()) is not None:
            brief = self._durations.brief(turn.node.step)
            if not self._executor.has_room(self._orders.place(turn.node), brief=brief):
                self._held = turn
                return
            self._try(turn, brief)

    def _next(self) -> Turn | None:
        """A try that needs a worker: what was held back, a retry that is due, or what cannot be reused."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        now = time.monotonic()
        for again in self._again:
            if again[0] <= now:
                self._again.remove(again)
                key = self._orders.fingerprint(again[1], self._known, self.run.seed)
                return Turn(again[1], again[2], key, again[0])
        while (node := self._new()) is not None:
            key = self._orders.fingerprint(node, self._known, self.run.seed)
            if key is None or not self._orders.cache or not self._reuse(node, key):
                return Turn(node, 1, key, time.monotonic())
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
            self._shown.stands(node.name, verdict.state, note=verdict.note)
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
        self._shown.nodes[node.name].items = fan.count
        if fan.count:
            self._fans[node.name] = fan
            self._shown.stands(node.name, AttemptState.RUNNING)
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

    def _try(self, turn: Turn, brief: bool) -> None:
        node = turn.node
        whole = None if node.index is None else self._fan_of(node).node
        try:
            attempt = self._flights.send(turn, whole, self._noted(node), brief=brief)
        except Incompatible as error:
            self._refuse(node, error)
            return
        if node.index is None:
            self._shown.nodes[node.name].worker = attempt.worker
            self._shown.stands(node.name, AttemptState.RUNNING, number=turn.number)

    def _landed(self, landing: Landing) -> None:
        node, done = landing.node, landing.attempt
        if landing.error is not None:
            self._failed(node, done.number, landing.error, landing.ran_s)
            return
        self._durations.saw(node.step, done.wall_s or 0.0)
        if done.fingerprint is not None:
            self._cache.learn(done.fingerprint, Reusable(done.id, landing.outputs, done.detail))
        self._finished(node, AttemptState.SUCCEEDED, landing.outputs, seconds=done.wall_s)

    def _told(self, node: str, entries: list[Entry]) -> None:
        self._records.told(node, entries)
        steps = [each for each in entries if isinstance(each, Progress)]
        if steps and node in self._shown.nodes:
            self._shown.nodes[node].progress = steps[-1]
            self._shown.changed(node)

    def _failed(self, node: Node, number: int, error: MlwrightError, seconds: float) -> None:
        if number <= node.retries:
            pause = _FIRST_PAUSE_S * 2 ** (number - 1)
            self._again.append((time.monotonic() + pause, node, number + 1))
            if node.index is None:
                cause = error.message.partition(" failed: ")[2].partition("\n")[0]
                note = f"try {number} failed ({cause}), again in {pause:g} s"
                self._shown.stands(node.name, AttemptState.RUNNING, note=note, number=number)
        elif node.index is None:
            self._shown.stands(node.name, AttemptState.FAILED, seconds=seconds, number=number)
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
        note = unsafe_note(outputs)
        if node.index is None:
            self._frontier.meet(node.name)
            self._shown.stands(node.name, state, seconds=seconds, note=note)
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
        view = self._shown.nodes[fan.node.name]
        view.done, view.reused, view.failed = fan.done, fan.reused, fan.failed
        if fan.over:
            self._all_items(fan)
        else:
            self._shown.changed(fan.node.name)

    def _all_items(self, fan: Fan) -> None:
        self._fans.pop(fan.node.name, None)
        seconds = time.monotonic() - fan.began
        if fan.failed:
            self._shown.stands(fan.node.name, AttemptState.FAILED, seconds=seconds)
            assert self._error is not None
            self._stop_behind(fan.node, self._error)
            return
        learn_items(self._known, fan.node, fan.count)
        state = AttemptState.REUSED if fan.count and fan.reused == fan.count else AttemptState.SUCCEEDED
        self._frontier.meet(fan.node.name)
        took = None if state is AttemptState.REUSED else seconds
        self._shown.stands(fan.node.name, state, seconds=took, note=fan.note)

    def _refuse(self, node: Node, error: MlwrightError) -> None:
        """A node that cannot begin with what it was given has failed."""
        detail = self._noted(node) | {"error": {"message": error.message, "where": error.where}}
        self._records.begun(begin(self.run.id, node.name, AttemptState.FAILED, detail=detail), [])
        told = type(error)(
            f"step `{node.name}` of run {short(self.run.id)} failed: {error.message}", hint=error.hint
        )
        if node.index is None:
            self._shown.stands(node.name, AttemptState.FAILED)
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
        self._shown.stands(node.name, AttemptState.SKIPPED, note=why)

    def _tick(self) -> None:
        """Once in a while: what running steps report is recorded, and who cancelled the run is heard."""
        now = time.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + _TICK_S
        self._flights.listen(_TICK_S)
        self._records.send()
        self._writer.check()  # also with nothing to send: what cannot be recorded is not worth doing
        self._cache.renew()
        if self._rooms.runs.is_cancelled(self.run.id):
            raise Cancelled(f"run {short(self.run.id)} was cancelled", signal_number=15)

    def _abandon(self) -> None:
        """The run ends before its attempts do. What ended it is told, not what recording that may raise.

        Where nothing more is recorded, what they leave is left to `end`.
        """
        with contextlib.suppress(MlwrightError):
            if self._writer.broken:
                self._executor.close()
            else:
                for landing in self._flights.cancel():
                    self._landed(landing)
        for node in self._flights.running:
            if node.index is None:
                self._shown.stands(node.name, AttemptState.CANCELLED)
        for name in self._fans:
            self._shown.stands(name, AttemptState.CANCELLED)

    def _pause(self) -> float | None:
        moments = [when for when, _, _ in self._again] if self._held is None else []
        if self._flights.are_running:
            moments.append(self._next_tick)
        if self._records.due is not None:
            moments.append(self._records.due)
        if self._flights.are_landing:
            moments.append(time.monotonic() + _ASIDE_S)
        pause = max(0.0, min(moments) - time.monotonic())
        if not self._flights.are_running:
            time.sleep(min(pause, _TICK_S))  # nothing else can happen until the next try is due
        return pause
