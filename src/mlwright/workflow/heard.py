"""What an attempt has reported, as far as it counts when the attempt has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlwright.tracking import Entry, LoggedArtifact, Metric, Param


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
                    known = self._metrics.get(entry.name)
                    if known is None or (entry.step, entry.at_us) >= (known.step, known.at_us):
                        self._metrics[entry.name] = entry
                case Param():
                    self._params[entry.name] = entry
                case LoggedArtifact():
                    self.logged[entry.name] = entry

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
