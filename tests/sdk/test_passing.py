"""Columns and answers on their way to the process of a model and back: nothing is changed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlwright.sdk.frames import Frame, FrameReader
from mlwright.sdk.kinds import File, Image
from mlwright.sdk.passing import answer_sent, answer_taken, named_sent, named_taken, table_sent, table_taken
from mlwright.sdk.values import ABSENT


def arrived(frame: Frame) -> Frame:
    """As the other side has it."""
    (found,) = FrameReader().feed(frame.encode())
    return found


def plainly(column: Any) -> list[Any]:
    return column.tolist() if hasattr(column, "tolist") else list(column)


VALUES = (
    st.floats(allow_nan=False),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.none() | st.floats(allow_nan=False),
    st.none() | st.integers(-5, 5),
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[Any]]:
    rows = draw(st.integers(1, 4))
    kinds = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=6))
    return [draw(st.lists(kind, min_size=rows, max_size=rows)) for kind in kinds]


@settings(max_examples=60, deadline=None)
@given(tables())
def test_the_columns_of_a_table_arrive_as_they_were(columns: list[list[Any]]) -> None:
    """Every value has its type and its last digit."""
    found = [plainly(each) for each in table_taken(arrived(table_sent({"op": "ask"}, columns)))]

    assert found == columns
    assert [[type(value) for value in each] for each in found] == [
        [type(value) for value in each] for each in columns
    ]


def test_numbers_travel_raw() -> None:
    """A column of numbers alone is no JSON, and is an array that may be written to; NaN is among them."""
    frame = arrived(table_sent({}, [[1.5, math.nan], np.array([1, 2], "int64"), [True, False]]))

    numbers, whole, truths = table_taken(frame)

    assert len(frame.parts) == 2
    numbers[0] = 2.0
    assert math.isnan(numbers[1])
    assert whole.dtype == np.int64
    assert truths == [True, False]


def test_what_requests_give_by_name_arrives_as_it_was(tmp_path: Path) -> None:
    """Arrays, pictures in memory, files by their paths, any JSON, and what is not given."""
    (tmp_path / "large").write_bytes(b"large")
    columns: list[Any] = [
        np.arange(6, dtype="float32").reshape(1, 2, 3)[:, ::-1],
        [np.ones((2, 1), "uint8")],
        [Image(b"small", "image/png")],
        [File(tmp_path / "large", "video/mp4")],
        [{"a": [1, None, "x"]}],
        [ABSENT],
    ]
    kinds = ["tensor", "tensor", "image", "file", "json", "number"]

    whole, (each,), (image,), (file,), (told,), (absent,) = named_taken(
        arrived(named_sent({}, columns)), kinds
    )

    np.testing.assert_array_equal(whole, columns[0])
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(each, columns[1][0])
    assert (type(image), image.read(), image.media_type) == (Image, b"small", "image/png")
    assert (type(file), file.path, file.media_type) == (File, tmp_path / "large", "video/mp4")
    assert told == {"a": [1, None, "x"]}
    assert absent is ABSENT


@pytest.mark.parametrize(
    ("labels", "shares"),
    [
        (np.array(["no", "yes"], dtype=object), np.array([[0.25, 0.75], [1.0, 0.0]], "float32")),
        (np.array([1, 2]), None),
        (np.array([True, False]), [[0.5, 0.5], [0.1, 0.9]]),
        ([{"a": 1}, "b"], None),
    ],
)
def test_answers_arrive_as_they_were(labels: Any, shares: Any) -> None:
    """Texts as a list of them, numbers as the array that the model made."""
    found, parts = answer_taken(arrived(answer_sent({"state": "done"}, labels, shares)))

    assert plainly(found) == plainly(labels)
    assert (parts is None) == (shares is None)
    if shares is not None:
        np.testing.assert_array_equal(parts, shares)
        assert getattr(parts, "dtype", None) == getattr(shares, "dtype", None)
