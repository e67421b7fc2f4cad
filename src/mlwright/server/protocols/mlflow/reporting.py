"""MLflow's methods by which a client reports what a run has measured, was given and has read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mlwright.kernel.database import Transaction
from mlwright.kernel.ids import RunId
from mlwright.server.call import Call
from mlwright.server.permissions import Permission
from mlwright.server.protocols.mlflow import limits
from mlwright.server.protocols.mlflow.errors import invalid, missing_value
from mlwright.server.protocols.mlflow.runs import OfRun, whole_id
from mlwright.server.protocols.mlflow.told import RUN_NAME, InputMessage
from mlwright.server.protocols.mlflow.wire import EMPTY, Int64, Message, Tag, message
from mlwright.server.routes import MIB, Route
from mlwright.tracking.logged_models import ModelLink, ModelMetric
from mlwright.tracking.points import Point
from mlwright.tracking.reports import Input, Reports, tags_of

LOGGED_MODELS = "mlflow.log-model.history"
"""The tag in which clients of MLflow 2 look for the models of a run."""
_MODEL_WORDS = {"artifact_path", "flavors", "utc_time_created", "run_id"}
_AT_ONCE = 20
"""So many datasets are looked at before others get their turn."""
_NOTED = {"run_id", "utc_time_created", "artifact_path", "model_uuid"}


class _Value(Message):
    key: str | None = None
    value: float | None = None
    timestamp: Int64 | None = None
    step: Int64 | None = None
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None

    def check(self, path: str) -> None:
        """Refuse what the protocol does not allow.

        Args:
            path: what stands before the names of its fields: `metrics[3].`.
        """
        if not self.key or self.value is None or self.timestamp is None:
            lacking = "key" if not self.key else "value" if self.value is None else "timestamp"
            raise missing_value(path + lacking)
        limits.moment_us(self.timestamp, f"{path}timestamp", earliest_ms=0)
        limits.name(self.key, f"{path}name", "Metric name")


class _LogMetric(_Value):
    run_id: str | None = None
    run_uuid: str | None = None


class _Pair(OfRun):
    key: str | None = None
    value: str | None = None


class _Batch(OfRun):
    metrics: Annotated[list[_Value], Meta(max_length=limits.METRICS_PER_BATCH)] | None = None
    params: Annotated[list[Tag], Meta(max_length=limits.PARAMS_PER_BATCH)] | None = None
    tags: Annotated[list[Tag], Meta(max_length=limits.TAGS_PER_BATCH)] | None = None


class _ModelInput(Message):
    model_id: str | None = None


class _Inputs(OfRun):
    datasets: Annotated[list[InputMessage], Meta(max_length=limits.DATASETS_PER_BATCH)] | None = None
    models: Annotated[list[_ModelInput], Meta(max_length=limits.DATASETS_PER_BATCH)] | None = None


class _Model(OfRun):
    model_json: str | None = None


async def _log_metric(call: Call) -> Any:
    """Report one value of a metric."""
    asked = await message(call, _LogMetric)
    run, reports = whole_id(asked.run_id or asked.run_uuid), call.tracker.reports
    points = _points([asked], lambda _: "")
    measured, logged = _measured([asked], points), call.tracker.logged_models

    def log(tx: Transaction) -> None:
        reports.log(tx, run, points=points)
        if measured:
            logged.log_metrics(tx, run, measured)

    await call.write(log)
    return EMPTY


async def _log_parameter(call: Call) -> Any:
    """Report a parameter, which never changes."""
    asked = await message(call, _Pair)
    run, reports = asked.run, call.tracker.reports
    params = [limits.pair(asked.key, asked.value, "", "Param ")]
    await call.write(lambda tx: reports.log(tx, run, params=params))
    return EMPTY


async def _set_tag(call: Call) -> Any:
    """Give a run a tag."""
    asked = await message(call, _Pair)
    run, reports = asked.run, call.tracker.reports
    tags = [limits.pair(asked.key, asked.value)]
    await call.write(lambda tx: _report_tags(tx, reports, run, tags))
    return EMPTY


async def _delete_tag(call: Call) -> Any:
    """Take a tag from a run."""
    asked = await message(call, _Pair, "key")
    run, key, reports = asked.run, asked.key or "", call.tracker.reports
    await call.write(lambda tx: reports.remove_tag(tx, run, key))
    return EMPTY


async def _log_batch(call: Call) -> Any:
    """Report many metrics, parameters and tags: all of them or none."""
    asked = await message(call, _Batch)
    run, reports = asked.run, call.tracker.reports
    metrics, params, tags = asked.metrics or [], asked.params or [], asked.tags or []
    limits.batch(len(metrics) + len(params) + len(tags))
    points = _points(metrics, "metrics[{}].".format)
    given = limits.pairs(params, "params", "Param ")
    _refuse_doubled([key for key, _ in given])
    tagged = limits.pairs(tags, "tags")
    measured, logged = _measured(metrics, points), call.tracker.logged_models

    def log(tx: Transaction) -> None:
        reports.log(tx, run, points=points, params=given)
        _report_tags(tx, reports, run, tagged)
        if measured:
            logged.log_metrics(tx, run, measured)

    await call.write(log)
    return EMPTY


async def _log_inputs(call: Call) -> Any:
    """Report which datasets a run has read."""
    asked = await message(call, _Inputs)
    run, reports = asked.run, call.tracker.reports
    inputs: list[Input] = []
    for at, each in enumerate(asked.datasets or ()):
        inputs.append(_input(each, f"datasets[{at}]."))
        if at % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)  # others want an answer, too
    links = [ModelLink(each.model_id or "", "in") for each in asked.models or ()]
    logged = call.tracker.logged_models

    def log(tx: Transaction) -> None:
        reports.log_inputs(tx, run, inputs)
        if links:
            logged.link(tx, run, links)

    await call.write(log)
    return EMPTY


async def _log_model(call: Call) -> Any:
    """Note a model in the run's tag, as clients of MLflow 2 do when they log one."""
    asked = await message(call, _Model, "model_json")
    run, reports, model = asked.run, call.tracker.reports, _noted(asked.model_json or "")

    def note(tx: Transaction) -> None:
        before = tags_of(tx, reports.get(tx, run).id).get(LOGGED_MODELS, "")
        reports.log(tx, run, tags=[(LOGGED_MODELS, limits.appended(before, model, LOGGED_MODELS))])

    await call.write(note)
    return EMPTY


def _noted(text: str) -> bytes:
    """What is noted of a model that a client describes, as JSON; what a flavor was configured with is not.

    Raises:
        Refused: it is no description of a model.
    """
    try:
        words = msgspec.json.decode(text, type=dict[str, Any])
        if lacking := sorted(_MODEL_WORDS - set(words)):
            raise invalid(f"Model json is missing mandatory fields: {lacking}")
        flavors = msgspec.convert(words["flavors"], dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise invalid(f"Malformed model info. {text[:100]!r} is not a valid JSON.") from None
    plain = {name: _unconfigured(flavor) for name, flavor in flavors.items()}
    kept = {word: told for word, told in words.items() if word in _NOTED}
    return msgspec.json.encode(kept | {"flavors": plain})


def _unconfigured(flavor: Any) -> Any:
    if not isinstance(flavor, dict):
        return flavor
    return {key: value for key, value in flavor.items() if key != "config"}


def _points(values: Sequence[_Value], path: Callable[[int], str]) -> list[Point]:
    """Values as points of series; what is wrong with one is looked for when something can be.

    Args:
        path: what stands before the names of the fields of each.
    """
    found: list[Point] = []
    names: set[str | None] = set()
    for index, each in enumerate(values):
        key, value, at_ms = each.key, each.value, each.timestamp
        if key not in names or value is None or at_ms is None or not 0 <= at_ms <= limits.LAST_MS:
            each.check(path(index))
            names.add(key)
        found.append(Point(key, value, each.step or 0, at_ms * limits.US_PER_MS))  # type: ignore[arg-type, operator]
    return found


def _measured(values: Sequence[_Value], points: Sequence[Point]) -> list[ModelMetric]:
    """What of it was measured of a logged model."""
    return [
        ModelMetric(
            model_id=each.model_id,
            name=point.name,
            value=point.value,
            step=point.step,
            at_us=point.at_us,
            dataset_name=each.dataset_name or "",
            dataset_hash=each.dataset_digest or "",
        )
        for each, point in zip(values, points, strict=True)
        if each.model_id
    ]


def _report_tags(tx: Transaction, reports: Reports, run: RunId, tags: Sequence[tuple[str, str]]) -> None:
    """Keep tags of a run; one of them says what it is called."""
    reports.log(tx, run, tags=tags)
    if name := dict(tags).get(RUN_NAME):
        reports.update(tx, run, name=name)


def _refuse_doubled(keys: Sequence[str]) -> None:
    if len(set(keys)) < len(keys):
        doubled = sorted({key for key in keys if keys.count(key) > 1})
        raise invalid(
            f"Duplicate parameter keys have been submitted: {doubled}. Please ensure the request contains"
            " only one param value per param key."
        )


def _input(given: InputMessage, path: str) -> Input:
    """A dataset that was read, such as the protocol allows."""
    dataset, here = given.dataset, f"{path}dataset."
    if dataset is None:
        raise missing_value(f"{path}dataset")
    for field in ("name", "digest", "source_type", "source"):
        if not getattr(dataset, field):
            raise missing_value(here + field)
    tags = {}
    for at, tag in enumerate(given.tags or ()):
        if not tag.key:
            raise missing_value(f"{path}tags[{at}].key")
        key = limits.value(tag.key, f"{path}tags[{at}].key", limits.INPUT_TAG_NAME_LENGTH)
        tags[key] = limits.value(tag.value, f"{path}tags[{at}].value", limits.INPUT_TAG_LENGTH)
    return Input(
        name=limits.value(dataset.name, f"{here}name", limits.DATASET_NAME_LENGTH),
        hash=limits.value(dataset.digest, f"{here}digest", limits.DATASET_DIGEST_LENGTH),
        source_type=limits.value(dataset.source_type, f"{here}source_type", limits.DATASET_NAME_LENGTH),
        source=limits.value(dataset.source, f"{here}source", limits.DATASET_SOURCE_LENGTH),
        schema=limits.value(dataset.schema, f"{here}schema", limits.DATASET_SCHEMA_LENGTH),
        profile=limits.value(dataset.profile, f"{here}profile", limits.DATASET_PROFILE_LENGTH),
        tags=tags,
    )


_W = Permission.WRITE
ROUTES = (
    Route("POST", "mlflow/runs/log-metric", _log_metric, _W),
    Route("POST", "mlflow/runs/log-parameter", _log_parameter, _W),
    Route("POST", "mlflow/runs/set-tag", _set_tag, _W),
    Route("POST", "mlflow/runs/delete-tag", _delete_tag, _W),
    Route("POST", "mlflow/runs/log-batch", _log_batch, _W, 8 * MIB),
    Route("POST", "mlflow/runs/log-inputs", _log_inputs, _W, 24 * MIB),
    Route("POST", "mlflow/runs/log-model", _log_model, _W),
)
"""The methods, by their paths below `/api/2.0/`."""
