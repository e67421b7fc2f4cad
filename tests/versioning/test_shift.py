"""Shift: what the population stability index says of two distributions."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlwright.kernel.errors import Invalid
from mlwright.versioning.shift import population_stability, shift_by_chance

COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=12)
TWO = st.integers(1, 12).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 1000), min_size=size, max_size=size)] * 2)
)


def direct(reference: list[int], current: list[int]) -> float:
    """The index as it stands in the book, in NumPy."""
    before, now = (np.maximum(np.array(each) / np.sum(each), 1e-4) for each in (reference, current))
    return float(np.sum((now - before) * np.log(now / before)))


@given(COUNTS, st.integers(1, 9))
def test_the_same_shares_have_not_moved(counts: list[int], times: int) -> None:
    """Zero for the same sample, and for one that is so many times as large."""
    assume(sum(counts))

    assert population_stability(counts, counts) == 0.0
    assert population_stability(counts, [times * each for each in counts]) == pytest.approx(0.0, abs=1e-12)


@given(TWO)
def test_it_is_that_of_the_book_the_same_both_ways_and_never_negative(
    both: tuple[list[int], list[int]],
) -> None:
    """As computed in NumPy; a move has the same size as the move back."""
    reference, current = both
    assume(sum(reference) and sum(current))

    found = population_stability(reference, current)

    assert found == pytest.approx(direct(reference, current), abs=1e-12)
    assert found == pytest.approx(population_stability(current, reference), abs=1e-12)
    assert found >= 0.0


@given(st.integers(0, 2**32), st.floats(0.2, 1.0))
def test_it_grows_with_the_shift(seed: int, step: float) -> None:
    """The further a normal distribution is moved, the larger the index in the bins of the first."""
    draw = np.random.default_rng(seed)
    reference = draw.normal(size=4000)
    inner = np.quantile(reference, [tenth / 10 for tenth in range(1, 10)])
    edges = [-math.inf, *inner, math.inf]

    moved = [
        population_stability(
            np.histogram(reference, edges)[0].tolist(),
            np.histogram(reference + times * step, edges)[0].tolist(),
        )
        for times in range(4)
    ]

    assert moved[0] == 0.0
    assert all(low < high for low, high in pairwise(moved))


def test_an_empty_bin_is_large_and_not_infinite() -> None:
    """What was there and is gone counts as one in ten thousand."""
    found = population_stability([50, 50], [100, 0])

    assert found == pytest.approx(0.5 * math.log(2) + (0.5 - 1e-4) * math.log(0.5 / 1e-4))


@pytest.mark.parametrize(
    ("reference", "current"), [([1], [1, 2]), ([0, 0], [1, 2]), ([1, 2], [0, 0]), ([], [])]
)
def test_what_cannot_be_compared_is_refused(reference: list[int], current: list[int]) -> None:
    """Other bins, or no values on a side."""
    with pytest.raises(Invalid):
        population_stability(reference, current)


def test_chance_alone_gives_what_is_said() -> None:
    """Samples of one distribution have, in the mean, the index that `shift_by_chance` tells."""
    draw = random.Random(7)

    def sample(count: int) -> list[int]:
        found = [0] * 10
        for _ in range(count):
            found[draw.randrange(10)] += 1
        return found

    mean = sum(population_stability(sample(500), sample(800)) for _ in range(200)) / 200

    assert mean == pytest.approx(shift_by_chance(500, 800, 10), rel=0.15)
