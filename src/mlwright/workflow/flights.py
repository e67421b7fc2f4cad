"""Flights: attempts that a worker has. They are sent off, listened to, and taken in when they have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from mlwright.compute import Executor, Report, Task
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import MlwrightError
from mlwright.kernel.ids import AttemptId, new_id
from mlwright.sdk.frames import Frame
from mlwright.tracking import Entry, JournalReader, Run
from mlwright.versioning import Artifact
from mlwright.workflow.attempts import Attempt, AttemptState, begin, finish
from mlwright.workflow.failures import in_words
from mlwright.workflow.fingerprint import Fingerprint, seed_of
from mlwright.workflow.graph import Node
from mlwright.workflow.heard import Heard
from mlwright.workflow.known import Known
from mlwright.workflow.orders import Orders
from mlwright.workflow.outcome import Outcome, Publisher
from mlwright.workflow.records import Records
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.sending import Sender, SmallValues

if TYPE_CHECKING:
    from concurrent.futures import Future

Told = Callable[[str, list[Entry]], None]
"""Hears what a node has reported."""


class Turn(Struct, frozen=True):
    """A try that may begin.

    Args:
        ready: since when, by the monotonic clock.
    """

    node: Node
    number: int
    key: Fingerprint | None
    ready: float


class Landing(Struct, frozen=True):
    """A try that has ended, and is handed to the records.

    Args:
        attempt: as it ended.
        outputs: what it made, by name.
        error: what it failed of.
        ran_s: how long the executor had it.
    """

    node: Node
    attempt: Attempt
    outputs: dict[str, Artifact]
    error: MlwrightError | None
    ran_s: float


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


class Flights:
    """The attempts of one run that are on their way.

    Args:
        known: what the arguments of nodes stand for.
        scratch: the run's folder for what is on its way.
        told: hears what attempts report, while they run and when they have ended.
    """

    def __init__(
        self,
        rooms: Rooms,
        executor: Executor,
        run: Run,
        orders: Orders,
        known: Known,
        records: Records,
        scratch: Path,
        told: Told,
    ) -> None:
        self._executor = executor
        self._run = run
        self._orders = orders
        self._records = records
        self._scratch = scratch
        self._told = told
        self._small = SmallValues(rooms, records)
        self._sender = Sender(rooms, known, orders.datasets, self._small, scratch / "folders")
        self._publisher = Publisher(rooms.objects, scratch)
        self._running: dict[str, _Flight] = {}
        self._aside: list[tuple[_Flight, Report, Future[Outcome]]] = []

    @property
    def running(self) -> list[Node]:
        """The nodes whose attempts a worker has, or will have next."""
        return [flight.node for flight in self._running.values()]

    @property
    def are_running(self) -> bool:
        """Whether a worker has any."""
        return bool(self._running)

    @property
    def are_landing(self) -> bool:
        """Whether any have ended whose large outputs are still being taken in."""
        return bool(self._aside)

    def send(self, turn: Turn, whole: Node | None, detail: dict[str, Any], *, brief: bool) -> Attempt:
        """Give a try to the executor, and record that it runs.

        Args:
            whole: the mapped node, of an element.
            detail: what is kept with it however it ends.
            brief: it is taken to end before anybody looks.

        Raises:
            Incompatible: it would take a pickle from elsewhere. Nothing is sent.
        """
        node = turn.node
        # What was made in this process, with its hash seed and its threads, is nothing to be reused.
        key = turn.key if self._executor.isolates else None
        parcel = self._sender.parcel(node)
        identity = AttemptId(new_id())
        journal = f"{self._scratch}/{identity}.jsonl"
        head = {
            "id": identity,
            "op": "execute" if node.kind == "step" else node.kind,
            "step": node.step,
            "node": node.name,
            "seed": seed_of(node, self._run.seed),
            "scratch": str(self._scratch),
            "journal": journal,
            "arguments": parcel.arguments,
        }
        frame = Frame(head, tuple(parcel.parts))
        place = self._orders.place(node)
        self._executor.submit(Task(identity, place, frame, timeout_s=node.timeout_s, brief=brief))
        attempt = begin(
            self._run.id,
            node.name,
            AttemptState.RUNNING,
            id=identity,
            number=turn.number,
            fingerprint=None if key is None else key.digest,
            detail=detail,
            cpus=node.cpus,
            bytes_in=parcel.bytes_in,
            worker=self._executor.worker_of(identity),  # who follows its log must know where that is
        )
        self._records.begun(attempt, self._sender.input_edges(attempt.end, node, whole), key, brief=brief)
        basis = "" if key is None else key.basis.digest
        began = time.monotonic()
        self._running[identity] = _Flight(node, attempt, turn.ready, began, JournalReader(journal), basis)
        return attempt

    def land(self, reports: Iterable[Report]) -> Iterator[Landing]:
        """Record those that have ended by these reports, and those that were taken in aside by now."""
        for report in reports:
            flight = self._running.pop(report.task)
            flight.waited_s = max(0.0, time.monotonic() - report.ran_s - flight.ready)
            told = (report, flight.journal, flight.heard, flight.basis)
            if (aside := self._publisher.aside(*told)) is not None:
                self._aside.append((flight, report, aside))
            else:
                yield self._landed(flight, report, self._publisher.publish(*told))
        yield from self._taken_in(lambda outcome: outcome.done())

    def listen(self, since_s: float) -> None:
        """Record what those report that run for so long already, and that they do."""
        now = time.monotonic()
        for flight in self._running.values():
            if now - flight.began >= since_s and (worker := self._executor.worker_of(flight.attempt.id)):
                flight.attempt = replace(flight.attempt, worker=worker)
                self._records.still_running(flight.attempt)
                entries = flight.journal.read()
                flight.heard.learn(entries)
                self._told(flight.node.name, entries)

    def cancel(self) -> Iterator[Landing]:
        """End all, and close the executor.

        Those that had ended before are taken in; the others are recorded as cancelled, with what they left.
        """
        for flight in self._running.values():
            worker = self._executor.worker_of(flight.attempt.id)
            flight.attempt = replace(flight.attempt, worker=worker)
        self._executor.close()
        yield from self._taken_in(lambda outcome: True)
        for flight in self._running.values():
            outcome = self._publisher.salvage(flight.attempt.worker, flight.journal, flight.heard)
            self._record(finish(flight.attempt, AttemptState.CANCELLED, log=outcome.log), outcome)

    def _taken_in(self, wanted: Callable[[Future[Outcome]], bool]) -> Iterator[Landing]:
        for each in list(self._aside):
            flight, report, outcome = each
            if wanted(outcome):
                self._aside.remove(each)
                yield self._landed(flight, report, outcome.result())

    def _landed(self, flight: _Flight, report: Report, outcome: Outcome) -> Landing:
        ran = {
            "worker": report.worker,
            "gpus": ",".join(report.gpus),
            "log": outcome.log,
            "waited_s": flight.waited_s,
            "wall_s": report.ran_s,
            **report.head.get("usage", {}),
        }
        error = None
        if report.state == "done":
            detail = flight.attempt.detail | flight.heard.detail()
            ran["bytes_out"] = outcome.bytes_out
            done = finish(flight.attempt, AttemptState.SUCCEEDED, detail=detail, **ran)
        else:
            error = in_words(self._run, flight.node, report)
            detail = flight.attempt.detail | {"error": {"message": error.message, "where": error.where}}
            done = finish(flight.attempt, AttemptState.FAILED, detail=detail, **ran)
        self._record(done, outcome)
        return Landing(flight.node, done, outcome.outputs, error, report.ran_s)

    def _record(self, done: Attempt, outcome: Outcome) -> None:
        """Bytes first, then the one transaction that names them."""
        self._small.learn(outcome.inline)
        log = [] if done.log is None else [Edge(done.end, "log", End("object", done.log))]
        self._records.ended(done, outcome.made, outcome.inline, log)
        self._told(done.node, outcome.entries)
