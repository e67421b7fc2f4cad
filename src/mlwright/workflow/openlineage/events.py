"""Events of a run, made of its records: the same when they are sent and when they are looked up."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from mlwright.kernel.clock import iso
from mlwright.kernel.ids import uuid_of
from mlwright.tracking import RunState
from mlwright.workflow.attempts import AttemptState
from mlwright.workflow.group import element_of
from mlwright.workflow.openlineage import facets
from mlwright.workflow.openlineage.records import Item, RunRecords, Step

Event = dict[str, Any]

_ENDS = {
    RunState.SUCCEEDED: "COMPLETE",
    RunState.FAILED: "FAIL",
    RunState.CANCELLED: "ABORT",
    RunState.LOST: "ABORT",
    AttemptState.SUCCEEDED: "COMPLETE",
    AttemptState.REUSED: "COMPLETE",
    AttemptState.CHECKED: "COMPLETE",
    AttemptState.FAILED: "FAIL",
    AttemptState.CANCELLED: "ABORT",
    AttemptState.LOST: "ABORT",
}


def events_of(records: RunRecords) -> list[Event]:
    """All that can be told of a run so far, in the order in which it happened.

    Returns:
        START of the run, START and COMPLETE, FAIL or ABORT of each attempt at a step, and the run's end.
    """
    return [started(records), *steps(records), *ended(records)]


def started(records: RunRecords) -> Event:
    """That the run began."""
    return _of_run(records, "START", records.run.began_us)


def ended(records: RunRecords) -> list[Event]:
    """How the run ended, if it has."""
    run = records.run
    kind = _ENDS.get(run.state)
    return [] if kind is None else [_of_run(records, kind, run.finished_us or run.created_us)]


def steps(records: RunRecords) -> list[Event]:
    """The events of the steps."""
    told = []
    for step in records.steps:
        attempt = step.attempt
        told.append((attempt.created_us, _of_step(records, step, "START", attempt.created_us)))
        if (kind := _ENDS.get(attempt.state)) is not None:
            at_us = attempt.finished_us or attempt.created_us
            told.append((at_us, _of_step(records, step, kind, at_us)))
    return [event for _, event in sorted(told, key=lambda each: each[0])]


def key_of(event: Event) -> tuple[str, str]:
    """What is told only once: of which run, that it began or how it ended."""
    return event["run"]["runId"], event["eventType"]


def _of_run(records: RunRecords, kind: str, at_us: int) -> Event:
    run = records.run
    about = {
        "processing_engine": facets.engine(),
        "executionParameters": facets.parameters(records.parameters, _text),
        "mlwright_run": facets.run(run, over=kind != "START"),
        "mlwright_environment": facets.environment(records.locks, run.machine),
    }
    if kind in {"FAIL", "ABORT"} and run.error is not None:
        about["errorMessage"] = facets.error(run.error)
    outputs = records.outputs if kind == "COMPLETE" else ()
    return _event(
        kind,
        at_us,
        {"runId": str(uuid_of(run.id)), "facets": about},
        _job(records, run.pipeline, run.kind),
        [_input(records, item) for item in records.inputs],
        [_output(records, item) for item in outputs],
    )


def _of_step(records: RunRecords, step: Step, kind: str, at_us: int) -> Event:
    attempt, run = step.attempt, records.run
    about = {
        "parent": facets.parent(
            {"runId": str(uuid_of(run.id))}, {"namespace": records.namespace, "name": run.pipeline}
        ),
        "processing_engine": facets.engine(),
        "mlwright_step": facets.step(attempt, step.reuses, over=kind != "START"),
    }
    if tags := attempt.detail.get("tags"):
        about["tags"] = facets.tags(tags)
    if kind in {"FAIL", "ABORT"} and (told := attempt.detail.get("error")):
        about["errorMessage"] = facets.error(told)
    outputs = step.outputs if kind != "START" else ()
    return _event(
        kind,
        at_us,
        {"runId": str(uuid_of(attempt.id)), "facets": about},
        _job(records, f"{run.pipeline}.{element_of(attempt.node)[0]}", "step"),
        [_input(records, item) for item in step.inputs],
        [_output(records, item) for item in outputs],
    )


def _event(
    kind: str,
    at_us: int,
    run: dict[str, Any],
    job: dict[str, Any],
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
) -> Event:
    return {
        "eventType": kind,
        "eventTime": iso(at_us),
        "producer": facets.PRODUCER,
        "schemaURL": facets.EVENT,
        "run": run,
        "job": job,
        "inputs": inputs,
        "outputs": outputs,
    }


def _job(records: RunRecords, name: str, kind: str) -> dict[str, Any]:
    about = {"jobType": facets.job_type(kind)}
    if records.snapshot is not None:
        about["mlwright_code"] = facets.code(records.snapshot)
        if (location := facets.location(records.snapshot)) is not None:
            about["sourceCodeLocation"] = location
    return {"namespace": records.namespace, "name": name, "facets": about}


def _input(records: RunRecords, item: Item) -> dict[str, Any]:
    about = {
        "inputStatistics": facets.specified("InputStatisticsInputDatasetFacet", "1-0-0", **_statistics(item))
    }
    if item.rows is not None:
        columns = () if item.table is None else item.table.columns
        about["dataQualityMetrics"] = facets.specified(
            "DataQualityMetricsInputDatasetFacet",
            "1-0-3",
            rowCount=item.rows,
            bytes=item.size_bytes,
            fileCount=item.files,
            columnMetrics=facets.column_metrics(columns, item.rows),
        )
    return {**_dataset(records, item), "inputFacets": about}


def _output(records: RunRecords, item: Item) -> dict[str, Any]:
    about = {
        "outputStatistics": facets.specified(
            "OutputStatisticsOutputDatasetFacet", "1-0-2", **_statistics(item)
        )
    }
    return {**_dataset(records, item), "outputFacets": about}


def _statistics(item: Item) -> dict[str, Any]:
    return {"rowCount": item.rows, "size": item.size_bytes, "fileCount": item.files}


def _dataset(records: RunRecords, item: Item) -> dict[str, Any]:
    """By the naming rules a namespace is `scheme://authority` of where it lies: here the workspace."""
    namespace = f"mlwright://{records.workspace}"
    kind = {"dataset": "FILE", "model": "MODEL"}.get(item.kind, "JOB_OUTPUT")
    about = {
        "version": facets.specified("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=item.version),
        "dataSource": facets.specified("DatasourceDatasetFacet", "1-0-1", name="mlwright", uri=namespace),
        "datasetType": facets.specified(
            "DatasetTypeDatasetFacet", "1-0-1", datasetType=kind, subType=item.type or None
        ),
    }
    if item.columns:
        fields = [{"name": name, "type": type_} if type_ else {"name": name} for name, type_ in item.columns]
        about["schema"] = facets.specified("SchemaDatasetFacet", "1-2-0", fields=fields)
    if item.source:
        source = urlsplit(item.source)
        twin = {
            "namespace": f"{source.scheme}://{source.netloc}",
            "name": source.path.lstrip("/"),
            "type": "LOCATION",
        }
        about["symlinks"] = facets.specified("SymlinksDatasetFacet", "1-0-1", identifiers=[twin])
    return {"namespace": namespace, "name": item.name, "facets": about}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
