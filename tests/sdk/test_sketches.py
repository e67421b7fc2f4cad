"""Sketches: close to what all values together say, in bounded memory, however they are cut into batches."""

from __future__ import annotations

import math
import random
import statistics
from bisect import bisect_left
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.sdk.sketches import Distinct, Frequent, Moments, Quantiles

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
BATCHES = st.lists(st.lists(NUMBERS, min_size=1, max_size=40), min_size=1, max_size=12)
TEXTS = st.lists(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=40), max_size=12)
TENTHS = [tenth / 10 for tenth in range(1, 10)]


def quantiles(batches: list[list[float]], size: int) -> Quantiles:
    sketch = Quantiles(size)
    for batch in batches:
        sketch.add(pa.array(batch, pa.float64()))
    return sketch


@given(BATCHES)
def test_mean_and_deviation_are_those_of_all_together(batches: list[list[float]]) -> None:
    """However the numbers come in batches, mean and standard deviation are those of one list."""
    everything = [number for batch in batches for number in batch]

    moments = Moments()
    for batch in batches:
        moments.add(len(batch), statistics.fmean(batch), statistics.pvariance(batch))

    assert moments.count == len(everything)
    assert moments.mean == pytest.approx(statistics.fmean(everything), rel=1e-9, abs=1e-6)
    if len(everything) > 1:
        assert moments.std == pytest.approx(statistics.stdev(everything), rel=1e-6, abs=1e-3)


def test_a_deviation_needs_two_numbers() -> None:
    """One number has a mean and no deviation; an empty batch says nothing."""
    moments = Moments()
    moments.add(0, math.nan, math.nan)
    moments.add(1, 3.0, 0.0)

    assert (moments.count, moments.mean, moments.std) == (1, 3.0, None)


@given(BATCHES)
def test_quantiles_of_few_numbers_are_exact(batches: list[list[float]]) -> None:
    """Below twice the size nothing is left out: each answer is the number of that rank."""
    everything = sorted(number for batch in batches for number in batch)

    found = quantiles(batches, 512).at(TENTHS)

    assert found == [everything[max(1, math.ceil(share * len(everything))) - 1] for share in TENTHS]


@given(st.lists(st.lists(NUMBERS, min_size=1, max_size=300), min_size=1, max_size=12))
def test_quantiles_of_many_numbers_are_near_in_rank(batches: list[list[float]]) -> None:
    """The rank of an answer is wrong by no more than the docstring says."""
    size = 16
    everything = [number for batch in batches for number in batch]
    count = len(everything)
    allowed = max(1.0, math.log2(max(2.0, count / size))) / (2 * size) * count + 1

    found = quantiles(batches, size).at(TENTHS)

    for share, number in zip(TENTHS, found, strict=True):
        below = sum(each < number for each in everything)
        up_to = sum(each <= number for each in everything)
        assert below - allowed <= share * count <= up_to + allowed


@pytest.mark.parametrize("batch", [50, 4000])
def test_quantiles_lean_to_neither_side(batch: int) -> None:
    """What is left out is left out below and above by turns, whether little or much comes at once."""
    draw = random.Random(3)
    everything = [draw.random() for _ in range(100_000)]
    ranked = sorted(everything)

    found = quantiles([everything[at : at + batch] for at in range(0, len(everything), batch)], 64).at(TENTHS)

    off = [
        bisect_left(ranked, number) / len(ranked) - share for share, number in zip(TENTHS, found, strict=True)
    ]
    assert abs(statistics.fmean(off)) < 0.005


def test_no_numbers_have_no_quantiles() -> None:
    """Where nothing was added there is no answer, rather than a wrong one."""
    assert Quantiles().at(TENTHS) == []


@given(TEXTS, st.integers(1, 12))
def test_different_values_are_counted_up_to_the_limit(batches: list[list[str]], limit: int) -> None:
    """Exactly up to the limit, and then it is said that there are more."""
    distinct = Distinct(limit)
    for batch in batches:
        distinct.add(pa.array(batch, pa.string()))
    there = len({text for batch in batches for text in batch})

    assert distinct.exceeded == (there > limit)
    assert distinct.count == min(there, limit)


@given(TEXTS)
def test_frequent_texts_are_exact_while_there_is_room(batches: list[list[str]]) -> None:
    """With room for all, counts are those of a plain count, the most frequent first."""
    frequent = Frequent(20, 1000)
    for batch in batches:
        frequent.add(pa.array(batch, pa.string()))
    counts = Counter(text for batch in batches for text in batch)

    assert dict(frequent.most(20)) == counts
    assert [count for _, count in frequent.most(20)] == sorted(counts.values(), reverse=True)
    assert (frequent.exceeded, frequent.error, frequent.distinct) == (False, 0, len(counts))


@given(TEXTS, st.integers(1, 6), st.integers(1, 6))
def test_frequent_texts_are_too_low_by_no_more_than_they_say(
    batches: list[list[str]], limit: int, limit_bytes: int
) -> None:
    """Without room for all: no count is too high, and none too low by more than `error`."""
    frequent = Frequent(limit, limit_bytes)
    for batch in batches:
        frequent.add(pa.array(batch, pa.string()))
    counts = Counter(text for batch in batches for text in batch)

    found = dict(frequent.most(20))

    assert len(found) <= limit
    for text, count in counts.items():
        assert found.get(text, 0) <= count <= found.get(text, 0) + frequent.error
    if frequent.exceeded:
        assert frequent.distinct < len(counts)


def test_one_text_that_is_larger_than_all_room_is_let_go() -> None:
    """A huge cell is not carried along, and what is smaller still is."""
    frequent = Frequent(100, 1000)

    frequent.add(pa.array(["x" * 5000, "a", "a", "b"]))

    assert frequent.exceeded
    assert ("a", 1) in frequent.most(3)
    assert all(len(text) < 1000 for text, _ in frequent.most(3))
