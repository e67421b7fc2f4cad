"""Signatures: what training saw of each column, the model's answer, and categories."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pytest
import xgboost
from sklearn.tree import DecisionTreeClassifier

from mlwright.kernel.errors import Invalid
from mlwright.sdk.signature import answer, signature

TRAIN = pd.DataFrame({"age": [18.0, 30.0, 89.0, 41.0], "ill": ["no", "no", "yes", "yes"]})
TEST = pd.DataFrame({"age": [33.0, 35.0], "ill": ["no", "no"]})


def tree() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(random_state=0).fit(TRAIN[["age"]], TRAIN["ill"])


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_ranges_are_those_of_the_training(kind: str) -> None:
    """Of what the model's step was given, the table with all columns tells the range; the example the row."""
    made = {"pandas": TRAIN, "polars": pl.from_pandas(TRAIN), "arrow": pl.from_pandas(TRAIN).to_arrow()}

    told = signature(tree(), TEST, {"trees": TEST[["ill"]], "train": made[kind]})

    (age,) = told["inputs"]
    assert (age["minimum"], age["maximum"]) == (18, 89)
    assert told["example"] == {"input": {"age": 33.0}, "output": "no"}


@pytest.mark.parametrize("training", [None, {}, {"other": TRAIN[["ill"]]}, {"empty": TRAIN[:0]}])
def test_without_a_training_table_the_example_tells(training: Any) -> None:
    """Where no table with all columns was given, what is known is what the example holds."""
    (age,) = signature(tree(), TEST, training)["inputs"]

    assert (age["minimum"], age["maximum"]) == (33, 35)


def test_what_may_be_missing_in_either_may_be_missing() -> None:
    """An empty cell of the training or of the example makes a column nullable, and null in the example."""
    train = pd.DataFrame({"age": [1.0, np.nan], "size": [1.0, 2.0]})
    model = DecisionTreeClassifier(random_state=0).fit(train, [0, 1])

    told = signature(model, pd.DataFrame({"age": [1.0], "size": [np.nan]}), {"train": train})

    assert [each["nullable"] for each in told["inputs"]] == [True, True]
    assert told["example"]["input"] == {"age": 1.0, "size": None}


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_model_of_categories_answers_from_text(library: str) -> None:
    """Fitted on pandas' `category`, a model is asked with text and answers the same; its order is kept."""
    wards = pd.Categorical(["b", "a", "c", "a"] * 20, categories=["c", "a", "b", "unseen"])
    train = pd.DataFrame({"ward": wards, "age": [1.0, 2.0, 3.0, 4.0] * 20})
    target = [1, 0, 1, 0] * 20
    models = {
        "xgboost": lambda: xgboost.XGBClassifier(n_estimators=5, enable_categorical=True),
        "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=5, min_child_samples=1, verbose=-1),
    }
    model = models[library]().fit(train, target)

    told = signature(model, train[:1], {"train": train})

    assert told["inputs"][0] == {
        "name": "ward",
        "type": "string",
        "nullable": False,
        "categories": ["c", "a", "b", "unseen"],
        "closed": True,
    }
    for row, wanted in zip(train.to_dict("records")[:4], model.predict(train)[:4], strict=True):
        assert answer(model, told | {"example": {"input": row}}) == wanted


def test_a_model_that_answers_several_values_has_no_signature() -> None:
    """A booster of several classes answers a row with a share for each: that is said."""
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0] * 10})
    data = lightgbm.Dataset(table, [0, 1, 2] * 10)
    booster = lightgbm.train({"objective": "multiclass", "num_class": 3, "verbose": -1}, data, 2)

    with pytest.raises(Invalid, match="a Booster answers one row with 3 values"):
        signature(booster, table)
