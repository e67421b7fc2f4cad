"""What a run writes down while it goes: collected for a moment, and written by the writer.

The writer shares the interpreter with the scheduler: handing it each step by itself would let the two wait
for each other at every step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct, field

from mlwright.kernel import edges, leases
from mlwright.kernel.database import Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge
from mlwright.kernel.errors import Conflict
from mlwright.kernel.ids import AttemptId, short
from mlwright.kernel.writer import Writer
from mlwright.storage.inline import put_all_inline
from mlwright.tracking import Entry, Run, record_metrics, record_params
from mlwright.versioning import Artifact, add_artifacts
from mlwright.workflow.attempts import Attempt, Attempts
from mlwright.workflow.fingerprint import Fingerprint

_COLLECT_S = 0.02


class _Burst(Struct):
    """What came together, by table. It is written in an order in which nothing names what is not there."""

    keys: dict[AttemptId, Fingerprint] = field(default_factory=dict)
    inline: dict[Digest, bytes] = field(default_factory=dict)
    begun: list[Attempt] = field(default_factory=list)
    ended: list[Attempt] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    told: list[tuple[str, Sequence[Entry]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.begun or self.ended or self.told)


class Records:
    """The records of one run.

    Args:
        lease: of the run; when another has it by now, nothing more is written.
    """

    def __init__(self, attempts: Attempts, writer: Writer, run: Run, lease: leases.Lease) -> None:
        self._attempts = attempts
        self._writer = writer
        self._run = run
        self._lease = lease
        self._burst = _Burst()
        self._since = time.monotonic()
        self._brief: dict[AttemptId, tuple[list[Edge], Fingerprint | None]] = {}

    def begun(
        self,
        attempt: Attempt,
        made_from: Iterable[Edge],
        key: Fingerprint | None = None,
        *,
        brief: bool = False,
    ) -> None:
        """A try begins, or was decided at once. A brief one is written when it is over or takes longer."""
        made_from = [Edge(attempt.end, "of", self._run.end), *made_from]
        if brief:
            self._brief[attempt.id] = made_from, key
        else:
            self._write_begun(attempt, made_from, key)

    def still_running(self, attempt: Attempt) -> None:
        """What was taken to be brief is not: it is written as it runs."""
        if attempt.id in self._brief:
            self._write_begun(attempt, *self._brief.pop(attempt.id))

    def ended(
        self,
        attempt: Attempt,
        made: Iterable[tuple[str, Artifact]] = (),
        inline: dict[Digest, bytes] | None = None,
        edges: Iterable[Edge] = (),
    ) -> None:
        """A running try has ended, and made artifacts in these roles; their bytes are durable or `inline`."""
        if attempt.id in self._brief:
            self._write_begun(attempt, *self._brief.pop(attempt.id))
        else:
            self._burst.ended.append(attempt)
        self._burst.inline |= inline or {}
        for role, artifact in made:
            self._burst.artifacts.append(artifact)
            self._burst.edges.append(Edge(artifact.end, role, attempt.end))
        self._burst.edges += edges

    def told(self, node: str, entries: Sequence[Entry]) -> None:
        """What a step reported while it ran."""
        if entries:
            self._burst.told.append((node, entries))

    @property
    def due(self) -> float | None:
        """When what was collected is to be handed over, by the monotonic clock; None for nothing."""
        return self._since + _COLLECT_S if self._burst else None

    def collect(self) -> None:
        """Hand over what was collected, if that was begun a moment ago."""
        if not self._burst:
            self._since = time.monotonic()
        elif time.monotonic() >= self._since + _COLLECT_S:
            self.send()

    def send(self) -> None:
        """Hand what was collected to the writer now."""
        if not self._burst:
            return
        self._since = time.monotonic()
        burst, self._burst = self._burst, _Burst()

        def change(tx: Transaction) -> None:
            self._refuse_another(tx)
            put_all_inline(tx, burst.inline)
            self._attempts.add(tx, burst.begun, burst.keys)
            self._attempts.end(tx, burst.ended)
            add_artifacts(tx, burst.artifacts)
            edges.add(tx, burst.edges)
            for node, entries in burst.told:
                record_metrics(tx, self._run.id, entries)
                record_params(tx, self._run.id, node, entries)

        self._writer.write(change)

    def now(self, change: Callable[[Transaction], object]) -> None:
        """Make a change behind all that was collected; it is durable on return."""

        def guarded(tx: Transaction) -> None:
            self._refuse_another(tx)
            change(tx)

        self.send()
        self._writer.write(guarded)
        self._writer.flush()

    def flush(self) -> None:
        """All that was collected is durable on return."""
        self.send()
        self._writer.flush()

    def _write_begun(self, attempt: Attempt, made_from: list[Edge], key: Fingerprint | None) -> None:
        self._burst.begun.append(attempt)
        self._burst.edges += made_from
        if key is not None:
            self._burst.keys[attempt.id] = key

    def _refuse_another(self, tx: Transaction) -> None:
        owner = leases.owner(tx, self._lease.subject)
        if owner is None or owner.token != self._lease.token:
            raise declared_lost(self._run)


def beat(tx: Transaction, run: Run, lease: leases.Lease) -> None:
    """Say that the engine of a run lives.

    Raises:
        Conflict: the run was declared lost meanwhile.
    """
    if not leases.beat(tx, lease):
        raise declared_lost(run)


def declared_lost(run: Run) -> Conflict:
    """What is told of a run that somebody ended, who took its engine for gone; that stays."""
    told = "its process had not been heard of, and its end is not recorded"
    return Conflict(f"run {short(run.id)} was declared lost meanwhile: {told}", hint=run.go_on)
