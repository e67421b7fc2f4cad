"""A metric drawn in letters: every number is somewhere in the picture, and nothing breaks it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.tracking import Point
from mlwright.tracking.curve import curve

points = st.builds(
    Point,
    name=st.just("loss"),
    value=st.floats(),
    step=st.integers(-(2**63), 2**63 - 1),
    at_us=st.integers(-(2**63), 2**63 - 1),
)


def test_a_line_is_a_line() -> None:
    """It rises from the lower left to the upper right, between its extremes and its steps."""
    rising = [Point("loss", step / 4, step, step) for step in range(5)]

    drawn = curve(rising, width=28, height=5)

    assert [line.index("•") for line in drawn[:5]] == [27, 23, 20, 16, 12]
    assert (drawn[0].split(), drawn[4].split()) == (["1", "•"], ["0", "•"])
    assert drawn[5].split() == ["step", "0", "step", "4"]


@given(st.lists(points, max_size=30), st.integers(1, 200), st.integers(2, 30))
def test_any_points_can_be_drawn(found: list[Point], width: int, height: int) -> None:
    """Infinities, NaN and the ends of all numbers too; a line is never wider than it may be."""
    drawn = curve(found, width=width, height=height)

    finite = [point for point in found if math.isfinite(point.value)]
    assert bool(drawn) == bool(finite)
    if finite:
        assert len(drawn) in {height, height + 1}
        assert all(len(line) <= max(22, width) for line in drawn[:height])
        assert 1 <= sum(line.count("•") for line in drawn) <= len(finite)


@pytest.mark.parametrize(("encoding", "dot"), [("utf-8", "•"), ("ascii", "*"), ("no-such-one", "*")])
def test_what_cannot_be_shown_is_drawn_with_asterisks(encoding: str, dot: str) -> None:
    """Whatever the terminal can show."""
    drawn = curve([Point("loss", 0.5, 0, 0)], encoding=encoding)

    assert "".join(drawn).count(dot) == 1


def test_points_of_one_step_lie_over_time() -> None:
    """Where a client counts no steps, moments take their place."""
    drawn = curve([Point("loss", value, 0, value) for value in (0, 10)], width=31, height=2)

    assert len(drawn) == 2
    assert drawn[0].index("•") > drawn[1].index("•")
