"""Attempts: each try at a step of a run, with what it cost and how it ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from mlwright.kernel import edges
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
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


class Attempt(Struct, frozen=True):
    """One try at one step.

    Args:
        number: from 1 on, within the run and step.
        fingerprint: its cache key; None for a judgement, and for a step that is not cached.
        log: digest of what it printed, if anything.
        detail: how it ended: an error, a gate's findings, a registered version.
        waited_s: from when it could have begun until it did.
        worker: the process that ran it, and the name of its folder in the run's scratch.
        cpus: processors it was given, and threads of BLAS and OpenMP.
        gpus: the GPUs it had for itself, with commas.
        bytes_in: of the artifacts that were passed to it.
        bytes_out: of those it made.
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
    worker: str = ""
    cpus: int = 1
    gpus: str = ""
    bytes_in: int | None = None
    bytes_out: int | None = None

    @property
    def end(self) -> End:
        """The attempt as an end of edges."""
        return End("attempt", self.id)

    @property
    def error(self) -> str:
        """What it failed of; empty when it did not."""
        return str(self.detail.get("error", {}).get("message", ""))


class Success(Struct, frozen=True):
    """An attempt that may be reused: its outputs are ids of artifacts, by name."""

    id: AttemptId
    fingerprint: Digest
    detail: dict[str, Any]
    outputs: dict[str, str] = field(default_factory=dict)


def begin(run: RunId, node: str, state: AttemptState, **known: Any) -> Attempt:
    """A try that begins, or that was decided at once; `known` are fields of `Attempt`."""
    assert state in MOVES[None]
    identity = known.pop("id", None) or AttemptId(new_id())
    return Attempt(identity, run, node, known.pop("number", 1), state, created_us=now_us(), **known)


def finish(attempt: Attempt, state: AttemptState, **ended: Any) -> Attempt:
    """A running try as it ended; `ended` are fields of `Attempt`."""
    assert state in MOVES[attempt.state]
    return replace(attempt, state=state, finished_us=now_us(), **ended)


class Attempts:
    """The attempts of a workspace."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self) -> int:
        """How many attempts there are."""
        return int(self._database.read(_SQL["count_attempts"])[0]["attempts"])

    def loose_edges(self) -> list[Edge]:
        """The edges that lead to attempts, or come from them, which are not there."""
        return edges.loose(self._database, _SQL["loose_edges"])

    def add(
        self, tx: Transaction, attempts: Iterable[Attempt], keys: Mapping[AttemptId, Fingerprint] = {}
    ) -> None:
        """Record tries as they begin.

        Args:
            keys: what the fingerprints of those that run were computed from.
        """
        bases = {key.basis.digest: key.basis for key in keys.values()}
        tx.execute_many(
            _SQL["add_basis"],
            [{"digest": each.digest, "step": each.step, "parts": each.text} for each in bases.values()],
        )
        tx.execute_many(
            _SQL["add_attempt"], [{**_row(each), **_key_row(keys.get(each.id))} for each in attempts]
        )

    def end(self, tx: Transaction, attempts: Iterable[Attempt]) -> None:
        """Record how running tries ended; one that is recorded as ended stays as it is."""
        tx.execute_many(_SQL["end_attempt"], [_row(attempt) for attempt in attempts])

    def fingerprint(self, attempt: AttemptId) -> Fingerprint | None:
        """The fingerprint of a try with what it was computed from; None for one that has none."""
        rows = self._database.read(_SQL["fingerprint_of"], id=attempt)
        if not rows:
            return None
        row = rows[0]
        basis = Basis(row["basis"], row["step"], json.loads(row["parts"]))
        return Fingerprint(row["digest"], basis, row["inputs"])

    def successes(
        self, step: str, *, but: Digest | None, before_us: int, not_in: str = "", limit: int = 20
    ) -> list[Attempt]:
        """The newest successes of a step before a moment, in other runs, with another fingerprint."""
        rows = self._database.read(
            _SQL["successes"], step=step, but=but, before=before_us, run_id=not_in, limit=limit
        )
        return [_attempt(row) for row in rows]

    def reusable(self, fingerprint: Digest, source: Source, limit: int) -> list[Success]:
        """The newest success with a fingerprint, and what began after it in its run; `limit` of them."""
        newest = source.read(_SQL["newest_with_fingerprint"], fingerprint=fingerprint)
        if not newest:
            return []
        found: dict[str, Success] = {}
        for row in source.read(_SQL["successes_from"], **newest[0], limit=limit):
            known = found.get(row["id"])
            if known is None:
                known = Success(row["id"], row["fingerprint"], json.loads(row["detail"]))
                found[row["id"]] = known
            if row["role"] is not None:
                known.outputs[row["role"].removeprefix("output:")] = row["artifact"]
        return list(found.values())

    def of_run(self, run: RunId, tx: Transaction | None = None) -> list[Attempt]:
        """Every try of a run, in the order they began."""
        source = tx or self._database
        return [_attempt(row) for row in source.read(_SQL["attempts_of_run"], run_id=run)]

    def since(self, run: RunId, at_us: int) -> list[Attempt]:
        """The tries of a run that are running, and those that ended or were decided from a moment on."""
        return [_attempt(row) for row in self._database.read(_SQL["attempts_since"], run_id=run, since=at_us)]

    def find(self, prefix: str) -> Attempt | None:
        """The attempt with an id or a unique prefix of it."""
        rows = self._database.read(_SQL["attempts_by_prefix"], prefix=prefix)
        return _attempt(rows[0]) if len(rows) == 1 else None


def _row(attempt: Attempt) -> dict[str, Any]:
    row = asdict(attempt)
    row["detail"] = json.dumps(attempt.detail, ensure_ascii=False) if attempt.detail else "{}"
    return row


def _key_row(key: Fingerprint | None) -> dict[str, str | None]:
    if key is None:
        return {"basis": None, "inputs": None}
    return {"basis": key.basis.digest, "inputs": key.text}


def _attempt(row: dict[str, Any]) -> Attempt:
    return Attempt(**{**row, "state": AttemptState(row["state"]), "detail": json.loads(row["detail"])})
