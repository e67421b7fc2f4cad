"""What asking a model takes, and whether to wait for more."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlwright.serving.cost import Cost
from mlwright.serving.gathering import Gathering
from mlwright.serving.spec import Limits


@settings(max_examples=50, deadline=None)
@given(batch_s=st.floats(1e-5, 0.1), row_s=st.floats(1e-6, 0.1), seed=st.integers(0, 9))
def test_both_parts_are_learned_from_batches_of_many_sizes(batch_s: float, row_s: float, seed: int) -> None:
    """After 2,000 batches the time of any is known to a fifth, from whatever was thought at first."""
    chance, cost = Random(seed), Cost()

    for _ in range(2000):
        rows = chance.choice([1, 2, 4, 8, 16, 64])
        cost.learn(rows, (batch_s + rows * row_s) * chance.uniform(0.9, 1.1))

    for rows in (1, 8, 64):
        assert cost.expected_s(rows) == pytest.approx(batch_s + rows * row_s, rel=0.2)


def test_a_model_that_becomes_slower_is_noticed() -> None:
    """A hundred batches of one size are enough to know the new time, though not of which part it is."""
    cost = Cost()
    cost.measured(0.001, 16, 0.002)

    for _ in range(100):
        cost.learn(4, 0.01)

    assert cost.expected_s(4) == pytest.approx(0.01, rel=0.05)


def test_rows_are_asked_together_as_far_as_it_pays() -> None:
    """One at a time where nothing is gained, and up to the limit where rows cost next to nothing."""
    alike, forest = Cost(), Cost()
    alike.measured(0.01, 16, 0.16)
    forest.measured(0.0064, 16, 0.0065)

    assert alike.paying_rows(1024) == 1
    assert forest.paying_rows(1024) == 1024


def test_an_outlier_moves_little() -> None:
    """One batch that took a thousand times as long, for whatever reason, is not believed."""
    cost = Cost()
    cost.measured(0.001, 16, 0.002)
    for _ in range(50):
        cost.learn(1, 0.001)

    cost.learn(1, 1.0)

    assert cost.expected_s(1) < 0.0014


def test_it_is_waited_only_where_those_answered_come_back() -> None:
    """Where nobody does it is waited no more, but for one try in sixteen; and again when they do."""
    cost, gathering = Cost(), Gathering(Limits())
    cost.measured(0.01, 16, 0.0101)

    def wait(returning: int) -> bool:
        waited = gathering.begin_s(cost, answered=8, others=0, rows=0) > 0
        if waited:
            gathering.come(returning, returning)
            gathering.end()
        return waited

    strangers = [wait(0) for _ in range(64)]
    regulars = [wait(8) for _ in range(64)]

    assert sum(strangers) <= 10
    assert sum(regulars) >= 40


@pytest.mark.parametrize(
    ("answered", "others", "one_s", "many_s", "wait_ms"),
    [(1, 0, 0.01, 0.0101, 5), (8, 0, 0.01, 0.16, 5), (8, 0, 0.002, 0.0021, 5), (8, 0, 0.01, 0.0101, 0)],
    ids=["a lone client", "nothing gained", "a moment is too long", "turned off"],
)
def test_it_is_not_waited_where_that_cannot_pay(
    answered: int, others: int, one_s: float, many_s: float, wait_ms: float
) -> None:
    """Neither for a lone client nor for a model that gains nothing, nor where the setting says so."""
    cost = Cost()
    cost.measured(one_s, 16, many_s)

    wait_s = Gathering(Limits(batch_wait_ms=wait_ms)).begin_s(cost, answered=answered, others=others, rows=0)

    assert wait_s == 0
