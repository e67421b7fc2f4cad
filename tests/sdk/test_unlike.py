"""How two values differ: the kind of difference that is told for each."""

from __future__ import annotations

import datetime
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from mlwright.sdk.deviations import CELLS, Now
from mlwright.sdk.unlike import difference

MADE = Now(1_800_000_000.0, 1_800_000_010.0)
TABLE = pa.table({"a": [1, 2, 3], "b": [0.1, 0.2, float("nan")], "c": ["x", None, "z"]})


class Mine:
    """A class of the user's own, which says nothing of equality."""

    def __init__(self, **parts: Any) -> None:
        self.__dict__ |= parts


def circle(last: int) -> list[Any]:
    """A list that holds itself."""
    made: list[Any] = [last]
    made.append(made)
    return made


def column(name: str, values: Any, table: pa.Table = TABLE) -> pa.Table:
    """The table with other cells in one column."""
    return table.set_column(table.column_names.index(name), name, pa.array(values))


CASES: dict[str, tuple[Any, Any, str, str]] = {
    "nothing": ({"a": [1, None, float("nan")]}, {"a": [1, None, float("nan")]}, "encoding", "are equal"),
    "order of keys": ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "encoding", "are equal"),
    "a rounded float": (
        {"auc": 0.1 + 0.2},
        {"auc": 0.3},
        "floats within tolerance",
        "auc: 0.30000000000000004 -> 0.3",
    ),
    "a float": ([0.5, 0.25], [0.5, 0.75], "floats", "[1]: 0.25 -> 0.75; 1 in all, by 0.5 or 0.67"),
    "an integer": ({"n": 3}, {"n": 4}, "values", "n: 3 -> 4"),
    "infinite": ([1.0], [float("inf")], "values", "1.0 -> inf"),
    "a flag is no number": ([True], [False], "values", "True -> False"),
    "a type": ([1], ["1"], "types", "int -> str"),
    "a key": ({"a": 1}, {"b": 1}, "columns", "['a'] -> ['b']"),
    "a length": ([1, 2], [1], "size", "2 -> 1 elements"),
    "shuffled": ([{"a": 1}, {"a": 2}], [{"a": 2}, {"a": 1}], "row order", "the same elements"),
    "a date in a text": ("made 2026-11-23 10:00:01", "made 2026-11-23 10:00:59", "times", "made"),
    "a moment": ([datetime.datetime(2026, 1, 1)], [datetime.datetime(2026, 1, 2)], "times", "2026-01-01"),
    "a clock in nanoseconds": (1_799_999_000 * 10**9, 1_800_000_005 * 10**9, "times", "->"),
    "a clock in seconds": ({"t": 1_799_999_000.5}, {"t": 1_800_000_005.25}, "times", "t: "),
    "a number that only looks old": (1_700_000_000, 1_700_000_001, "values", "->"),
    "lines": ("b\na\n", "a\nb\n", "row order", "the same lines"),
    "a float in a text": (
        "auc 0.25 of 3",
        "auc 0.250000001 of 3",
        "floats within tolerance",
        "0.25 -> 0.250000001",
    ),
    "a text": ("one\ntwo", "one\nthree", "values", "line 2, 'two' -> 'three'"),
    "times and floats": (
        {"t": "2026-01-01", "f": 1.0},
        {"t": "2026-01-02", "f": 2.0},
        "times, floats",
        "f: 1.0",
    ),
    "bytes": (b"\xff\x00a", b"\xff\x00b", "values", "other from byte 2 on"),
    "a large file": (
        b"\xff" * 200_000,
        b"\xff" * 150_000 + b"\xfe" * 50_000,
        "values",
        "from byte 150000 on",
    ),
    "a shorter file": (b"\xff\x00a", b"\xff", "values", "3 -> 1 bytes, other from byte 1 on"),
    "gzip": (gzip.compress(b"a", mtime=1), gzip.compress(b"a", mtime=2), "times", "gzip"),
    "a set": ({1, 2}, {1, 3}, "values", "{2} -> {3}"),
    "an object": (Mine(a=1, b=[0.5]), Mine(a=1, b=[0.75]), "floats", "b[0]: 0.5 -> 0.75"),
    "equal objects": (Mine(a=np.arange(3)), Mine(a=np.arange(3)), "encoding", "are equal"),
    "what holds itself": (circle(1), circle(2), "values", "[0]: 1 -> 2"),
    "an array": (np.array([1.0, 2.0]), np.array([1.0, 2.5]), "floats", "by 0.5 or 0.2 of"),
    "a rounded array": (np.ones(3), np.ones(3) + 1e-12, "floats within tolerance", "3 in all"),
    "a shape": (np.ones(3), np.ones(4), "size", "[3] -> [4]"),
    "an element type": (np.ones(3, "f4"), np.ones(3, "f8"), "types", "float32 -> float64"),
    "rows of an array": (
        np.array([[1, 2], [3, 4]]),
        np.array([[3, 4], [1, 2]]),
        "row order",
        "the same rows",
    ),
    "whole numbers": (np.arange(3), np.array([0, 1, 5]), "values", "2"),
    "NaN elsewhere": (np.array([np.nan, 1.0]), np.array([1.0, 1.0]), "values", "nan"),
    "the same NaN": (np.array([np.nan]), np.array([np.nan]), "encoding", "are equal"),
    "dates of an array": (
        np.array(["2026-01-01"], "M8[s]"),
        np.array(["2026-01-02"], "M8[s]"),
        "times",
        "2026",
    ),
    "clocks of an array": (np.array([1.7999e9, 1.5]), np.array([1.800000001e9, 1.5]), "times", "->"),
    "words of an array": (np.array(["a"]), np.array(["b"]), "values", "'a'"),
    "fields": (np.array([(1, 0.5)], "i4,f8"), np.array([(1, 0.75)], "i4,f8"), "floats", ".f1: "),
    "a table": (TABLE, TABLE, "encoding", "are equal"),
    "rows": (TABLE, TABLE.take([2, 0, 1]), "row order", "the same rows"),
    "fewer rows": (TABLE, TABLE.slice(1), "size", "3 -> 2 rows"),
    "another column": (TABLE, TABLE.rename_columns(["a", "b", "d"]), "columns", "['c'] -> ['d']"),
    "order of columns": (TABLE, TABLE.select(["b", "a", "c"]), "columns", "in another order"),
    "a column's type": (TABLE, column("a", [1.0, 2.0, 3.0]), "types", "column `a`: int64 -> double"),
    "a cell": (TABLE, column("c", ["x", "y", "z"]), "types", "column `c`[1]: NoneType -> str"),
    "a float of a column": (TABLE, column("b", [0.1, 0.3, float("nan")]), "floats", "column `b`: "),
    "an index": (
        pa.Table.from_pandas(pd.DataFrame({"a": [1, 2]})),
        pa.Table.from_pandas(pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(1, 3))),
        "types",
        "the index",
    ),
    "frames": ([pd.DataFrame({"a": [1.0]})], [pd.DataFrame({"a": [2.0]})], "floats", "[0].a: "),
    "frames of Polars": ([pl.DataFrame({"a": ["x"]})], [pl.DataFrame({"a": ["y"]})], "values", "[0].a[0]: "),
}


@pytest.mark.parametrize(("then", "now", "kind", "text"), CASES.values(), ids=CASES)
def test_each_kind_of_difference_has_its_name(then: Any, now: Any, kind: str, text: str) -> None:
    """The kind leads to the cause, the text to the place."""
    told = difference(then, now, MADE)

    assert told["kind"] == kind
    assert text in told["text"]


def nested(value: Any) -> Any:
    """A value in more lists than are looked into."""
    for _ in range(150):
        value = [value]
    return value


@pytest.mark.parametrize("make", [nested, lambda last: [[0]] * CELLS + [[last]]], ids=["deep", "long"])
def test_what_is_beyond_the_limits_is_not_called_equal(make: Callable[[int], Any]) -> None:
    """Where no more is looked at, values that differ are not said to be the same; equal ones are."""
    assert difference(make(1), make(2), MADE) == {
        "kind": "values",
        "text": "they differ beyond what was looked at",
    }
    assert difference(make(1), make(1), MADE)["kind"] == "encoding"


def test_files_are_compared_by_what_is_in_them(tmp_path: Path) -> None:
    """A report that tells when it was made differs in that only."""
    then, now = tmp_path / "then.html", tmp_path / "now.html"
    then.write_text("<p>2026-11-23T10:00:00Z</p>")
    now.write_text("<p>2026-11-23T10:05:00Z</p>")

    assert difference(then, now, MADE)["kind"] == "times"


def fitted(slope: float, model: Any = None) -> Any:
    """A model of one feature."""
    table = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
    return (model or LinearRegression()).fit(table, table["x"] * slope)


def test_models_are_asked_the_recorded_example() -> None:
    """Two models differ by what they answer; an example of another model is passed over."""
    examples = [{"other": 1.0}, {"x": 3.0}]

    other = difference(fitted(1.0), fitted(2.0), MADE, examples)
    rounded = difference(fitted(1.0), fitted(1.0 + 1e-15), MADE, [[{"x": 0.0}]])
    unasked = difference(fitted(1.0), fitted(2.0), MADE)

    assert other["kind"] == rounded["kind"] == unasked["kind"] == "model"
    assert "other answers on the recorded example: predict: 2.99" in other["text"]
    assert "the same answers on the recorded example" in rounded["text"]
    assert "no recorded example" in unasked["text"]


def test_models_that_are_equal_differ_in_their_bytes_only() -> None:
    """Trees are compared by their nodes, not by where they lie in memory."""
    one, other = (fitted(1.0, DecisionTreeRegressor(random_state=0)) for _ in range(2))

    assert difference(one, other, MADE)["text"].endswith("the values are equal, their bytes are not")
