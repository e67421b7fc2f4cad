"""Attempts: each try at a step of a run, with what it cost and how it ended."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import End
from mlwright.kernel.ids import AttemptId, RunId, new_id
from mlwright.workflow.fingerprint import Basis, Fingerprint

_SQL = Queries.beside(__file__)


class AttemptState(StrEnum):
    """Where an attempt stands. All but `running` are terminal."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REUSED = "reused"
    CHECKED = "checked"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    LOST = "lost"


MOVES: dict[AttemptState | None, frozenset[AttemptState]] = {
    None: frozenset(set(AttemptState) - {AttemptState.SUCCEEDED, AttemptState.CANCELLED, AttemptState.LOST}),
    AttemptState.RUNNING: frozenset(
        {AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.CANCELLED, AttemptState.LOST}
    ),
}
"""None: before there is a row. What is reused, checked or skipped, and a closed gate, is never running."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one step.

    Args:
        number: from 1 on, within the run and step.
        fingerprint: its cache key; None for a judgement, and for a step that is not cached.
        log: digest of what it printed, if anything.
        detail: how it ended: an error, a gate's findings, a registered version.
    """

    id: AttemptId
    run_id: RunId
    node: str
    number: int
    state: AttemptState
    fingerprint: Digest | None = None
    log: Digest | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    waited_s: float | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_bytes: int | None = None
    created_us: int = 0
    finished_us: int | None = None

    @property
    def end(self) -> End:
        """The attempt as an end of edges."""
        return End("attempt", self.id)


class Attempts:
    """The attempts of a workspace."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        tx: Transaction,
        run: RunId,
        node: str,
        state: AttemptState,
        *,
        number: int = 1,
        fingerprint: Fingerprint | None = None,
        detail: dict[str, Any] | None = None,
    ) -> Attempt:
        """Record that a try begins, or that it was decided at once."""
        assert state in MOVES[None]
        if fingerprint is not None:
            self._keep(tx, fingerprint)
        digest = None if fingerprint is None else fingerprint.digest
        made = Attempt(
            AttemptId(new_id()),
            run,
            node,
            number,
            state,
            digest,
            detail=detail or {},
            created_us=now_us(),
        )
        tx.execute(
            _SQL["add_attempt"],
            id=made.id,
            run_id=run,
            node=node,
            number=number,
            state=state,
            fingerprint=digest,
            detail=json.dumps(made.detail, ensure_ascii=False),
            created_us=made.created_us,
        )
        return made

    def finish(self, tx: Transaction, attempt: Attempt, state: AttemptState, **ended: Any) -> Attempt:
        """Record how a running try ended; `ended` are fields of `Attempt`."""
        assert state in MOVES[attempt.state]
        done = replace(attempt, state=state, finished_us=now_us(), **ended)
        moved = tx.execute(
            _SQL["move_attempt"],
            id=done.id,
            was=attempt.state,
            state=state,
            log=done.log,
            detail=json.dumps(done.detail, ensure_ascii=False),
            waited_s=done.waited_s,
            wall_s=done.wall_s,
            cpu_s=done.cpu_s,
            peak_bytes=done.peak_bytes,
            finished_us=done.finished_us,
        )
        assert moved == 1, "an attempt ends once"
        return done

    def fingerprint(self, digest: Digest) -> Fingerprint | None:
        """What a recorded fingerprint was computed from."""
        rows = self._database.read(_SQL["fingerprint_by_digest"], digest=digest)
        if not rows:
            return None
        row = rows[0]
        basis = Basis(row["basis"], row["step"], json.loads(row["parts"]))
        return Fingerprint(digest, basis, json.loads(row["inputs"]))

    def earlier_successes(self, attempt: Attempt, step: str, limit: int = 20) -> list[Attempt]:
        """The newest successes of the same step in earlier runs, with another fingerprint."""
        rows = self._database.read(
            _SQL["earlier_successes"],
            step=step,
            digest=attempt.fingerprint,
            before=attempt.created_us,
            run_id=attempt.run_id,
            limit=limit,
        )
        return [_attempt(row) for row in rows]

    def _keep(self, tx: Transaction, fingerprint: Fingerprint) -> None:
        basis = fingerprint.basis
        parts = json.dumps(basis.parts, ensure_ascii=False)
        tx.execute(_SQL["add_basis"], digest=basis.digest, step=basis.step, parts=parts)
        tx.execute(
            _SQL["add_fingerprint"],
            digest=fingerprint.digest,
            basis=basis.digest,
            inputs=json.dumps(fingerprint.inputs, ensure_ascii=False),
        )

    def reusable(self, fingerprint: Digest) -> AttemptId | None:
        """The newest success with a fingerprint."""
        rows = self._database.read(_SQL["reusable_attempt"], fingerprint=fingerprint)
        return AttemptId(rows[0]["id"]) if rows else None

    def of_run(self, run: RunId, tx: Transaction | None = None) -> list[Attempt]:
        """Every try of a run, in the order they began."""
        source = tx or self._database
        return [_attempt(row) for row in source.read(_SQL["attempts_of_run"], run_id=run)]

    def find(self, prefix: str) -> Attempt | None:
        """The attempt with an id or a unique prefix of it."""
        rows = self._database.read(_SQL["attempts_by_prefix"], prefix=prefix)
        return _attempt(rows[0]) if len(rows) == 1 else None


def _attempt(row: dict[str, Any]) -> Attempt:
    return Attempt(**{**row, "state": AttemptState(row["state"]), "detail": json.loads(row["detail"])})
