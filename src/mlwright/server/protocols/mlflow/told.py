"""Runs and experiments in MLflow's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta

from mlwright.kernel.database import Source
from mlwright.server.protocols.mlflow import limits
from mlwright.server.protocols.mlflow.wire import Int64, Message, Tag, number
from mlwright.tracking.experiments import Experiment
from mlwright.tracking.logged_models import ModelLink, links_of
from mlwright.tracking.points import Point
from mlwright.tracking.reports import Input, RunData, data_of, portions
from mlwright.tracking.run import Run, RunState

RUN_NAME, USER = "mlflow.runName", "mlflow.user"
"""Tags that say what a run is called, and whose it is."""
CLIENTS_USER = "mlwright.user_id"
"""A tag for whom a client names beside its tags, where these say otherwise; it is told as the user alone."""
STATES = {
    "RUNNING": RunState.RUNNING,
    "SCHEDULED": RunState.SCHEDULED,
    "FINISHED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "KILLED": RunState.CANCELLED,
}
"""What each status of MLflow's is here, in the order of its numbers, which begin at 1."""
_STATUSES = {state: status for status, state in STATES.items()} | {RunState.LOST: "FAILED"}


class ExperimentMessage(Message):
    """An experiment as it is told."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    last_update_time: int
    creation_time: int
    workspace: str
    tags: list[Tag] | None = None


class MetricMessage(Message):
    """A value of a metric, either way."""

    key: str | None = None
    value: float | str | None = None
    timestamp: Int64 | None = None
    step: Int64 | None = None
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None
    run_id: str | None = None


class DatasetMessage(Message):
    """A dataset that a run has read."""

    name: str | None = None
    digest: str | None = None
    source_type: str | None = None
    source: str | None = None
    schema: str | None = None
    profile: str | None = None


class InputMessage(Message):
    """A dataset, and what is said of this use of it."""

    tags: Annotated[list[Tag], Meta(max_length=limits.INPUT_TAGS)] | None = None
    dataset: DatasetMessage | None = None


class InfoMessage(Message):
    """What a run is."""

    run_uuid: str
    experiment_id: str
    run_name: str
    user_id: str
    status: str
    start_time: int
    artifact_uri: str
    lifecycle_stage: str
    run_id: str
    end_time: int | None = None


def experiment(found: Experiment) -> ExperimentMessage:
    """An experiment in MLflow's words."""
    return ExperimentMessage(
        experiment_id=str(found.id),
        name=found.name,
        artifact_location=f"mlflow-artifacts:/{found.id}",
        lifecycle_stage=_stage(found.deleted_us),
        last_update_time=found.updated_us // 1000,
        creation_time=found.created_us // 1000,
        workspace="default",  # MLflow's word for a part of a server; there is one
        tags=_pairs(found.tags) or None,
    )


def artifact_uri(found: Run) -> str:
    """Where a client finds the files of a run."""
    return f"mlflow-artifacts:/{found.experiment_id}/{found.id}/artifacts"


def info(found: Run, tags: Mapping[str, str]) -> InfoMessage:
    """What a run is, in MLflow's words."""
    return InfoMessage(
        run_uuid=found.id,
        experiment_id=str(found.experiment_id),
        run_name=found.title,
        user_id=tags.get(CLIENTS_USER) or tags.get(USER, ""),
        status=_STATUSES[found.state],
        start_time=found.created_us // 1000,
        end_time=None if found.finished_us is None else found.finished_us // 1000,
        artifact_uri=artifact_uri(found),
        lifecycle_stage=_stage(found.deleted_us),
        run_id=found.id,
    )


def run(found: Run, data: RunData, links: Sequence[ModelLink] = ()) -> dict[str, Any]:
    """A run with what was reported of it, in MLflow's words; what there is none of is left out.

    Args:
        links: to the logged models that it has read or made.
    """
    reported: dict[str, Any] = {}
    if data.metrics:
        reported["metrics"] = [
            MetricMessage(
                key=each.name, value=number(each.value), timestamp=each.at_us // 1000, step=each.step
            )
            for each in data.metrics
        ]
    if data.params:
        reported["params"] = _pairs(data.params)
    if tags := {key: value for key, value in data.tags.items() if key != CLIENTS_USER}:
        reported["tags"] = _pairs(tags)
    inputs: dict[str, Any] = {}
    if data.inputs:
        inputs["dataset_inputs"] = [_input(each) for each in data.inputs]
    if read := [{"model_id": each.model_id} for each in links if each.way == "in"]:
        inputs["model_inputs"] = read
    answer = {"info": info(found, data.tags), "data": reported, "inputs": inputs}
    if made := [_made(each) for each in links if each.way == "out"]:
        answer["outputs"] = {"model_outputs": made}
    return answer


def runs(source: Source, found: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """Many runs with what was reported of them, of which no more is in memory than some MiB, or one run's."""
    known = {each.id: each for each in found}
    for block in portions(source, list(known)):
        data, links = data_of(source, block), links_of(source, block)
        for each in block:
            yield {"outputs": {}} | run(known[each], data[each], links[each])


def _made(link: ModelLink) -> dict[str, Any]:
    return {"model_id": link.model_id} | ({"step": link.step} if link.step else {})


def points(found: Iterable[Point], run: str | None = None) -> list[MetricMessage]:
    """Points of a series.

    Args:
        run: of which run they are, where that is told with each.
    """
    return [
        MetricMessage(key=name, value=number(value), timestamp=at_us // 1000, step=step, run_id=run)
        for name, value, step, at_us in found
    ]


def _stage(deleted_us: int | None) -> str:
    return "active" if deleted_us is None else "deleted"


def _pairs(pairs: Mapping[str, str]) -> list[Tag]:
    return [Tag(key=key, value=value) for key, value in pairs.items()]


def _input(each: Input) -> InputMessage:
    dataset = DatasetMessage(
        name=each.name,
        digest=each.hash,
        source_type=each.source_type,
        source=each.source,
        schema=each.schema or None,
        profile=each.profile or None,
    )
    return InputMessage(tags=_pairs(each.tags) or None, dataset=dataset)
