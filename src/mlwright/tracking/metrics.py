"""Metrics and parameters that steps report, as they are kept: the last value of each."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.ids import RunId
from mlwright.tracking.journal import Entry, Metric, Param

__all__ = ["Metric", "metrics_of", "record_metrics", "record_params"]

_SQL = Queries.beside(__file__)


def record_metrics(tx: Transaction, run: RunId, entries: Iterable[Entry]) -> None:
    """Keep each metric's value with the highest step, and the latest among those; other entries are not."""
    tx.execute_many(
        _SQL["set_metric"],
        [
            {
                "run_id": run,
                "name": metric.name,
                "value": None if math.isnan(metric.value) else metric.value,
                "step": metric.step,
                "at_us": metric.at_us,
            }
            for metric in entries
            if isinstance(metric, Metric)
        ],
    )


def record_params(tx: Transaction, run: RunId, node: str, entries: Iterable[Entry]) -> None:
    """Keep what a step set; other entries are not. The same entries again change nothing.

    Where the run has a parameter of that name with another value, the step's own is kept as `NODE.NAME`, and
    so is whatever it sets under that name from then on.
    """
    for param in entries:
        if not isinstance(param, Param):
            continue
        own = f"{node}.{param.name}"
        known = {
            row["name"]: row["value"]
            for row in tx.read(_SQL["params_named"], run_id=run, name=param.name, own=own)
        }
        name = own if own in known or not _same(known.get(param.name), param.value) else param.name
        tx.execute(_SQL["set_param"], run_id=run, name=name, value=json.dumps(param.value))


def metrics_of(database: Database, run: RunId) -> list[Metric]:
    """The last value of each metric of a run, by name."""
    return [
        Metric(row["name"], math.nan if row["value"] is None else row["value"], row["step"], row["at_us"])
        for row in database.read(_SQL["metrics_of"], run_id=run)
    ]


def _same(known: str | None, value: Any) -> bool:
    """Whether a recorded value is this one, or there is none; 1, 1.0 and true are three values."""
    if known is None:
        return True
    return json.dumps(json.loads(known), sort_keys=True) == json.dumps(value, sort_keys=True)
