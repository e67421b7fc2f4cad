"""What lies outside of what training saw is answered, and said."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from mlwright.serving import Client, start
from mlwright.serving.bounds import MOST, Bounds
from mlwright.serving.problems import Problem
from mlwright.serving.validation import Validator
from mlwright.versioning.signatures import Column
from tests.serving.conftest import PYTHON

AGE = Column("age", "number", minimum=18, maximum=89)
WARD = Column("ward", "string", nullable=True, categories=("a", "b"))
FLOOR = Column("floor", "integer", nullable=True, minimum=0, maximum=3)


def test_values_that_training_saw_are_no_warning() -> None:
    """The ends of a range, each category, and what is missing are as in training."""
    bounds = Bounds([AGE, WARD, FLOOR, Column("note", "string")])

    assert bounds.warnings([[18.0, 89.0], ["a", None], [None, 3], ["x", "y"]]) == []


def test_what_lies_outside_is_said_once_for_each_column() -> None:
    """The first row is named with its value and what training saw, and how many more rows there are."""
    bounds = Bounds([AGE, WARD, FLOOR])

    said = bounds.warnings([[20.0, 130.0, 17.0], ["z" * 50, "a", "a"], [1, None, 4]])

    assert said == [
        "row 1 (and 1 more): `age` is 130, and training saw 18 to 89",
        f"row 0: `ward` is '{'z' * 37}...', and training saw a, b",
        "row 2: `floor` is 4, and training saw 0 to 3",
    ]


def test_an_answer_has_a_bounded_number_of_warnings() -> None:
    """Twenty are told, whatever a request holds."""
    bounds = Bounds([Column(f"c{at}", "number", minimum=0, maximum=1) for at in range(50)])

    assert len(bounds.warnings([[2.0]] * 50)) == MOST


@pytest.mark.parametrize(
    ("column", "taken", "refused", "said"),
    [
        (Column("w", "string", categories=("a", "b"), closed=True), "b", "c", "one of a, b, not the string"),
        (Column("w", "integer", categories=(1, 2), closed=True), 2, 3, "one of 1, 2, not the number 3"),
        (
            Column("w", "number", categories=(0.5, 1.5), closed=True),
            1.5,
            1,
            "one of 0.5, 1.5, not the number 1",
        ),
        (
            Column("w", "string", categories=tuple(map(str, range(1000))), closed=True),
            "999",
            "1000",
            "one of the 1,000 categories of this column",
        ),
    ],
)
def test_a_closed_column_takes_its_categories_only(
    column: Column, taken: object, refused: object, said: str
) -> None:
    """A value that is no category cannot be given to the model: it is refused, and a few are listed."""
    validator = Validator([column], 10)

    assert list(validator.columns(json.dumps({"rows": [{"w": taken}]}).encode())[0]) == [taken]
    with pytest.raises(Problem) as caught:
        validator.columns(json.dumps({"rows": [{"w": refused}]}).encode())
    assert caught.value.http_status == 422
    assert said in caught.value.message


def test_a_client_is_told(make_spec, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The answer over HTTP has `warnings` only if there are some."""
    table = pd.DataFrame({"age": [18.0, 89.0]})
    spec = make_spec(DecisionTreeClassifier().fit(table, ["no", "yes"]), table)

    with start(spec, PYTHON, folder=tmp_path) as server, Client(server.url) as client:
        usual, unusual = client.predict([{"age": 30}]), client.predict([{"age": 130}])

    assert usual.warnings == ()
    assert unusual.warnings == ("row 0: `age` is 130, and training saw 18 to 89",)
    assert unusual.predictions == ["yes"]
