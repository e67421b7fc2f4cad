"""What an attempt has reported, as far as it counts when the attempt has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlwright.tracking import Entry, LoggedArtifact, Metric, Param, Series
from mlwright.tracking.points import key_of


class Heard:
    """The last word on each metric, parameter and logged artifact."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}
        self._params: dict[str, Param] = {}
        self.logged: dict[str, LoggedArtifact] = {}

    def learn(self, entries: Iterable[Entry]) -> None:
        """These were reported next."""
        for entry in entries:
            match entry:
                case Metric():
                    self._hear(entry)
                case Series():
                    self._hear(_last(entry))
                case Param():
                    self._params[entry.name] = entry
                case LoggedArtifact():
                    self.logged[entry.name] = entry

    def _hear(self, metric: Metric) -> None:
        known = self._metrics.get(metric.name)
        if known is None or _rank(metric) > _rank(known):
            self._metrics[metric.name] = metric

    def detail(self) -> dict[str, Any]:
        """What is kept with the attempt, so that a run which reuses it can say the same."""
        kept: dict[str, Any] = {}
        if self._metrics:
            kept["metrics"] = [
                [each.name, each.value, each.step, each.at_us] for each in self._metrics.values()
            ]
        if self._params:
            kept["params"] = [[each.name, each.value, each.at_us] for each in self._params.values()]
        return kept


def reported(detail: Mapping[str, Any]) -> list[Entry]:
    """What an attempt reported, from its record."""
    return [
        *(Metric(*each) for each in detail.get("metrics", ())),
        *(Param(*each) for each in detail.get("params", ())),
    ]


def _last(series: Series) -> Metric:
    points = series.points
    if points.in_order:
        return Metric(series.name, points.values[-1], points.steps[-1], points.at_us[-1])
    newest = max(zip(points.steps, points.at_us, strict=True))
    found = (Metric(series.name, value, *newest) for *at, value in points if (*at,) == newest)
    return max(found, key=_rank)


def _rank(metric: Metric) -> tuple[int, int, int]:
    return key_of(metric.step, metric.at_us, metric.value).in_training
