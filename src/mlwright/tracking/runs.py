"""Runs: one execution of a pipeline, from its begin to its one terminal state."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mlwright.kernel import events, leases
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.ids import RunId, new_id, short
from mlwright.tracking.metrics import Metric, metrics_of

_SQL = Queries.beside(__file__)


class RunState(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


MOVES: dict[RunState, frozenset[RunState]] = {
    RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.LOST}),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
    RunState.LOST: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is recorded.

    Args:
        error: what ended it, as `{"message": ..., "where": ..., "hint": ...}`.
        pins: what its moving references meant when it began: `{"patients@latest": "patients@3"}`; an empty
            text for a reference that meant nothing yet.
    """

    id: RunId
    project: str
    pipeline: str
    state: RunState
    seed: int
    created_us: int
    finished_us: int | None
    error: dict[str, Any] | None
    pins: dict[str, str]

    @property
    def end(self) -> End:
        """The run as an end of edges."""
        return End("run", self.id)

    @property
    def seconds(self) -> float:
        """How long it has taken, so far or in all."""
        return ((self.finished_us or now_us()) - self.created_us) / 1e6


class Runs:
    """The runs of a workspace.

    Args:
        on_lost: told, inside the transaction, of a run whose owner died.
    """

    def __init__(
        self, database: Database, on_lost: Callable[[Transaction, RunId], None] = lambda tx, run: None
    ) -> None:
        self._database = database
        self._on_lost = on_lost

    def begin(
        self,
        tx: Transaction,
        *,
        project: str,
        pipeline: str,
        seed: int,
        parameters: Mapping[str, Any],
        pins: Mapping[str, str],
    ) -> tuple[Run, leases.Lease]:
        """Record that a run begins; this process owns it from now on."""
        run = Run(
            RunId(new_id()), project, pipeline, RunState.RUNNING, seed, now_us(), None, None, dict(pins)
        )
        tx.execute(
            _SQL["add_run"],
            id=run.id,
            project=project,
            pipeline=pipeline,
            state=run.state,
            seed=seed,
            created_us=run.created_us,
            pins=json.dumps(run.pins),
        )
        tx.execute_many(
            _SQL["add_param"],
            [
                {"run_id": run.id, "name": name, "value": json.dumps(value)}
                for name, value in parameters.items()
            ],
        )
        events.record(tx, "run.started", run.end, pipeline=pipeline)
        return run, leases.take(tx, _subject(run.id))

    def finish(
        self,
        tx: Transaction,
        run: Run,
        state: RunState,
        lease: leases.Lease,
        error: dict[str, Any] | None = None,
    ) -> None:
        """Record a run's terminal state.

        Raises:
            Conflict: the run has ended already, or was declared lost.
        """
        self._move(tx, run.id, RunState.RUNNING, state, error)
        leases.release(tx, lease)

    def get(self, reference: str) -> Run:
        """The run with an id or a unique prefix of one; `latest` is the newest.

        Raises:
            NotFound: there is none.
            Invalid: the prefix fits several.
        """
        self.bury_lost()
        if reference == "latest":
            rows = self._database.read(_SQL["newest_runs"], pipeline=None, state=None, limit=1)
        else:
            rows = self._database.read(_SQL["runs_by_prefix"], prefix=reference.upper())
        if not rows or not reference:
            raise NotFound(f"there is no run {reference!r}", hint="mlwright runs list")
        if len(rows) > 1:
            raise Invalid(
                f"{reference!r} fits several runs: {', '.join(row['id'] for row in rows)}",
                hint="type more of the id",
            )
        return _run(rows[0])

    def recorded(self, identity: str) -> Run:
        """The run with a whole id, as it stands in the database."""
        return _run(self._database.read(_SQL["runs_by_prefix"], prefix=identity)[0])

    def parameters(self, run: RunId) -> dict[str, Any]:
        """A run's parameters by name."""
        rows = self._database.read(_SQL["params_of"], run_id=run)
        return {row["name"]: json.loads(row["value"]) for row in rows}

    def metrics(self, run: RunId) -> list[Metric]:
        """The last value of each metric of a run."""
        return metrics_of(self._database, run)

    def bury_lost(self) -> None:
        """Declare the runs lost whose owner is gone: whoever looks may, so that nobody has to clean up.

        What else ends with a run is recorded by `on_lost`, in the same transaction.
        """
        for row in self._database.read(_SQL["unfinished_runs"]):
            owner = leases.owner(self._database, _subject(row["id"]))
            if owner is not None and owner.alive:
                continue
            with self._database.transaction() as tx:
                owner = leases.owner(tx, _subject(row["id"]))
                if owner is not None and owner.alive:
                    continue
                told = {
                    "message": f"the process of run {short(row['id'])} ended without a word",
                    "hint": f"continue where it stopped: mlwright runs resume {short(row['id'])}",
                }
                if tx.read(_SQL["runs_by_prefix"], prefix=row["id"])[0]["state"] == RunState.RUNNING:
                    self._move(tx, row["id"], RunState.RUNNING, RunState.LOST, told)
                    self._on_lost(tx, RunId(row["id"]))
                if owner is not None:
                    leases.release(tx, owner)

    def _move(
        self, tx: Transaction, run: RunId, was: RunState, state: RunState, error: dict[str, Any] | None
    ) -> None:
        assert state in MOVES[was]
        moved = tx.execute(
            _SQL["move_run"],
            id=run,
            was=was,
            state=state,
            finished_us=now_us(),
            error=None if error is None else json.dumps(error),
        )
        if not moved:
            raise Conflict(f"run {short(run)} has ended already")
        events.record(tx, f"run.{state}", End("run", run))

    def list(self, *, pipeline: str | None = None, state: str | None = None, limit: int = 20) -> list[Run]:
        """The newest runs first.

        Raises:
            Invalid: no such state.
        """
        if state is not None and state not in set(RunState):
            raise Invalid(f"there is no run state {state!r}", hint=f"one of {', '.join(RunState)}")
        self.bury_lost()
        rows = self._database.read(_SQL["newest_runs"], pipeline=pipeline, state=state, limit=limit)
        return [_run(row) for row in rows]


def _subject(run: str) -> str:
    return f"run {run}"


def _run(row: dict[str, Any]) -> Run:
    error = row["error"]
    return Run(
        **{
            **row,
            "state": RunState(row["state"]),
            "error": None if error is None else json.loads(error),
            "pins": json.loads(row["pins"]),
        }
    )
