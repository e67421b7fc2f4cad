"""Figures: what is measured in turns, the median of each value, and the line that says it."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS = 5

Measure = Callable[[int], Mapping[str, float]]
"""Measures once; it is given the number of the round, and answers with values by name."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: ours beside its baseline, in the unit that `what` names.

    Args:
        against: what the baseline is.
        reach: what is wanted, of ours or of the ratio; empty where nothing is.
    """

    what: str
    ours: float
    baseline: float
    against: str
    reach: str = ""

    def say(self) -> None:
        """Print it."""
        values = f"{self.ours:10.2f}{self.baseline:10.2f}{self.ours / self.baseline:9.2f}"
        print(f"{self.what:54}{values}  {self.reach:13}{self.against}", flush=True)


def say_heading() -> None:
    """Print what stands above the lines."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"medians of {ROUNDS}; {os.cpu_count()} processors, load {load}")
    print(f"{'figure':54}{'ours':>10}{'baseline':>10}{'ratio':>9}  {'reach':13}baseline is")


def medians(*measures: Measure) -> dict[str, float]:
    """The median of each value.

    Each round takes every measure once, one after the other, so that what else the machine does falls on
    all of them. Round 0 warms up and does not count.
    """
    rounds = [
        {name: value for measure in measures for name, value in measure(each).items()}
        for each in range(ROUNDS + 1)
    ]
    return {name: statistics.median(each[name] for each in rounds[1:]) for name in rounds[0]}
