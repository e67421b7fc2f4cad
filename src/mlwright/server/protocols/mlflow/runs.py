"""MLflow's methods for runs as such: begun, told, ended, deleted."""

from __future__ import annotations

from typing import Any, Literal

from mlwright.kernel.database import Source, Transaction
from mlwright.kernel.ids import RunId
from mlwright.server.call import Call, Encoded
from mlwright.server.permissions import Permission
from mlwright.server.protocols.mlflow import limits, told
from mlwright.server.protocols.mlflow.errors import invalid, missing_value
from mlwright.server.protocols.mlflow.pages import told_page
from mlwright.server.protocols.mlflow.told import CLIENTS_USER, RUN_NAME, USER
from mlwright.server.protocols.mlflow.wire import EMPTY, Int32, Int64, Message, Tag, message
from mlwright.server.routes import Route
from mlwright.tracking.reports import Reports, RunData, tags_of
from mlwright.tracking.run import Run, RunState
from mlwright.tracking.search import Search, search

Status = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED", 1, 2, 3, 4, 5]


class OfRun(Message):
    """A request about a run, which old clients name otherwise."""

    run_id: str | None = None
    run_uuid: str | None = None

    @property
    def run(self) -> RunId:
        """The id of the run.

        Raises:
            Refused: there is none.
        """
        return whole_id(self.run_id or self.run_uuid)


def whole_id(given: str | None) -> RunId:
    """The id of a run, as a request must have it.

    Raises:
        Refused: there is none.
    """
    if not given:
        raise missing_value("run_id")
    return RunId(given)


class _Create(Message):
    experiment_id: str | None = None
    user_id: str | None = None
    run_name: str | None = None
    start_time: Int64 | None = None
    tags: list[Tag] | None = None


class _Update(OfRun):
    status: Status | None = None
    end_time: Int64 | None = None
    run_name: str | None = None


class _Search(Message):
    experiment_ids: limits.Scope | None = None
    filter: str | None = None
    run_view_type: limits.View | None = None
    max_results: Int32 | None = None
    order_by: list[str] | None = None
    page_token: str | None = None


async def _create(call: Call) -> Any:
    """Begin a run."""
    asked = await message(call, _Create)
    experiment = limits.experiment(asked.experiment_id)
    started_us = limits.moment_us(asked.start_time, "start_time")
    tags = dict(limits.pairs(asked.tags, "tags"))
    name = limits.value(asked.run_name, "run_name")
    tagged = tags.get(RUN_NAME, "")
    if name and tagged and name != tagged:
        raise invalid(
            f"Both 'run_name' argument and '{RUN_NAME}' tag are specified, but with different values"
            f" (run_name={name[:100]!r}, {RUN_NAME}={tagged[:100]!r})."
        )
    if asked.user_id and tags.get(USER) != asked.user_id:
        tags[CLIENTS_USER] = limits.value(asked.user_id, "user_id")
    reports = call.tracker.reports

    def begin(tx: Transaction) -> Run:
        begun = reports.begin(
            tx, experiment=experiment, name=name or tagged, started_us=started_us, tags=tags
        )
        if not tagged:
            reports.log(tx, begun.id, tags=[(RUN_NAME, begun.name)])
        return begun

    begun = await call.write(begin)
    return {"run": told.run(begun, RunData(tags=tags | {RUN_NAME: begun.name}))}


async def _get(call: Call) -> Any:
    """Tell a run with all that was reported of it."""
    asked = await message(call, OfRun)
    return await call.told(_one, call.tracker.reports, asked.run)


def _one(source: Source, reports: Reports, run: RunId) -> dict[str, Any]:
    return {"run": next(told.runs(source, [reports.get(source, run)]))}


async def _update(call: Call) -> Any:
    """Say how a run stands, when it ended, what it is called."""
    asked = await message(call, _Update)
    run, reports = asked.run, call.tracker.reports
    state = None if asked.status is None else _state(asked.status)
    finished_us = None if asked.end_time is None else limits.moment_us(asked.end_time, "end_time")
    name = limits.value(asked.run_name, "run_name") or None

    def update(tx: Transaction) -> told.InfoMessage:
        known = reports.update(tx, run, state=state, finished_us=finished_us, name=name)
        if name is not None:
            reports.log(tx, run, tags=[(RUN_NAME, name)])
        return told.info(known, tags_of(tx, run))

    return {"run_info": await call.write(update)}


def _state(status: str | int) -> RunState:
    return told.STATES[status] if isinstance(status, str) else list(told.STATES.values())[status - 1]


async def _search(call: Call) -> Any:
    """Search runs, page by page, with all that was reported of each."""
    asked = await message(call, _Search)
    wanted = Search(
        experiments=tuple(limits.experiment(each) for each in asked.experiment_ids or ()),
        filter=asked.filter or "",
        order_by=tuple(asked.order_by or ()),
        view=limits.view(asked.run_view_type),
        limit=limits.results(1000 if asked.max_results is None else asked.max_results),
        token=asked.page_token or "",
    )
    return await call.told(_found, wanted)


def _found(source: Source, wanted: Search) -> Encoded:
    page = search(source, wanted)
    return told_page("runs", page, told.runs(source, page.found))


async def _delete(call: Call) -> Any:
    """Mark a run as deleted."""
    run, reports = (await message(call, OfRun)).run, call.tracker.reports
    await call.write(lambda tx: reports.delete(tx, run))
    return EMPTY


async def _restore(call: Call) -> Any:
    """Take that mark away."""
    run, reports = (await message(call, OfRun)).run, call.tracker.reports
    await call.write(lambda tx: reports.restore(tx, run))
    return EMPTY


_R, _W = Permission.READ, Permission.WRITE
ROUTES = (
    Route("POST", "mlflow/runs/create", _create, _W),
    Route("GET", "mlflow/runs/get", _get, _R),
    Route("POST", "mlflow/runs/update", _update, _W),
    Route("POST", "mlflow/runs/search", _search, _R),
    Route("POST", "mlflow/runs/delete", _delete, _W),
    Route("POST", "mlflow/runs/restore", _restore, _W),
)
"""The methods, by their paths below `/api/2.0/`."""
