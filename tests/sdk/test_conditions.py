"""Conditions of a gate: read, held against scores, and against an earlier version's scores."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel.errors import Invalid
from mlwright.sdk.conditions import Condition, judge, judge_against, parse_condition

METRICS = st.text(
    st.characters(blacklist_categories=["Cs", "Z", "Cc"], blacklist_characters="<>="), min_size=1
)
OPERATORS = st.sampled_from([">=", "<=", ">", "<", "=="])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BLANKS = st.text(" \t", max_size=3)


@given(METRICS, OPERATORS, NUMBERS, st.tuples(BLANKS, BLANKS, BLANKS, BLANKS))
def test_a_condition_is_read_as_it_was_written(
    metric: str, compare: str, threshold: float, blanks: tuple[str, ...]
) -> None:
    """Any name, operator and number, with or without blanks."""
    text = f"{blanks[0]}{metric}{blanks[1]}{compare}{blanks[2]}{threshold!r}{blanks[3]}"

    assert parse_condition(text) == Condition(metric, compare, threshold)


@given(st.text())
def test_any_text_is_a_condition_or_invalid(text: str) -> None:
    """Nothing else is raised, whatever is typed."""
    try:
        condition = parse_condition(text)
    except Invalid as error:
        assert error.hint == 'write it as "auc >= 0.95"'
    else:
        assert isinstance(condition.threshold, float)


@pytest.mark.parametrize("number", ["1", "-1", "+1", "1.5", ".5", "5.", "1e3", "1E-3", "-.5e+2"])
def test_every_way_to_write_a_number(number: str) -> None:
    """As in Python."""
    assert parse_condition(f"auc>={number}").threshold == float(number)


@pytest.mark.parametrize(
    "text",
    ["", "auc", "auc >=", ">= 0.9", "auc 0.9", "auc => 0.9", "auc = 0.9", "auc != 0.9", "auc >= .",
     "auc >= 1.2.3", "auc >= high", "auc >= 0.9 0.8", "a b >= 1", "auc >= 1e", "auc >= --1", 0.9, None],
)  # fmt: skip
def test_what_is_no_condition_is_refused(text: Any) -> None:
    """With what it was, and how one is written."""
    with pytest.raises(Invalid, match="a gate cannot read the condition"):
        parse_condition(text)


@given(OPERATORS, NUMBERS, NUMBERS)
def test_a_score_is_held_against_the_threshold(compare: str, score: float, threshold: float) -> None:
    """Each operator means what it means in Python."""
    meant = {
        ">=": score >= threshold,
        "<=": score <= threshold,
        ">": score > threshold,
        "<": score < threshold,
        "==": score == threshold,
    }

    (finding,) = judge({"auc": score}, [Condition("auc", compare, threshold)])

    assert finding.holds == meant[compare]


@pytest.mark.parametrize("compare", [">=", "<=", ">", "<", "=="])
@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"auc": math.nan}, "it is nan"),
        ({}, "there is no such score"),
        ({"AUC": 1.0}, "there is no such score"),
        ({"auc": None}, "the score is not a number"),
        ({"auc": "1.0"}, "the score is not a number"),
        ({"auc": [1.0]}, "the score is not a number"),
        (1.0, "there is no such score"),
        ([1.0], "there is no such score"),
    ],
)
def test_what_is_no_number_passes_nothing(scores: Any, said: str, compare: str) -> None:
    """NaN, a missing score, one that is no number, scores that are no dictionary: each closes a gate."""
    (finding,) = judge(scores, [Condition("auc", compare, 0.5)])

    assert not finding.holds
    assert finding.text == f"auc {compare} 0.5: {said}"


def test_every_condition_has_its_finding() -> None:
    """In their order, with what was wanted and what is."""
    findings = judge(
        {"auc": 0.97, "rows": 12}, [parse_condition("auc >= 0.95"), parse_condition("rows > 100")]
    )

    assert [(each.text, each.holds) for each in findings] == [
        ("auc >= 0.95: it is 0.97", True),
        ("rows > 100: it is 12", False),
    ]


@pytest.mark.parametrize(
    ("condition", "mine", "theirs", "holds"),
    [
        ("auc >= 0.5", 0.9, 0.8, True),
        ("auc > 0.5", 0.8, 0.9, False),
        ("auc >= 0.5", 0.9, 0.9, True),
        ("loss <= 1", 0.2, 0.3, True),
        ("loss < 1", 0.3, 0.2, False),
        ("bias == 0", 0.1, -0.2, True),
        ("bias == 0", -0.2, 0.1, False),
        ("accuracy == 1", 0.9, 0.8, True),
        ("auc >= 0.5", math.nan, 0.8, False),
        ("auc >= 0.5", 0.8, math.nan, False),
        ("auc >= 0.5", "0.9", 0.8, False),
    ],
)
def test_an_earlier_version_is_not_to_be_worse_than(
    condition: str, mine: Any, theirs: float, holds: bool
) -> None:
    """The way a score is compared says which way it improves; towards a wanted value, nearer is better."""
    metric = condition.split(maxsplit=1)[0]

    (finding,) = judge_against({metric: mine}, {metric: theirs}, [parse_condition(condition)], "diagnosis@3")

    assert finding.holds == holds
    assert "diagnosis@3" in finding.text


@pytest.mark.parametrize(
    ("condition", "mine", "theirs", "holds"),
    [
        ("auc >= 0.5", 0.75, 1.0, True),
        ("auc >= 0.5", 0.625, 1.0, False),
        ("loss <= 1", 1.25, 1.0, True),
        ("loss <= 1", 1.375, 1.0, False),
        ("bias == 0", -0.5, 0.25, True),
        ("bias == 0", 0.625, 0.25, False),
        ("auc >= 0.5", math.nan, 1.0, False),
    ],
)
def test_a_tolerance_is_how_much_worse_a_score_may_be(
    condition: str, mine: float, theirs: float, holds: bool
) -> None:
    """A quarter worse passes a tolerance of a quarter, in the direction of the metric; more does not."""
    metric = condition.split(maxsplit=1)[0]

    (finding,) = judge_against(
        {metric: mine}, {metric: theirs}, [parse_condition(condition)], "diagnosis@3", tolerance=0.25
    )

    assert finding.holds == holds


def test_a_score_that_one_of_the_two_lacks_is_not_passed() -> None:
    """Missing here or there, it cannot be compared."""
    condition = [parse_condition("auc >= 0.5")]

    for scores, reference in [
        ({}, {"auc": 1.0}),
        ({"auc": 1.0}, {}),
        (0.9, {"auc": 1.0}),
        ({"auc": 1.0}, [1.0]),
    ]:
        (finding,) = judge_against(scores, reference, condition, "diagnosis@3")
        assert not finding.holds
        assert finding.text == "auc is missing here or in diagnosis@3"
