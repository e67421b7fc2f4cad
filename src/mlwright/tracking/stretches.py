"""The shape of a series: the lowest and the highest value of each of its stretches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mlwright.tracking.points import Key, Points, key_of

Extreme = tuple[float, int, int]
"""A value with its step and its moment."""


class Stretches:
    """Equal parts of a series, and the extremes in each."""

    def __init__(self, total: int, count: int) -> None:
        self.count = count
        self._total = total
        self._seen = 0
        self._lowest: dict[int, Extreme] = {}
        self._highest: dict[int, Extreme] = {}

    def add_known(self, chunk: dict[str, Any]) -> None:
        """A chunk whose extremes are known, as a whole in the part where its middle is."""
        place = (self._seen + chunk["points"] // 2) * self.count // self._total
        self._seen += chunk["points"]
        if chunk["lowest"] is not None:
            self._note(
                place,
                (chunk["lowest"], chunk["lowest_step"], chunk["lowest_us"]),
                (chunk["highest"], chunk["highest_step"], chunk["highest_us"]),
            )

    def add(self, points: Points) -> None:
        """Points one after the other, each in its part."""
        begin = 0
        while begin < len(points):
            place = (self._seen + begin) * self.count // self._total
            end = min(len(points), -(-(place + 1) * self._total // self.count) - self._seen)
            if (found := extremes(points, begin, end)) is not None:
                self._note(place, *found)
            begin = end
        self._seen += len(points)

    def _note(self, place: int, lowest: Extreme, highest: Extreme) -> None:
        if place not in self._lowest or lowest[0] < self._lowest[place][0]:
            self._lowest[place] = lowest
        if place not in self._highest or highest[0] > self._highest[place][0]:
            self._highest[place] = highest

    def found(self) -> Iterator[Key]:
        """The extremes of all parts."""
        for value, step, at_us in (*self._lowest.values(), *self._highest.values()):
            yield key_of(step, at_us, value)


def extremes(points: Points, begin: int, end: int) -> tuple[Extreme, Extreme] | None:
    """The lowest and the highest value of a part, with step and moment of each; None when all are NaN."""
    values = numbers = points.values[begin:end].tolist()
    # An infinity less itself is none either: then too, look at each.
    if math.isnan(sum(values)):
        numbers = [value for value in values if not math.isnan(value)]
        if not numbers:
            return None
    places = begin + values.index(min(numbers)), begin + values.index(max(numbers))
    lowest, highest = ((points.values[at], points.steps[at], points.at_us[at]) for at in places)
    return lowest, highest
