"""MLflow's methods for logged models: what a client has made, whether it is registered or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta

from mlwright.kernel.database import Source, Transaction
from mlwright.kernel.errors import NotFound
from mlwright.kernel.grammar import Among
from mlwright.kernel.ids import RunId
from mlwright.server.call import Call, Encoded
from mlwright.server.permissions import Permission
from mlwright.server.protocols.mlflow import limits, told
from mlwright.server.protocols.mlflow.artifacts import page_below
from mlwright.server.protocols.mlflow.errors import Refused, invalid, missing_value
from mlwright.server.protocols.mlflow.pages import in_blocks, told_page
from mlwright.server.protocols.mlflow.runs import OfRun
from mlwright.server.protocols.mlflow.wire import EMPTY, Int32, Int64, Message, Tag, message, number
from mlwright.server.routes import Route
from mlwright.tracking.logged_models import LoggedModel, LoggedModels, ModelLink, ModelMetric, ModelState
from mlwright.tracking.search import Search, search_logged_models

STATES = {
    "LOGGED_MODEL_STATUS_UNSPECIFIED": ModelState.PENDING,
    "LOGGED_MODEL_PENDING": ModelState.PENDING,
    "LOGGED_MODEL_READY": ModelState.READY,
    "LOGGED_MODEL_UPLOAD_FAILED": ModelState.FAILED,
}
"""What each status of MLflow's is here, in the order of its numbers."""
_STATUSES = {state: status for status, state in STATES.items()}
_BAD = "/:.%\"'"
_MOST_PER_PAGE = 1000
_FEW = 100
_MOST_DATASETS = 100

T = TypeVar("T")
Status = Literal[
    "LOGGED_MODEL_STATUS_UNSPECIFIED",
    "LOGGED_MODEL_PENDING",
    "LOGGED_MODEL_READY",
    "LOGGED_MODEL_UPLOAD_FAILED",
    0,
    1,
    2,
    3,
]


class _Create(Message):
    experiment_id: str | None = None
    name: str | None = None
    model_type: str | None = None
    source_run_id: str | None = None
    params: list[Tag] | None = None
    tags: list[Tag] | None = None


class _Get(Message):
    allow_deleted: bool | None = None


class _Finalize(Message):
    status: Status | None = None


class _Params(Message):
    params: list[Tag] | None = None


class _Tags(Message):
    tags: list[Tag] | None = None


class _Dataset(Message):
    dataset_name: str | None = None
    dataset_digest: str | None = None


class _Order(Message):
    field_name: str | None = None
    ascending: bool | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class _Search(Message):
    experiment_ids: limits.Scope | None = None
    filter: str | None = None
    datasets: Annotated[list[_Dataset], Meta(max_length=_MOST_DATASETS)] | None = None
    max_results: Int32 | None = None
    order_by: list[_Order] | None = None
    page_token: str | None = None


class _Directory(Message):
    artifact_directory_path: str | None = None
    page_token: str | None = None


class _Output(Message):
    model_id: str | None = None
    step: Int64 | None = None


class _Outputs(OfRun):
    models: list[_Output] | None = None


class InfoMessage(Message):
    """What a logged model is."""

    model_id: str
    experiment_id: str
    name: str
    creation_timestamp_ms: int
    last_updated_timestamp_ms: int
    artifact_uri: str
    status: str
    model_type: str
    source_run_id: str
    tags: list[Tag] | None = None


def model(found: LoggedModel) -> dict[str, Any]:
    """A logged model in MLflow's words."""
    info = InfoMessage(
        model_id=found.id,
        experiment_id=str(found.experiment_id),
        name=found.name,
        creation_timestamp_ms=found.created_us // 1000,
        last_updated_timestamp_ms=found.updated_us // 1000,
        artifact_uri=artifact_uri(found),
        status=_STATUSES[found.state],
        model_type=found.type,
        source_run_id=found.run_id or "",
        tags=[Tag(key=key, value=value) for key, value in found.tags.items()] or None,
    )
    data: dict[str, Any] = {}
    if found.params:
        data["params"] = [Tag(key=key, value=value) for key, value in found.params.items()]
    if found.metrics:
        data["metrics"] = [_metric(each) for each in found.metrics]
    return {"info": info, "data": data}


def artifact_uri(found: LoggedModel) -> str:
    """Where a client finds the files of a logged model."""
    return f"mlflow-artifacts:/{found.experiment_id}/models/{found.id}/artifacts"


def _metric(each: ModelMetric) -> told.MetricMessage:
    return told.MetricMessage(
        key=each.name,
        value=number(each.value),
        timestamp=each.at_us // 1000,
        step=each.step,
        model_id=each.model_id,
        dataset_name=each.dataset_name or None,
        dataset_digest=each.dataset_hash or None,
        run_id=each.run_id,
    )


async def _create(call: Call) -> Any:
    """Begin a logged model, whose files are still to come."""
    asked = await message(call, _Create, "experiment_id")
    name, experiment = asked.name or "", limits.experiment(asked.experiment_id)
    if set(name) & set(_BAD):
        raise invalid(
            f"Invalid model name ({name[:100]!r}) provided. Model name must be a non-empty string and cannot"
            f" contain the following characters: {tuple(_BAD)}"
        )
    run = RunId(asked.source_run_id) if asked.source_run_id else None
    params, tags = dict(limits.pairs(asked.params, "params")), dict(limits.pairs(asked.tags, "tags"))
    name, kind = (
        limits.value(name, "name", limits.EXPERIMENT_NAME_LENGTH),
        limits.value(asked.model_type, "model_type", limits.EXPERIMENT_NAME_LENGTH),
    )
    logged = call.tracker.logged_models
    made = await call.write(
        lambda tx: logged.create(
            tx, experiment=experiment, name=name, run=run, type_name=kind, params=params, tags=tags
        )
    )
    return {"model": model(made)}


async def _get(call: Call) -> Any:
    """Tell a logged model with its parameters, tags and metrics."""
    deleted = bool((await message(call, _Get)).allow_deleted)
    return {"model": model(await call.read(_one, call.tracker.logged_models, call.names["model"], deleted))}


def _one(source: Source, logged: LoggedModels, identity: str, deleted: bool = False) -> LoggedModel:
    found = logged.get(source, identity)
    if found.deleted_us is not None and not deleted:
        raise NotFound(f"Logged model with ID {identity!r} not found.")
    return found


async def _finalize(call: Call) -> Any:
    """Say that a logged model is ready, or that it failed."""
    status = (await message(call, _Finalize)).status
    if status is None:
        raise missing_value("status")
    state = STATES[status] if isinstance(status, str) else list(STATES.values())[status]
    return {"model": model(await _change(call, lambda tx, logged, it: logged.finish(tx, it.id, state)))}


async def _delete(call: Call) -> Any:
    """Mark a logged model as deleted."""
    logged, identity = call.tracker.logged_models, call.names["model"]
    await call.write(lambda tx: logged.delete(tx, identity))
    return EMPTY


async def _log_params(call: Call) -> Any:
    """Give a logged model parameters, which never change."""
    asked = await message(call, _Params)
    params = dict(limits.pairs(asked.params, "params"))
    await _change(call, lambda tx, logged, it: logged.log_params(tx, it.id, params))
    return EMPTY


async def _set_tags(call: Call) -> Any:
    """Give a logged model tags."""
    asked = await message(call, _Tags)
    tags = dict(limits.pairs(asked.tags, "tags"))
    await _change(call, lambda tx, logged, it: logged.set_tags(tx, it.id, tags))
    return EMPTY


async def _delete_tag(call: Call) -> Any:
    """Take a tag from a logged model."""
    await _change(call, lambda tx, logged, it: logged.remove_tag(tx, it.id, call.names["key"]))
    return EMPTY


async def _change(call: Call, change: Callable[[Transaction, LoggedModels, LoggedModel], T]) -> T:
    """Change the logged model that a request names, which must be there, in one transaction."""
    logged, identity = call.tracker.logged_models, call.names["model"]
    return await call.write(lambda tx: change(tx, logged, _one(tx, logged, identity)))


async def _search(call: Call) -> Any:
    """Search logged models, page by page, with all that was measured of each."""
    asked = await message(call, _Search)
    if not asked.experiment_ids:
        raise missing_value("experiment_ids")
    wanted = Search(
        experiments=tuple(map(limits.experiment, asked.experiment_ids)),
        filter=asked.filter or "",
        order_by=tuple(map(_order, asked.order_by or ())),
        limit=limits.results(asked.max_results or _FEW, _MOST_PER_PAGE),
        token=asked.page_token or "",
    )
    datasets, ordered_on = _on(asked.datasets or ()), [_marks(each) for each in asked.order_by or ()]
    return await call.told(_found, call.tracker.logged_models, wanted, datasets, ordered_on)


def _found(
    source: Source, logged: LoggedModels, wanted: Search, datasets: Among, ordered_on: Sequence[Among]
) -> Encoded:
    page = search_logged_models(source, wanted, datasets=datasets, ordered_on=ordered_on)
    return told_page(
        "models", page, in_blocks(page.found, lambda some: map(model, logged.many(source, some)))
    )


def _on(datasets: Sequence[_Dataset]) -> Among:
    """The datasets on which was measured what a filter looks at.

    Raises:
        Refused: one has no name.
    """
    if not all(each.dataset_name for each in datasets):
        raise invalid("`dataset_name` in the `datasets` clause must be specified.")
    return tuple(marks for each in datasets for marks in _marks(each))


def _marks(given: _Dataset | _Order) -> Among:
    """The dataset that is named, if one is."""
    marks = (("name", given.dataset_name), ("digest", given.dataset_digest))
    told = tuple((mark, value) for mark, value in marks if value)
    return (told,) if told else ()


def _order(given: _Order) -> str:
    """An order as the grammar has it.

    Raises:
        Refused: there is no field.
    """
    entity, dot, key = (given.field_name or "").partition(".")
    if not entity:
        raise invalid("`field_name` in the `order_by` clause must be specified.")
    quoted = '"' + key.strip('`"').replace('"', '""') + '"'
    return f"{entity}{dot}{quoted if dot else ''} {'DESC' if given.ascending is False else 'ASC'}"


async def _list(call: Call) -> Any:
    """Tell what lies in a folder of a logged model, a page at a time."""
    asked = await message(call, _Directory)
    found = await call.read(_one, call.tracker.logged_models, call.names["model"])
    return await page_below(call, artifact_uri(found), asked.artifact_directory_path, asked.page_token)


async def _log_outputs(call: Call) -> Any:
    """Report which logged models a run has made."""
    asked = await message(call, _Outputs)
    run, logged, reports = asked.run, call.tracker.logged_models, call.tracker.reports
    links = links_to(asked.models or (), "models")

    def link(tx: Transaction) -> None:
        if reports.get(tx, run).deleted_us is not None:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"run {run} is deleted")
        logged.link(tx, run, links)

    await call.write(link)
    return EMPTY


def links_to(models: Sequence[_Output], path: str) -> list[ModelLink]:
    """Models that a run has made.

    Raises:
        Refused: one has no id.
    """
    for at, each in enumerate(models):
        if not each.model_id:
            raise missing_value(f"{path}[{at}].model_id")
    return [ModelLink(each.model_id or "", "out", each.step or 0) for each in models]


_R, _W = Permission.READ, Permission.WRITE
_ONE = "mlflow/logged-models/{model}"
ROUTES = (
    Route("POST", "mlflow/logged-models", _create, _W),
    Route("POST", "mlflow/logged-models/search", _search, _R),
    Route("GET", _ONE, _get, _R),
    Route("PATCH", _ONE, _finalize, _W),
    Route("DELETE", _ONE, _delete, _W),
    Route("POST", f"{_ONE}/params", _log_params, _W),
    Route("PATCH", f"{_ONE}/tags", _set_tags, _W),
    Route("DELETE", _ONE + "/tags/{key:path}", _delete_tag, _W),
    Route("GET", f"{_ONE}/artifacts/directories", _list, _R),
    Route("POST", "mlflow/runs/outputs", _log_outputs, _W),
)
"""The methods, by their paths below `/api/2.0/`."""
