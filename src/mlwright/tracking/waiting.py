"""Runs that wait for their begin: accepted, claimed by who starts them, taken over by their own process.

Two leases hold a run: `start ID` of whoever starts its process, until the run begins, and `run ID` of that
process, from the moment it takes the run over. A claim is handed on by its token: a process whose claim was
given to another finds that out before it does anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel import events, leases
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.errors import Conflict
from mlwright.kernel.ids import RunId, short
from mlwright.kernel.leases import Lease
from mlwright.tracking.begins import moved, param_rows, recorded, subject
from mlwright.tracking.run import Run, RunState, run_of

_SQL = Queries.beside(__file__)


class Waiting(Struct, frozen=True):
    """What waits, and what goes on, at one moment.

    Args:
        free: the runs that may be started, oldest first.
        dead: those whose process has taken them over, and died before they began, by itself: who started it
            lives.
        busy: how many are being started or executed by processes of this machine.
    """

    free: tuple[RunId, ...]
    dead: tuple[RunId, ...]
    busy: int


def accept(tx: Transaction, **asked: Any) -> Run:
    """Record a run that is to be started.

    Args:
        asked: as `begins.recorded` takes it.
    """
    run = recorded(tx, RunState.SCHEDULED, **asked)
    events.record(tx, "run.scheduled", run.end, pipeline=run.pipeline, kind=run.kind)
    return run


def look(source: Source, project: str) -> Waiting:
    """How the runs of a project stand that wait, or have waited."""
    waiting = [RunId(row["id"]) for row in source.read(_SQL["waiting_runs"], project=project)]
    started = [RunId(row["id"]) for row in source.read(_SQL["started_runs"], project=project)]
    owners = leases.owners(source) if waiting or started else {}
    free, dead, busy = [], [], sum(_is_here(owners.get(subject(run))) for run in started)
    for run in waiting:
        own, claim = owners.get(subject(run)), owners.get(_claim(run))
        if own is not None and own.alive:
            busy += _is_here(own)
        elif claim is None or not claim.alive or (own is not None and not own.here):
            free.append(run)  # nobody has it; or machine, container or server ended with its process
        elif own is None:
            busy += _is_here(claim)
        else:
            dead.append(run)
    return Waiting(tuple(free), tuple(dead), busy)


def claim(database: Database, project: str, most: int) -> tuple[RunId, Lease] | None:
    """Claim the oldest run that may be started; one that is claimed is nobody else's.

    Args:
        most: how many may be started or executed here at once.
    """
    seen = look(database, project)
    if not seen.free or seen.busy >= most:
        return None
    with database.transaction() as tx:
        seen = look(tx, project)
        if not seen.free or seen.busy >= most:
            return None
        run = seen.free[0]
        _let_go(tx, run)
        return run, leases.take(tx, _claim(run))


def take_over(database: Database, run: RunId, token: int) -> Lease | None:
    """Own a run that somebody has claimed for this process.

    Returns:
        None if it waits no longer, or was claimed anew since: then it is another's.
    """
    with database.transaction() as tx:
        claimed = leases.owner(tx, _claim(run))
        if claimed is None or claimed.token != token or leases.owner(tx, subject(run)) is not None:
            return None
        if _run(tx, run).state is not RunState.SCHEDULED:
            return None
        return leases.take(tx, subject(run))  # the claim stays: it tells whether only this process dies


def start(
    tx: Transaction,
    run: Run,
    *,
    parameters: Mapping[str, Any],
    pins: Mapping[str, str],
    machine: Mapping[str, Any],
    about: Mapping[str, Any],
) -> tuple[Run, Lease]:
    """Record that a run begins which has waited; this process owns it.

    Raises:
        Conflict: it waits no longer.
    """
    begun = replace(
        run,
        state=RunState.RUNNING,
        pins=dict(pins),
        machine=dict(machine),
        about={**run.about, **about},
        started_us=now_us(),
    )
    changed = tx.execute(
        _SQL["start_run"],
        id=run.id,
        started_us=begun.started_us,
        pins=json.dumps(begun.pins),
        machine=json.dumps(begun.machine),
        about=json.dumps(begun.about),
    )
    if not changed:
        raise Conflict(f"run {short(run.id)} waits no longer", hint=f"mlwright runs show {short(run.id)}")
    tx.execute(_SQL["drop_params"], run_id=run.id)
    tx.execute_many(_SQL["add_param"], param_rows(run.id, parameters))
    events.record(tx, "run.started", run.end, pipeline=run.pipeline, kind=run.kind)
    _let_go(tx, run.id)
    return begun, leases.take(tx, subject(run.id))


def fail(database: Database, run: RunId, error: Mapping[str, Any], held: Lease | None = None) -> bool:
    """Record that a run could not begin.

    Args:
        error: what kept it from that, as `Run.error`.
        held: the lease of who says so: its claim, or that of the run's own process. None for whoever finds
            that this process is dead.

    Returns:
        Whether it was still waiting, and nobody else has it by now.
    """
    with database.transaction() as tx:
        now = leases.owner(tx, subject(run) if held is None else held.subject)
        if now is None or (now.alive if held is None else now.token != held.token):
            return False
        waits = _run(tx, run).state is RunState.SCHEDULED
        if waits:
            moved(tx, run, RunState.SCHEDULED, RunState.FAILED, dict(error))
        _let_go(tx, run)
        return waits


def give_back(database: Database, run: RunId, held: Lease) -> None:
    """Let a run that has not begun be started by whoever comes next.

    Args:
        held: the lease of the run's own process; nothing happens when another has it by now.
    """
    with database.transaction() as tx:
        if leases.release(tx, held):
            _let_go(tx, run)


def drop_claims(database: Database, kept: Collection[Lease]) -> None:
    """Let go of the claims of this process that it knows nothing of: it never heard that it has them."""
    mine = (each for each in leases.owners(database).values() if each.subject.startswith(_claim("")))
    for claim in mine:
        if claim.pid == os.getpid() and _is_here(claim) and claim not in kept:
            with database.transaction() as tx:
                leases.release(tx, claim)


def _run(tx: Transaction, run: RunId) -> Run:
    return run_of(tx.read(_SQL["runs_by_prefix"], prefix=run)[0])


def _let_go(tx: Transaction, run: RunId) -> None:
    """Nobody starts the run any more, and no process has it."""
    for each in (_claim(run), subject(run)):
        if (owner := leases.owner(tx, each)) is not None:
            leases.release(tx, owner)


def _claim(run: str) -> str:
    return f"start {run}"


def _is_here(owner: Lease | None) -> bool:
    return owner is not None and owner.here and owner.alive
