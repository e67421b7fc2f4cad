"""The grammar of filters and orders: MLflow's and more, and one clear message for all else."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlwright.kernel.errors import Invalid
from mlwright.kernel.grammar import (
    MOST_COMPARISONS,
    MOST_VALUES,
    SIGNS,
    Comparison,
    Order,
    parse_filter,
    parse_order,
)


@pytest.mark.parametrize(
    ("text", "entity", "key", "sign", "value"),
    [
        ("metrics.auc > 0.9", "metric", "auc", ">", 0.9),
        ("metric.auc>=-1e-3", "metric", "auc", ">=", -0.001),
        ("metrics.auc == 1", "metric", "auc", "=", 1),
        ("metrics.auc < 1e999", "metric", "auc", "<", float("inf")),
        ("metrics.val/loss@1 != 3", "metric", "val/loss@1", "!=", 3),
        ("params.\"learning rate\" = '0.1'", "param", "learning rate", "=", "0.1"),
        ('parameters.`a.b c` = "0.1"', "param", "a.b c", "=", "0.1"),
        ("tags.mlflow.user LIKE 'a%'", "tag", "mlflow.user", "LIKE", "a%"),
        ("tag.x iLike '%'", "tag", "x", "ILIKE", "%"),
        ("attributes.status = 'FINISHED'", "attribute", "status", "=", "FINISHED"),
        ("attr.\"Run name\" = 'a'", "attribute", "Run name", "=", "a"),
        ("\"run name\" = 'a'", "attribute", "run name", "=", "a"),
        ("run_id IN ('a', \"b\",)", "attribute", "run_id", "IN", ("a", "b")),
        ("run_id not  in('a')", "attribute", "run_id", "NOT IN", ("a",)),
        ("datasets.name = 'it''s'", "dataset", "name", "=", "it's"),
        ('tags."a""b" is null', "tag", 'a"b', "IS NULL", None),
        ("tags.큰 IS NOT NULL", "tag", "큰", "IS NOT NULL", None),
        ("params.x = 'größe ☂ and (1)'", "param", "x", "=", "größe ☂ and (1)"),
        ("params.x = ''", "param", "x", "=", ""),
    ],
)
def test_a_comparison_is_taken_apart(text: str, entity: str, key: str, sign: str, value: object) -> None:
    """What MLflow's searches take, and its other spellings, is read as what it means."""
    (found,) = parse_filter(text)

    assert (found.entity, found.key, found.sign, found.value) == (entity, key, sign, value)


def test_comparisons_are_joined_by_and() -> None:
    """Several are read in their order; nothing, or space, is no comparison."""
    found = parse_filter("metrics.auc > 0.9 and params.x = 'a and b'\nAND  seed=1")

    assert [(each.name, each.value) for each in found] == [
        ("metrics.auc", 0.9),
        ("params.x", "a and b"),
        ("seed", 1),
    ]
    assert parse_filter("") == parse_filter(" \t\n") == ()


@pytest.mark.parametrize(
    ("text", "told", "at"),
    [
        ("metrics.auc >", "a value is missing at the end of the filter", 14),
        ("metrics.auc 0.9", "'0.9' stands where a comparison should be", 13),
        ("metrics.auc > high", "'high' is no number and not quoted", 15),
        ("metric.a > 1 or metric.b > 1", "`or` is not understood", 14),
        ("metric.a > 1 metric.b > 1", "between comparisons stands 'metric.b'", 14),
        ("metric.a > 1 and", "a key is missing at the end of the filter", 17),
        ("(metric.a > 1)", "'(' stands where a key should be", 1),
        ("metrick.a > 1", "there is nothing called 'metrick' to search in", 1),
        ("metrics. > 1", "after 'metrics.' a key is missing", 1),
        ("params.x = 'a", "a quote begins that does not end", 12),
        ("params.`x = 'a'", "a quote begins that does not end", 8),
        ("params.x = `a`", "'`a`' is no number and not quoted", 12),
        ("'x' = 'a'", "\"'x'\" stands where a key should be", 1),
        ("run_id IN 'a'", "\"'a'\" is no list", 11),
        ("run_id IN ()", "')' is no number and not quoted", 12),
        ("run_id IN ('a' 'b')", "\"'b'\" stands where the list should go on", 16),
        ("run_id NOT 'a'", "'NOT' stands where a comparison should be", 8),
        ("a = 1; DROP TABLE run", "';' means nothing here", 6),
    ],
)
def test_what_is_no_filter_is_told_with_its_place(text: str, told: str, at: int) -> None:
    """The message names what stands there, and at which letter."""
    with pytest.raises(Invalid, match=re.escape(told)) as refusal:
        parse_filter(text)

    assert refusal.value.where == f"the filter, letter {at}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (" and ".join(["metrics.a > 1"] * 10_000), f"more than {MOST_COMPARISONS} comparisons"),
        (f"run_id IN ({', '.join(['1'] * (MOST_VALUES + 1))})", f"more than {MOST_VALUES} values"),
        (
            " and ".join([f"seed IN ({', '.join(['1'] * (MOST_VALUES // 2 + 1))})"] * 2),
            f"more than {MOST_VALUES} values",
        ),
        ("'" * 2_000_001, "at most 1000000 are read"),
        ("params.x = 'a\0b'", "the filter has a NUL in it, at letter 14"),
        ("params.x = 'a\ud800b'", "the filter has half a letter in it, at letter 14"),
    ],
    ids=["comparisons", "values", "values of two", "letters", "nul", "surrogate"],
)
def test_too_much_is_refused(text: str, told: str) -> None:
    """What would cost too much, or what no record can have, is named with its limit."""
    with pytest.raises(Invalid, match=re.escape(told)):
        parse_filter(text)


def test_an_order_is_a_key_and_a_way() -> None:
    """Ascending when nothing is said; keys are quoted as in a filter."""
    assert parse_order("metrics.auc DESC") == Order("metric", "auc", True)
    assert parse_order("start_time") == Order("attribute", "start_time", False)
    assert parse_order("params.`a b` asc") == Order("param", "a b", False)
    assert parse_order('tags."a b"') == Order("tag", "a b", False)


@pytest.mark.parametrize(
    "text", ["", "metrics.auc down", "a b c", "metrics.auc > 1", "'a'", "metrics.auc, b", "a\0"]
)
def test_what_is_no_order_is_refused(text: str) -> None:
    """One message says what can be written."""
    with pytest.raises(Invalid):
        parse_order(text)


pieces = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *SIGNS,
                *(
                    "and",
                    "or",
                    "(",
                    ")",
                    ",",
                    "'",
                    '"',
                    "`",
                    "'a'",
                    '"b"',
                    "metrics.",
                    "params.x",
                    "tags.`a`",
                ),
                *("0.9", "-1e400", "NULL", "NOT", " ", ";", "--", "%", "\\", "\0", "\ud800", "é", "a" * 500),
            ]
        ),
        st.text(max_size=5),
    ),
    max_size=40,
)


@given(text=st.one_of(st.text(), pieces.map(" ".join), pieces.map("".join)))
@example("metrics.a > 1 and " * 50)
def test_any_text_is_a_filter_or_one_clear_refusal(text: str) -> None:
    """Whatever is written, it is comparisons, or Invalid; nothing else is raised."""
    for parse in (parse_filter, parse_order):
        try:
            found = parse(text)
        except Invalid as refusal:
            assert refusal.message
        else:
            assert isinstance(found, Order) or all(each.sign in SIGNS for each in found)


keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(
    key=keys,
    value=st.one_of(keys, st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False)),
    quote=st.sampled_from("'\""),
    around=st.sampled_from('"`'),
    sign=st.sampled_from(["=", "!=", "LIKE"]),
)
def test_what_is_quoted_is_read_as_it_was(
    key: str, value: str | int | float, quote: str, around: str, sign: str
) -> None:
    """Any key and any text come back as they were written, a quote inside doubled; numbers too."""
    quoted = f"{quote}{value.replace(quote, quote * 2)}{quote}" if isinstance(value, str) else repr(value)

    found = parse_filter(f"params.{around}{key.replace(around, around * 2)}{around} {sign} {quoted}")

    assert found == (Comparison("param", key, sign, value, value if isinstance(value, str) else quoted),)
