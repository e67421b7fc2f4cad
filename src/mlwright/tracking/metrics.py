"""Metrics: numbers a run reports, first to the attempt's journal, then to the database."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.ids import RunId

_SQL = Queries.beside(__file__)


@dataclass(frozen=True, slots=True)
class Metric:
    """The last value of a metric. `value` may be NaN."""

    name: str
    value: float
    step: int
    at_us: int


def read_journal(path: Path) -> list[Metric]:
    """What an attempt reported. A last line cut off by a crash is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            break
        found.append(Metric(entry["metric"], entry["value"], entry["step"], entry["at_us"]))
    return found


def record_metrics(tx: Transaction, run: RunId, metrics: Iterable[Metric]) -> None:
    """Keep each metric's value with the highest step, and the latest among those."""
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
            for metric in metrics
        ],
    )


def metrics_of(database: Database, run: RunId) -> list[Metric]:
    """The last value of each metric of a run, by name."""
    return [
        Metric(row["name"], math.nan if row["value"] is None else row["value"], row["step"], row["at_us"])
        for row in database.read(_SQL["metrics_of"], run_id=run)
    ]
