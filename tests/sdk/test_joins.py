"""Whether what one step gives can be what another takes: only what can never work is refused."""

from __future__ import annotations

import abc
import collections
import datetime
import enum
import fractions
import inspect
import pathlib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, NamedTuple, NewType, Optional, Protocol, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from mlwright import Dataset
from mlwright.kernel.errors import Invalid
from mlwright.sdk.joins import can_fit, element_of
from tests.sdk import made
from tests.sdk.steps import best, drifted, fit, late, silent, table, tables, traced

T = TypeVar("T")
Identity = NewType("Identity", int)


class Scores(TypedDict):
    auc: float


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Predicts(Protocol):
    def predict(self, rows: Any) -> Any: ...


@typing.runtime_checkable
class Explains(Predicts, Protocol):
    def explain(self) -> str: ...


class Model(abc.ABC):  # noqa: B024
    """Abstract, though it has no abstract method."""


class Forest(Model):
    """Not abstract any more."""


class Begins(metaclass=abc.ABCMeta):  # noqa: B024
    """Another way to begin."""


class Box(Generic[T]):
    """Holds something, and cannot be gone through."""


class Lazy(Generic[T]):
    """Can be gone through, but only it knows what it gives."""

    def __iter__(self) -> Any: ...


class Table(pd.DataFrame):  # type: ignore[misc]
    """A user's own kind of table."""


class Row(NamedTuple):
    one: int


CONCRETE = [
    int, str, bytes, list, dict, pd.DataFrame, pa.Table, RandomForestClassifier, Dataset, Box, Forest,
    pathlib.Path, np.ndarray, list[int], dict[str, int], Scores, Row,
]  # fmt: skip
OPEN = [
    Any, object, inspect.Parameter.empty, T, Identity, Colour, Level, Predicts, Explains, Model, Begins,
    Mapping[str, int], Sequence, np.ndarray,
    np.float32, npt.NDArray[np.float64], int | None, Optional[str], typing.Union[int, str],  # noqa: UP007, UP045
    Literal["a"], Callable[[int], int], "unresolved", 3, type(None) | int,
]  # fmt: skip


@given(st.sampled_from(CONCRETE), st.sampled_from(OPEN))
def test_what_says_little_fits_everything(concrete: Any, open_: Any) -> None:
    """Unions, protocols, abstract classes, variables, enumerations, arrays and no annotation, either way."""
    assert can_fit(concrete, open_)
    assert can_fit(open_, concrete)


@given(st.sampled_from([*CONCRETE, *OPEN]))
def test_everything_fits_itself(annotation: Any) -> None:
    """And nothing is asked of what asks for nothing."""
    assert can_fit(annotation, annotation)
    assert can_fit(annotation, type(None))


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        (bool, int), (int, float), (float, int), (np.float64, float), (Level, int),
        (list[int], list[str]), (list[int], tuple[int, ...]), (list, Row), (list[int], Sequence[int]),
        (list[int], Iterable[int]), (list, set), (list[float], np.ndarray), (np.ndarray, list[float]),
        (np.ndarray, pd.DataFrame), (np.ndarray, float),
        (dict[str, float], dict[str, int]), (dict[str, float], Mapping[str, float]), (dict, Scores),
        (Scores, dict), (collections.OrderedDict, dict), (dict, collections.Counter),
        (pd.DataFrame, pa.Table), (pa.Table, pd.DataFrame), (Table, pa.Table), (pd.DataFrame, Table),
        (pd.Series, pd.DataFrame), (pd.Series, list), (fractions.Fraction, float), (pd.DataFrame, np.ndarray),
        (RandomForestClassifier, BaseEstimator), (BaseEstimator, RandomForestClassifier),
        (ClassifierMixin, BaseEstimator), (RandomForestClassifier, LogisticRegression),
        (pathlib.Path, str), (str, pathlib.Path), (Forest, Model), (Model, Forest), (Box[int], Box[str]),
    ],
)  # fmt: skip
def test_what_may_work_fits(given_: Any, wanted: Any) -> None:
    """What converts, what is a kind of the other, and what only the value itself can tell."""
    assert can_fit(given_, wanted)


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        (dict, pd.DataFrame), (dict[str, float], pa.Table), (pd.DataFrame, dict), (list, pd.DataFrame),
        (pd.DataFrame, int), (pd.DataFrame, str), (pd.DataFrame, list[int]), (Table, int),
        (str, int), (int, str), (bool, str), (bytes, str), (str, bytes), (str, list[str]),
        (float, list[float]), (list[int], int), (list[int], dict[str, int]), (dict[str, int], list[int]),
        (Scores, list),
        (RandomForestClassifier, pd.DataFrame), (pd.DataFrame, RandomForestClassifier),
        (RandomForestClassifier, float), (dict[str, float], Forest), (str, datetime.date),
        (Dataset, pd.DataFrame), (int, Dataset), (Box[int], int), (type(None), pd.DataFrame),
        (pathlib.Path, pd.DataFrame), (pathlib.Path, int),
    ],
)  # fmt: skip
def test_what_can_never_work_does_not_fit(given_: Any, wanted: Any) -> None:
    """Both are concrete classes, and no value of one ever does for the other."""
    assert not can_fit(given_, wanted)


class Unaskable(type):
    """A class that cannot be asked for its subclasses."""

    def __subclasscheck__(cls, other: type) -> bool:
        raise TypeError("not to be asked")


def test_a_class_that_cannot_be_asked_fits() -> None:
    """What its author forbids is no reason to refuse."""
    asked = Unaskable("asked", (), {})

    assert can_fit(asked, int)
    assert can_fit(int, asked)


@pytest.mark.parametrize(
    ("annotation", "element"),
    [
        (list[int], int),
        (list[list[int]], list[int]),
        (tuple[int, ...], int),
        (tuple[int], int),
        (set[str], str),
        (Sequence[pd.DataFrame], pd.DataFrame),
        (Iterable[str], str),
        (dict[str, int], int),
        (Mapping[str, float], float),
        (tuple[int, str], Any),
        (collections.Counter[str], Any),
        (list, Any),
        (int, Any),
        (Any, Any),
        (inspect.Parameter.empty, Any),
        (npt.NDArray[np.float64], Any),
        (Lazy[int], Any),
        (Box[int], Any),
        (type[int], Any),
        (list[int] | None, Any),
        (Callable[[int], str], Any),
        (made.Split, Any),
    ],
)
def test_the_elements_of_a_list_are_known_where_it_tells(annotation: Any, element: Any) -> None:
    """Elements of lists, values of dictionaries; where nothing is told they may be anything."""
    assert element_of(annotation) == element


@pytest.mark.parametrize(
    ("call", "gives", "takes"),
    [
        (lambda: fit(1, table()), "`table` gives a pandas.DataFrame", "`fit` takes `trees` as an int"),
        (lambda: fit(fit(1)), "`fit` gives a dict[str, float]", "`fit` takes `train` as a pandas.DataFrame"),
        (lambda: fit(made.split([1]).test), "`split.test` gives a dict[str, int]", "`fit` takes `train`"),
        (lambda: fit(1, made.pair([1])[1]), "`pair.1` gives a str", "`fit` takes `trees` as an int"),
        (lambda: fit(tables(1)), "`tables` gives a list[pandas", "`fit` takes `train` as a pandas.DataFrame"),
        (lambda: fit(1, fit(table())), "`fit` gives a dict[str, float]", "`fit` takes `trees` as an int"),
        (lambda: (table(), fit(1, table())), "`table-2` gives a pandas.DataFrame", "`fit` takes `trees`"),
        (lambda: best([1, table()]), "`table` gives a pandas", "`best` takes `models` as a dict[str, float]"),
        (lambda: best([], {"a": table()}), "`table` gives a pandas", "`best` takes `names` as an int"),
        (
            lambda: fit.map([1], [table()]),
            "`table` gives a pandas.DataFrame",
            "`fit` takes `trees` as an int",
        ),
        (lambda: fit.map([1], tables(1)), "each element of `tables` is a pandas", "takes `trees` as an int"),
        (lambda: fit.map(table()), "`table` gives a pandas", "`fit.map` goes through `train` as a list"),
        (lambda: fit.map(fit(1)), "`fit` gives a dict[str, float]", "`fit.map` goes through `train`"),
        (lambda: fit.map(fit.map([1])), "each element of `fit` is a dict[str, float]", "`fit` takes `train`"),
        (lambda: fit(fit.map([1])), "`fit` is mapped, and gives a list[dict[str, float]]", "takes `train`"),
    ],
)
def test_a_join_that_can_never_work_is_said_with_both_ends(
    call: Callable[[], Any], gives: str, takes: str
) -> None:
    """What gives, what takes, and where they were joined."""
    with pytest.raises(Invalid) as raised:
        traced(call)

    assert gives in raised.value.message
    assert takes in raised.value.message
    assert (raised.value.where or "").startswith(__file__)


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: fit(tables(1)), "to call `fit` for each element: fit.map(...)"),
        (lambda: fit(1, made.take.map([1])), "to call `fit` for each element: fit.map(...)"),
        (lambda: fit(1, tables(1)), "pass on another output, or correct the annotation that is wrong"),
        (lambda: best([tables(1)]), "pass on another output, or correct the annotation that is wrong"),
        (lambda: fit(1, table()), "pass on another output, or correct the annotation that is wrong"),
        (lambda: fit(1, when=made.load(Dataset("a"))), "pass on another output"),
        (lambda: fit.map(table()), "what is the same for every element is passed by name: train=..."),
    ],
)
def test_a_wrong_join_says_what_may_have_been_meant(call: Callable[[], Any], hint: str) -> None:
    """A list for one is meant to be gone through; one for a list, to be the same for all."""
    with pytest.raises(Invalid) as raised:
        traced(call)

    assert hint in (raised.value.hint or "")


def test_a_join_that_may_work_is_made() -> None:
    """What says nothing, what converts, and a default of None let everything pass."""

    def calls() -> None:
        train = table()
        silent(train)
        fit(silent(train), silent(1), train)
        fit(train, drifted(train))
        late(1, drifted(train))
        made.take([train, {"a": train}])
        fit.map(silent(1), made.take([1]))

    assert [node["name"] for node in traced(calls)] == [
        *("table", "silent", "silent-2", "silent-3", "fit", "drifted", "fit-2", "drifted-2", "late"),
        *("take", "silent-4", "take-2", "fit-3"),
    ]
