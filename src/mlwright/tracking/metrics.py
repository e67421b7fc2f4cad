"""Metrics and parameters that steps report, as they are kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.ids import RunId
from mlwright.tracking import series
from mlwright.tracking.journal import Entry, Metric, Param, Series
from mlwright.tracking.points import Points

__all__ = ["Metric", "metrics_of", "record_metrics", "record_params", "text_of"]

_SQL = Queries.beside(__file__)
_AT_ONCE = 100_000
"""So many points of a long series are recorded together: what is worked with at one time stays small."""


def record_metrics(tx: Transaction, run: RunId, entries: Iterable[Entry]) -> None:
    """Keep every value of each metric, the same one once; other entries are not."""
    found: dict[str, Points] = {}
    for entry in entries:
        match entry:
            case Series():
                points = entry.points
            case Metric():
                points = Points([entry.step], [entry.at_us], [entry.value])
            case _:
                continue
        found[entry.name] = found[entry.name] + points if entry.name in found else points
    short = {name: points for name, points in found.items() if len(points) <= _AT_ONCE}
    if short:
        series.append(tx, run, short)
    for name in found.keys() - short.keys():
        for begin in range(0, len(found[name]), _AT_ONCE):
            series.append(tx, run, {name: found[name].cut(begin, begin + _AT_ONCE)})


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
        tx.execute(
            _SQL["set_param"],
            run_id=run,
            name=name,
            value=json.dumps(param.value),
            text=text_of(param.value),
        )


def metrics_of(database: Database, run: RunId) -> list[Metric]:
    """The last value of each metric of a run, by name."""
    return [
        Metric(row["name"], series.last_of(row), row["step"], row["at_us"])
        for row in database.read(_SQL["metrics_of"], run_id=run)
    ]


def text_of(value: Any) -> str:
    """A parameter's value as text, which filters compare: of a text itself, of all else JSON.

    The character NUL, which PostgreSQL holds in no text, becomes U+FFFD.
    """
    return value.replace("\0", "\ufffd") if isinstance(value, str) else json.dumps(value)


def _same(known: str | None, value: Any) -> bool:
    """Whether a recorded value is this one, or there is none; 1, 1.0 and true are three values."""
    if known is None:
        return True
    return json.dumps(json.loads(known), sort_keys=True) == json.dumps(value, sort_keys=True)
