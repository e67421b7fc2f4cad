"""A metric drawn in letters, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlwright.tracking.journal import Metric
from mlwright.tracking.points import Point

_DOT, _PLAIN_DOT = "•", "*"
_LABEL = 11
_NARROWEST = 10


def curve(
    points: Sequence[Point | Metric], *, width: int = 80, height: int = 12, encoding: str = "utf-8"
) -> list[str]:
    """Lines that show how a metric went over its steps, or over time where all have one step.

    Args:
        points: of one metric; what is no finite number is left out.
        width: of a line, in letters; narrower than 22 is not drawn.
        height: of the picture, in lines.
        encoding: of what shows it; without a dot in it, an asterisk is drawn.

    Returns:
        The picture with what is at its edges; nothing when there is no number to draw.
    """
    shown = [point for point in points if math.isfinite(point.value)]
    if not shown:
        return []
    width = max(_NARROWEST, width - _LABEL - 1)
    by_step = len({point.step for point in shown}) > 1
    places = [point.step if by_step else point.at_us for point in shown]
    low, high = min(point.value for point in shown), max(point.value for point in shown)
    dot = _dot(encoding)
    grid = [[" "] * width for _ in range(height)]
    for place, point in zip(places, shown, strict=True):
        across = _share(place, min(places), max(places)) * (width - 1)
        down = (1 - _share(point.value, low, high)) * (height - 1)
        grid[round(down)][round(across)] = dot
    labels = {height - 1: f"{low:.4g}", 0: f"{high:.4g}"}
    lines = [f"{labels.get(row, ''):>{_LABEL}} {''.join(cells)}".rstrip() for row, cells in enumerate(grid)]
    begin, end = (f"step {place}" if by_step else "" for place in (min(places), max(places)))
    room = max(len(end) + 1, width - len(begin))
    return [*lines, f"{'':{_LABEL}} {begin}{end:>{room}}".rstrip()] if by_step else lines


def _share(value: float, low: float, high: float) -> float:
    """Where between two ends a value lies, from 0 to 1; in the middle when they are one."""
    # Halves: the distance of two doubles may be more than a double.
    span = high / 2 - low / 2
    return (value / 2 - low / 2) / span if span else 0.5


def _dot(encoding: str) -> str:
    try:
        _DOT.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return _PLAIN_DOT
    return _DOT
