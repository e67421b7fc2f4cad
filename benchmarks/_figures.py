"""Figures: what is measured in turns, the median of each value, and the line that says it."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan

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


Group = Callable[[], Iterator[Figure]]
"""Measures figures that belong together; the command line names it as its function is named."""


def say_figures(*groups: Group) -> None:
    """Measure the groups that are named on the command line, by default all, and print their figures."""
    known = {each.__name__: each for each in groups}
    wanted = sys.argv[1:] or list(known)
    if unknown := set(wanted) - set(known):
        sys.exit(f"error: there is no figure {', '.join(sorted(unknown))}\nhint: one of {', '.join(known)}")
    print(f"medians of {ROUNDS}; {os.cpu_count()} processors, load {_load()}")
    print(f"{'figure':54}{'ours':>10}{'baseline':>10}{'ratio':>9}  {'reach':13}baseline is")
    for name in wanted:
        for figure in known[name]():
            figure.say()
    print(f"load at the end: {_load()}")


def medians(*measures: Measure) -> dict[str, float]:
    """The median of each value.

    Each round takes every measure once, one after the other, so that what else the machine does falls on
    all of them. Round 0 warms up and does not count. What is void in one round (nan) is void.
    """
    rounds = [
        {name: value for measure in measures for name, value in measure(each).items()}
        for each in range(ROUNDS + 1)
    ]
    return {name: _median([each[name] for each in rounds[1:]]) for name in rounds[0]}


def _median(values: Sequence[float]) -> float:
    return nan if any(map(isnan, values)) else statistics.median(values)


def _load() -> str:
    return ", ".join(f"{each:.1f}" for each in os.getloadavg())
