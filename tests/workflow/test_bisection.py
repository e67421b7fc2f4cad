"""Which package changed a result."""

from __future__ import annotations

import string
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from mlwright.workflow.bisection import Outcome, bisect, in_order

NAMES = string.ascii_lowercase


def judge(culprit: int, useless: frozenset[int] = frozenset()) -> Callable[[int], tuple[Outcome, str]]:
    """The result changes with the package at an index; with some counts nothing can be said."""

    def outcome(count: int) -> tuple[Outcome, str]:
        if count in useless:
            return "cannot be had", "they do not go together"
        return ("different" if count > culprit else "same"), ""

    return outcome


@given(st.integers(1, 26).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_the_package_is_found_in_few_tries(case: tuple[int, int]) -> None:
    """As many tries as the number of packages has binary digits."""
    size, culprit = case

    found = bisect(NAMES[:size], judge(culprit))

    assert found.suspects == (NAMES[culprit],)
    assert len(found.tried) <= (size - 1).bit_length()


@given(st.integers(2, 26), st.data())
def test_what_cannot_be_had_is_stepped_around(size: int, data: st.DataObject) -> None:
    """The suspects hold the package, and are as few as what can be tried tells apart."""
    culprit = data.draw(st.integers(0, size - 1))
    useless = data.draw(st.frozensets(st.integers(1, size - 1)))

    found = bisect(NAMES[:size], judge(culprit, useless))

    first = max(count for count in range(culprit + 1) if count not in useless)
    last = min(count for count in range(culprit + 1, size + 1) if count not in useless)
    assert found.suspects == tuple(NAMES[first:last])
    counts = [each.changed for each in found.tried]
    assert len(counts) == len(set(counts))


def test_a_package_is_changed_after_those_it_requires() -> None:
    """Through packages that do not change, too; and a circle is no obstacle."""
    requires = {"pandas": ["numpy"], "sklearn": ["scipy", "joblib"], "scipy": ["numpy"], "numpy": ["sklearn"]}

    assert in_order(["pandas", "sklearn", "joblib"], requires) == ["joblib", "sklearn", "pandas"]
    assert in_order(["sklearn", "numpy"], {**requires, "numpy": []}) == ["numpy", "sklearn"]
