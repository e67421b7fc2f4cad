"""How runs are recorded, and how their state moves: what all that begin or end have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlwright.kernel import events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Queries, Transaction
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict
from mlwright.kernel.ids import RunId, new_id, short
from mlwright.tracking.experiments import Experiments
from mlwright.tracking.metrics import text_of
from mlwright.tracking.run import MOVES, Run, RunState

_SQL = Queries.beside(__file__)


def recorded(
    tx: Transaction,
    state: RunState,
    *,
    project: str,
    pipeline: str,
    seed: int,
    parameters: Mapping[str, Any],
    pins: Mapping[str, str],
    kind: str = "pipeline",
    machine: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Run:
    """Record a new run that we execute."""
    run = Run(
        RunId(new_id()),
        project,
        pipeline,
        state,
        seed,
        now_us(),
        None,
        None,
        dict(pins),
        kind,
        machine=dict(machine or {}),
        about=dict(about or {}),
        experiment_id=Experiments().ensure(tx, f"{project}/{pipeline}"),
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
        kind=kind,
        machine=json.dumps(run.machine),
        about=json.dumps(run.about),
        experiment_id=run.experiment_id,
        name=run.name,
    )
    tx.execute_many(_SQL["add_param"], param_rows(run.id, parameters))
    return run


def moved(
    tx: Transaction, run: RunId, was: RunState, state: RunState, error: dict[str, Any] | None = None
) -> None:
    """Record where a run stands now.

    Raises:
        Conflict: it does not stand where it did.
    """
    assert state in MOVES[was]
    changed = tx.execute(
        _SQL["move_run"],
        id=run,
        was=was,
        state=state,
        finished_us=now_us(),
        error=None if error is None else json.dumps(error),
    )
    if not changed:
        raise Conflict(f"run {short(run)} has ended already")
    events.record(tx, f"run.{state}", End("run", run), before=was, after=state)


def param_rows(run: RunId, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parameters as rows."""
    return [
        {"run_id": run, "name": name, "value": json.dumps(value), "text": text_of(value)}
        for name, value in values.items()
    ]


def subject(run: str) -> str:
    """What the lease of a run's own process is called."""
    return f"run {run}"
