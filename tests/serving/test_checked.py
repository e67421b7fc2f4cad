"""Columns that another protocol read, held against a signature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.serving.checked import Checker
from mlwright.serving.problems import MAX_FAULTS, Problem
from mlwright.serving.walk import Walk
from mlwright.versioning.signatures import Column

MAX_ROWS = 40
KINDS = ("number", "integer", "boolean", "string")
ONE = [
    Column("c", kind, nullable=nullable)  # type: ignore[arg-type]
    for kind in KINDS
    for nullable in (False, True)
] + [
    Column("c", "string", categories=("a", "b"), closed=True),
    Column("c", "integer", nullable=True, categories=(1, 2), closed=True),
    Column("c", "boolean", categories=(False, True), closed=True),
]
NUMBERS = [f"{kind}{size}" for kind in ("int", "uint") for size in (8, 16, 32, 64)]
NUMBERS += ["float16", "float32", "float64"]


def walked(column: Column, values: Sequence[Any]) -> list[Any] | list[tuple[int | None, str]]:
    """What our JSON with these values is taken for, or where and how it is refused."""
    try:
        return list(Walk([column], MAX_ROWS).columns({"columns": {"c": list(values)}})[0])
    except Problem as problem:
        return [(fault.row, fault.message) for fault in problem.faults]


def checked(column: Column, values: Any) -> list[Any] | list[tuple[int | None, str]]:
    try:
        (taken,) = Checker([column], MAX_ROWS).checked([values])
    except Problem as problem:
        return [(fault.row, fault.message) for fault in problem.faults]
    return taken.tolist() if isinstance(taken, np.ndarray) else list(taken)


def same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # 1, 1.0 and True are equal, and not the same


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(2**63 - 2, 2**64),
    st.integers(-5, 5).map(float),
    st.floats(),
    st.sampled_from(["a", "b", "", "\ud800", "1"]),
)
ALIKE = st.one_of(
    *(st.lists(each, min_size=1, max_size=6) for each in (st.integers(), st.floats(), st.booleans())),
    st.lists(st.sampled_from(["a", "b", "\ud800"]), min_size=1),
    st.lists(st.none() | st.sampled_from([1, 2, 1.0, True]), min_size=1, max_size=6),
    st.lists(VALUES, min_size=1, max_size=6),
)


@given(column=st.sampled_from(ONE), values=ALIKE)
def test_a_list_is_taken_as_our_json_is(column: Column, values: list[Any]) -> None:
    """A list is taken for the same values as in our JSON, or refused for the same rows in the same words."""
    assert same(checked(column, values), walked(column, values))


@pytest.mark.parametrize("column", ONE[:6], ids=repr)
@pytest.mark.parametrize("dtype", [*NUMBERS, "bool"])
def test_an_array_is_taken_as_its_values_are(column: Column, dtype: str) -> None:
    """An array of each type is taken as its values in a list, NaN standing for one that is missing."""
    whole = np.array([0, 1, 1], dtype=dtype)
    arrays = [whole]
    if whole.dtype.kind == "f":
        arrays += [np.array(each, dtype=dtype) for each in ([1.5, 0], [0, np.nan], [np.inf, 1], [-np.inf])]
    elif whole.dtype.kind in "iu":
        arrays += [np.array([0, np.iinfo(dtype).max, np.iinfo(dtype).min], dtype=dtype)]

    for array in arrays:
        plain = [None if column.nullable and each != each else each for each in array.tolist()]
        expected = walked(column, plain)
        assert same(checked(column, array), expected)


def test_a_large_integer_is_no_integer_of_64_bits() -> None:
    """Numbers beyond 64 bits, as whole floats or unsigned, are named with their row."""
    column = Column("c", "integer")

    assert checked(column, np.array([1, 2**63], dtype="uint64")) == [(1, "must be an integer of 64 bits")]
    assert checked(column, np.array([2.0**63])) == [(0, "must be an integer of 64 bits")]
    assert checked(column, np.array([-(2.0**63)])) == [-(2**63)]


def test_right_arrays_stay_arrays() -> None:
    """What is right as a whole is not taken apart: arrays come back as float64, int64 and bool."""
    inputs = [Column("a", "number"), Column("b", "integer"), Column("c", "boolean")]

    taken = Checker(inputs, MAX_ROWS).checked(
        [np.array([1, 2], "float32"), np.array([1, 2], "uint8"), np.array([True, False])]
    )

    assert [values.dtype for values in taken] == ["float64", "int64", "bool"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ([[], []], "`a` must hold at least one row"),
        ([[1.0], [1, 2]], "`b` has 2 values, and the columns before it 1"),
        ([[1.0] * 41, [1] * 41], "the request holds 41 rows, and one request may ask for 40"),
        ([np.zeros(2), [1, None]], "row 1: `b` must be an integer, not null"),
    ],
)
def test_shapes_are_told(columns: list[Any], said: str) -> None:
    """Nothing, columns of several lengths and too many rows are refused with one sentence."""
    with pytest.raises(Problem) as caught:
        Checker([Column("a", "number"), Column("b", "integer")], MAX_ROWS).checked(columns)

    assert (caught.value.http_status, caught.value.message) == (422, said)


def test_names_are_held_against_the_signature() -> None:
    """A column that is misspelt, missing or there twice is named; the rest finds its place."""
    checker = Checker([Column("radius", "number"), Column("ward", "string")], MAX_ROWS)

    with pytest.raises(Problem) as caught:
        checker.placed(["radus", "ward", "ward"])

    assert [fault.sentence for fault in caught.value.faults] == [
        "`radus` is not a column of this model: did you mean `radius`?",
        "`ward` is there twice",
        "`radius` is missing",
    ]
    assert checker.placed(["x", "ward", "radius"], ignore_unknown=True) == [2, 1]
    assert checker.named({"ward": ["a"], "radius": [1]}) == [[1.0], ["a"]]


def test_a_document_names_only_the_first_faults() -> None:
    """A column of thousands of wrong values is answered with a short document."""
    with pytest.raises(Problem) as caught:
        Checker([Column("a", "number")], 10_000).checked([[math.nan] * 10_000])

    assert len(caught.value.faults) == MAX_FAULTS
