"""Runs: one execution of a pipeline, from its begin to its one terminal state."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Unpack

from msgspec.structs import replace

from mlwright.kernel import edges, events, leases
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.edges import Edge
from mlwright.kernel.errors import Invalid, NotFound, nearest
from mlwright.kernel.ids import RunId, short
from mlwright.kernel.pages import Page
from mlwright.kernel.search import find
from mlwright.tracking import series
from mlwright.tracking.begins import moved, param_rows, recorded, subject
from mlwright.tracking.experiments import Experiments
from mlwright.tracking.fields import RUN_COLUMNS, RUNS
from mlwright.tracking.filters import Nouns, RunFilter, asked
from mlwright.tracking.journal import Metric
from mlwright.tracking.metrics import metrics_of
from mlwright.tracking.points import Point, Points
from mlwright.tracking.run import MOVES, REPORTED, Run, RunState, run_of
from mlwright.tracking.series import Cursor

__all__ = ["MOVES", "Run", "RunState", "Runs", "counts_back"]

_SQL = Queries.beside(__file__)
_NEWEST = RunFilter()
_LATEST = re.compile(r"latest(?:~([0-9]{1,9}))?")


def counts_back(reference: str) -> bool:
    """Whether a reference is `latest`, `latest~1`, ..., and no id."""
    return _LATEST.fullmatch(reference) is not None


class Runs:
    """The runs of a workspace.

    Args:
        on_lost: told, inside the transaction, of a run whose owner died.
        on_gone: told before of that owner, perhaps more than once: to end what it has left running.
        on_looked: called after each look at who lives, when what is left of the others may go.
    """

    def __init__(
        self,
        database: Database,
        on_lost: Callable[[Transaction, RunId], None] = lambda tx, run: None,
        on_gone: Callable[[leases.Lease], None] = lambda owner: None,
        on_looked: Callable[[Runs], None] = lambda runs: None,
    ) -> None:
        self._database = database
        self._experiments = Experiments()
        self._on_lost = on_lost
        self._on_gone = on_gone
        self._on_looked = on_looked

    def begin(
        self,
        tx: Transaction,
        *,
        project: str,
        pipeline: str,
        seed: int,
        parameters: Mapping[str, Any],
        pins: Mapping[str, str],
        kind: str = "pipeline",
        machine: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> tuple[Run, leases.Lease]:
        """Record that a run begins; this process owns it from now on."""
        run = recorded(
            tx,
            RunState.RUNNING,
            project=project,
            pipeline=pipeline,
            seed=seed,
            parameters=parameters,
            pins=pins,
            kind=kind,
            machine=machine,
            about=about,
        )
        events.record(tx, "run.started", run.end, pipeline=pipeline, kind=kind)
        return run, leases.take(tx, subject(run.id))

    def adopt(
        self,
        tx: Transaction,
        run: Run,
        parameters: Mapping[str, Any],
        logged: Mapping[str, Any],
        metrics: Iterable[tuple[str, float | None, int, int]],
    ) -> bool:
        """Record a run that was made in another workspace and has ended; twice is once.

        Args:
            parameters: that it was given.
            logged: that its steps logged.
            metrics: name, value (None for NaN), step and moment of each.

        Returns:
            Whether it was not here before.
        """
        assert run.state.ended
        if tx.read(_SQL["runs_by_prefix"], prefix=run.id):
            return False
        tx.execute(
            _SQL["adopt_run"],
            id=run.id,
            project=run.project,
            pipeline=run.pipeline,
            state=run.state,
            seed=run.seed,
            created_us=run.created_us,
            finished_us=run.finished_us,
            error=None if run.error is None else json.dumps(run.error),
            pins=json.dumps(run.pins),
            kind=run.kind,
            wanted=run.wanted,
            machine=json.dumps(run.machine),
            about=json.dumps(run.about),
            experiment_id=self._experiments.ensure(tx, f"{run.project}/{run.pipeline}"),
            started_us=run.started_us,
        )
        tx.execute_many(_SQL["add_param"], param_rows(run.id, parameters))
        tx.execute_many(_SQL["set_param"], param_rows(run.id, logged))
        series.append(
            tx,
            run.id,
            {
                name: Points([step], [at_us], [math.nan if value is None else value])
                for name, value, step, at_us in metrics
            },
        )
        from_where = run.about.get("imported", {}).get("workspace")
        events.record(tx, "run.imported", run.end, pipeline=run.pipeline, workspace=from_where)
        return True

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
        moved(tx, run.id, RunState.RUNNING, state, error)
        leases.release(tx, lease)

    def cancel(self, run: Run) -> None:
        """Ask whoever executes a run to end it; that takes a moment, and nothing when it has ended.

        One that waits for its begin has ended then.
        """
        with self._database.transaction() as tx:
            now = run_of(tx.read(_SQL["runs_by_prefix"], prefix=run.id)[0])
            if now.state is RunState.SCHEDULED and now.kind != REPORTED:
                moved(tx, run.id, RunState.SCHEDULED, RunState.CANCELLED)
            elif tx.execute(_SQL["want_cancelled"], id=run.id):
                events.record(tx, "run.cancel-asked", run.end)

    def is_cancelled(self, run: RunId) -> bool:
        """Whether somebody asked for the run to be cancelled."""
        return bool(self._database.read(_SQL["wanted_cancelled"], id=run))

    def get(self, reference: str) -> Run:
        """The run with an id or a unique prefix of one; `latest` is the newest, `latest~1` the one before it.

        Raises:
            NotFound: there is none.
            Invalid: the prefix fits several.
        """
        self.bury_lost()
        back = _LATEST.fullmatch(reference)
        if back:
            rows = self._database.read(_SQL["newest_run"], back=int(back[1] or 0))
        else:
            rows = self._database.read(_SQL["runs_by_prefix"], prefix=reference.upper())
        if not rows or not reference:
            count = self._database.read(_SQL["count_runs"])[0]["runs"] if back else 0
            told = f": there {'is 1' if count == 1 else f'are {count}'}" if count else ""
            by_id = "; a run that a client reported is named by its id" if back else ""
            raise NotFound(f"there is no run {reference!r}{told}", hint=f"mlwright runs list{by_id}")
        if len(rows) > 1:
            raise Invalid(
                f"{reference!r} fits several runs: {', '.join(row['id'] for row in rows)}",
                hint="type more of the id",
            )
        return run_of(rows[0])

    def recorded(self, identity: str) -> Run:
        """The run with a whole id, as it stands in the database."""
        return run_of(self._database.read(_SQL["runs_by_prefix"], prefix=identity)[0])

    def knows(self, run: RunId) -> bool:
        """Whether a run is on record here."""
        return bool(self._database.read(_SQL["runs_by_prefix"], prefix=run))

    def newest_success(self, pipeline: str) -> Run | None:
        """The newest run of a pipeline that succeeded."""
        rows = self._database.read(_SQL["newest_success"], pipeline=pipeline)
        return run_of(rows[0]) if rows else None

    def parameters(self, run: RunId) -> dict[str, Any]:
        """The parameters a run was given, by name."""
        return self._params(run, logged=False)

    def logged_parameters(self, run: RunId) -> dict[str, Any]:
        """The parameters that the steps of a run logged, by name."""
        return self._params(run, logged=True)

    def _params(self, run: RunId, *, logged: bool) -> dict[str, Any]:
        rows = self._database.read(_SQL["params_of"], run_id=run, logged=int(logged))
        return {row["name"]: json.loads(row["value"]) for row in rows}

    def metrics(self, run: RunId) -> list[Metric]:
        """The last value of each metric of a run."""
        return metrics_of(self._database, run)

    def history(
        self, run: RunId, name: str, *, after: Cursor | None = None, limit: int = 100_000
    ) -> tuple[list[Point], Cursor | None]:
        """The values that a metric of a run ever had, by moment, step and value.

        Args:
            after: where an earlier answer ended.
            limit: at most so many.

        Returns:
            The points, and where to go on; None when there are no more.

        Raises:
            NotFound: the run has no such metric.
        """
        self._refuse_unknown(run, name)
        return series.history(self._database, run, name, after=after, limit=limit)

    def sample(self, run: RunId, name: str, points: int = 1000) -> list[Point]:
        """The shape of a metric in at most so many points, its extremes and its last value among them.

        Args:
            points: 3 or more.

        Raises:
            NotFound: the run has no such metric.
        """
        self._refuse_unknown(run, name)
        return series.sample(self._database, run, name, points)

    def _refuse_unknown(self, run: RunId, name: str) -> None:
        known = [each.name for each in self.metrics(run)]
        if name not in known:
            raise NotFound(f"run {short(run)} has no metric {name!r}", hint=nearest(name, known) or None)

    def count(self) -> int:
        """How many runs there are."""
        return int(self._database.read(_SQL["count_runs"])[0]["runs"])

    def loose_edges(self) -> list[Edge]:
        """The edges that lead to runs, or come from them, which are not there."""
        return edges.loose(self._database, _SQL["loose_edges"])

    def unfinished(self) -> set[RunId]:
        """The runs that somebody should be executing here: none that was reported from outside."""
        return {RunId(row["id"]) for row in self._database.read(_SQL["unfinished_runs"])}

    def left_over(self) -> list[RunId]:
        """The runs whose owner is gone, and which nobody has declared lost yet."""
        rows = self._database.read(_SQL["unfinished_runs"])
        owners = leases.owners(self._database) if rows else {}
        owned = {row["id"]: owners.get(subject(row["id"])) for row in rows}
        return [RunId(run) for run, owner in owned.items() if owner is None or not owner.alive]

    def oldest_living_us(self) -> int | None:
        """When the oldest run began that still goes on."""
        gone = set(self.left_over())
        rows = self._database.read(_SQL["unfinished_runs"])
        return min((int(row["created_us"]) for row in rows if row["id"] not in gone), default=None)

    def bury_lost(self) -> None:
        """Declare the runs lost whose owner is gone: whoever looks may, so that nobody has to clean up.

        What else ends with a run is recorded by `on_lost`, in the same transaction.
        """
        rows = self._database.read(_SQL["unfinished_runs"])
        owners = leases.owners(self._database) if rows else {}
        for row in rows:
            owner = owners.get(subject(row["id"]))
            if owner is not None and owner.alive:
                continue
            if owner is not None:
                self._on_gone(owner)
            with self._database.transaction() as tx:
                owner = leases.owner(tx, subject(row["id"]))
                if owner is not None and owner.alive:
                    continue
                run = run_of(tx.read(_SQL["runs_by_prefix"], prefix=row["id"])[0])
                told = {
                    "message": f"the process of run {short(run.id)} ended without a word",
                    "hint": run.go_on,
                }
                if run.state is RunState.RUNNING:
                    moved(tx, row["id"], RunState.RUNNING, RunState.LOST, told)
                    self._on_lost(tx, RunId(row["id"]))
                if owner is not None:
                    leases.release(tx, owner)
        self._on_looked(self)

    def list(self, wanted: RunFilter = _NEWEST, **nouns: Unpack[Nouns]) -> list[Run]:
        """Those runs that are wanted; by default the newest 20, newest first.

        Args:
            wanted: a filter.
            nouns: its fields, or what is to be different in it: `list(state="failed", metrics=["auc>0.9"])`.

        Raises:
            Invalid: no such state, kind or order, or a word that cannot be understood.
        """
        return self.page(replace(wanted, **nouns)).found

    def page(self, wanted: RunFilter) -> Page[Run]:
        """The same, with the token of the next page.

        Raises:
            Invalid: likewise, or the token belongs to another search.
        """
        search = asked(wanted)
        self.bury_lost()
        found = find(self._database, RUNS, search, RUN_COLUMNS, now_us())
        return Page([run_of(row) for row in found.found], found.token)
