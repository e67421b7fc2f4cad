"""The model in memory: its table, its answers, its proof."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from mlwright.kernel.errors import Incompatible, Invalid, WorkFailed
from mlwright.sdk.codecs import codecs_for
from mlwright.sdk.signature import signature
from mlwright.serving import ModelSpec, ReplicaSpec
from mlwright.serving.problems import Problem
from mlwright.serving.protocols.predict import doors
from mlwright.serving.request import Reply, Request
from mlwright.serving.runtime.native import NativeRuntime
from mlwright.serving.served import Served, load
from mlwright.versioning.signatures import Column, Signature, signature_from
from tests.sdk import natives
from tests.serving.conftest import VERSION, changed, small_signature

NUMBER = Column("a", "number")
MIXED = (
    NUMBER,
    Column("b", "integer"),
    Column("c", "boolean"),
    Column("d", "string"),
    Column("e", "number", nullable=True),
    Column("f", "integer", nullable=True),
    Column("g", "boolean", nullable=True),
    Column("h", "string", nullable=True),
)
EXAMPLE = {"a": 1.5, "b": 2, "c": True, "d": "x", "e": None, "f": None, "g": None, "h": None}


class Answers:
    """A model that keeps the table it is given, and answers what it is told to."""

    def __init__(self, *values: Any) -> None:
        self.values: Any = np.array(values)
        self.table = pd.DataFrame()

    def predict(self, table: pd.DataFrame) -> Any:
        self.table = table
        return self.values


class Raises:
    def predict(self, table: pd.DataFrame) -> Any:
        raise ValueError("I know no such thing")


def spec_of(signature: Signature) -> ReplicaSpec:
    return ReplicaSpec((ModelSpec("m@1", VERSION, "sklearn", "/nowhere", signature),))


def served_of(model: Any, *inputs: Column, output: Any = "yes", **example: Any) -> Served:
    signature = small_signature(*inputs, example=example, output=output)
    spec = spec_of(replace(signature, probabilities=hasattr(model, "predict_proba")))
    return Served(spec.models[0], spec, NativeRuntime(model, spec.models[0].signature), ThreadPoolExecutor(1))


def loaded(spec: ReplicaSpec, scratch: Path) -> Served:
    return load(spec.models[0], spec, NativeRuntime.load, scratch, ThreadPoolExecutor(1))


def answer(served: Served, body: bytes, query: str = "") -> Any:
    """What a request is answered, parsed."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def ask() -> Reply:
        scope = {"method": "POST", "path": "/predict", "query_string": query.encode(), "headers": []}
        return await doors(served).endpoint(Request(scope, receive))

    told = asyncio.run(ask()).body
    assert isinstance(told, bytes)
    return json.loads(told)


def rows(*values: dict[str, Any]) -> bytes:
    return json.dumps({"rows": values}).encode()


def test_the_table_has_the_types_of_the_signature() -> None:
    """Whether a column is there or null in this request, it has the type that the model was fitted on."""
    model = Answers("yes")
    served = served_of(model, *MIXED, **EXAMPLE)
    text = str(pd.Series(["text"]).dtype)

    for values in ({}, {"e": 1, "f": 2, "g": False, "h": "y"}):
        answer(served, rows(EXAMPLE | values))

        types = [str(kind) for kind in model.table.dtypes]
        assert types == ["float64", "int64", "bool", text, "float64", "Int64", "boolean", text]
        assert list(model.table.columns) == list(EXAMPLE)


def test_null_is_a_missing_value() -> None:
    """The model sees nulls as pandas keeps missing values, in each type."""
    model = Answers("yes")
    served = served_of(model, *MIXED, **EXAMPLE)

    answer(served, rows(EXAMPLE))

    assert list(model.table.isna().iloc[0]) == [False] * 4 + [True] * 4


def test_a_table_of_numbers_keeps_every_digit() -> None:
    """The way that only tables of numbers take changes no value, and a null in it is NaN."""
    model = Answers("yes", "yes")
    served = served_of(model, NUMBER, Column("e", "number", nullable=True), a=1, e=1)

    answer(served, rows({"a": 0.1, "e": None}, {"e": 1e-300, "a": 3}))

    assert model.table["a"].tolist() == [0.1, 3.0]
    assert math.isnan(model.table["e"][0])
    assert model.table["e"][1] == 1e-300


@pytest.mark.parametrize(
    ("values", "plain"),
    [
        (np.array([1, 2]), [1, 2]),
        (np.array([True, False]), [True, False]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([0.5, 1.0], dtype="float32"), [0.5, 1.0]),
        (np.array(["a", np.int64(1)], dtype=object), ["a", 1]),
        ([np.str_("a"), np.float64(1)], ["a", 1.0]),
        (pd.Series(["a", "b"]), ["a", "b"]),
    ],
)
def test_answers_are_plain_values(values: Any, plain: list[Any]) -> None:
    """Whatever type a model answers with, JSON can say it."""
    model = Answers()
    model.values = values
    served = served_of(model, NUMBER, a=1)

    given = answer(served, rows({"a": 1}, {"a": 2}))

    assert given["predictions"] == plain


@pytest.mark.parametrize(("classes", "keys"), [([0, 1], ["0", "1"]), ([False, True], ["false", "true"])])
def test_a_class_that_is_no_text_is_named_as_json_writes_it(classes: list[Any], keys: list[str]) -> None:
    """Probabilities are keyed by the class, whatever its type."""
    table = pd.DataFrame({"a": [1.0, 2.0]})
    served = served_of(DecisionTreeClassifier().fit(table, classes), NUMBER, a=1)

    given = answer(served, rows({"a": 2}), "proba=1")

    assert given["probabilities"] == [dict(zip(keys, [0.0, 1.0], strict=True))]
    assert given["predictions"] == [classes[1]]


def test_a_pipeline_with_text_and_holes_answers_as_it_does_directly(
    make_spec: Callable[..., ReplicaSpec], tmp_path: Path
) -> None:
    """Categories and missing values reach a fitted scikit-learn pipeline as they did in training."""
    table = pd.DataFrame(
        {"ward": ["a", "b", "c", "a"] * 5, "age": [30.0, None, 50.0, 60.0] * 5, "visits": range(20)}
    )
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["ward"]), remainder="passthrough"
    )
    model = make_pipeline(encode, SimpleImputer(), RandomForestClassifier(n_estimators=10, random_state=0))
    model.fit(table, table["visits"] > 9)
    served = loaded(make_spec(model, table), tmp_path)

    given = answer(served, table.to_json(orient="records").join(['{"rows":', "}"]).encode())

    assert given["predictions"] == model.predict(table).tolist()


def test_numbers_are_proven_up_to_rounding(
    make_spec: Callable[..., ReplicaSpec], frame: pd.DataFrame, tmp_path: Path
) -> None:
    """A last digit that another processor rounds differently does not keep a model from being ready."""
    model = RandomForestRegressor(n_estimators=3, random_state=0).fit(frame, frame["mean area"])
    spec = make_spec(model, frame)
    example = spec.models[0].signature.example
    nearly = replace(example, output=example.output * (1 + 1e-12))
    wrong = replace(example, output=example.output * 1.001)

    loaded(changed(spec, signature=replace(spec.models[0].signature, example=nearly)), tmp_path)

    with pytest.raises(Incompatible, match="the pipeline recorded"):
        loaded(changed(spec, signature=replace(spec.models[0].signature, example=wrong)), tmp_path)


def test_a_wrong_answer_to_the_example_is_told() -> None:
    """The message says what the model answers and what was recorded."""
    served = served_of(Answers("no"), NUMBER, a=1)

    with pytest.raises(Incompatible) as caught:
        served.prove()

    assert caught.value.message == "m@1 answers its example with 'no', the pipeline recorded 'yes'"


@pytest.mark.parametrize(
    ("model", "example", "said"),
    [
        (Answers("yes"), {"a": "text"}, "row 0: `a` must be a number"),
        (Answers("yes"), {}, "row 0: `a` is missing"),
        (Raises(), {"a": 1}, "the model failed: ValueError: I know no such thing"),
    ],
)
def test_an_example_that_cannot_be_answered_is_told(model: Any, example: dict[str, Any], said: str) -> None:
    """A model whose own example does not fit is not ready either, and says why."""
    served = served_of(model, NUMBER, **example)

    with pytest.raises(Incompatible) as caught:
        served.prove()

    assert caught.value.message.startswith(f"m@1 cannot answer its own example: {said}")


def test_a_model_that_raises_is_not_the_clients_mistake() -> None:
    """A request that fits the signature, and that the model fails on, ends in a 500 with its words."""
    served = served_of(Raises(), NUMBER, a=1)

    with pytest.raises(Problem) as caught:
        answer(served, rows({"a": 1}))

    assert caught.value.http_status == 500
    assert caught.value.message == "the model failed: ValueError: I know no such thing"


def test_a_file_that_is_no_model_is_told(spec: ReplicaSpec, tmp_path: Path) -> None:
    """Bytes that the codec cannot read fail with the model's name, not with a traceback."""
    (tmp_path / "object").write_bytes(b"not a model")

    with pytest.raises(WorkFailed, match=r"^diagnosis@1 cannot be loaded: "):
        loaded(changed(spec, path=str(tmp_path / "object")), tmp_path)


BOOSTED: dict[str, Callable[[], Any]] = {
    "xgboost": natives.xgboost_,
    "xgboost, three classes": lambda: natives.xgboost_(target=natives.classes(3)),
    "xgboost, numbers": lambda: natives.xgboost_("XGBRegressor", natives.table()["bmi"]),
    "lightgbm": natives.lightgbm_,
    "lightgbm, three classes": lambda: natives.lightgbm_(target=natives.names(3)),
    "lightgbm, without names": lambda: natives.lightgbm_(on=natives.table().to_numpy()),
    "lightgbm, a booster": natives.lightgbm_booster,
    "catboost": natives.catboost_,
    "catboost, three classes": lambda: natives.catboost_(target=natives.names(3), loss_function="MultiClass"),
    "catboost, numbers": lambda: natives.catboost_("CatBoostRegressor", natives.table()["bmi"]),
}


@pytest.mark.parametrize("make", BOOSTED.values(), ids=BOOSTED)
def test_boosted_trees_answer_as_they_did_in_the_pipeline(make: Callable[[], Any], tmp_path: Path) -> None:
    """Whatever the library: signed, stored, loaded, proven; the same answers and probabilities by class."""
    model, table = make(), natives.table()
    codec = next(codecs_for(model))
    codec.encode(model, tmp_path / "object")
    signed = signature_from(json.loads(json.dumps(signature(model, table))))
    spec = ReplicaSpec((ModelSpec("m@1", VERSION, codec.name, str(tmp_path / "object"), signed),))
    asked = table.head(3).to_dict("records")

    served = loaded(spec, tmp_path)
    given = answer(served, rows(*asked), "proba=1" if signed.probabilities else "")

    expected = np.ravel(model.predict(table.head(3)))
    assert [str(each) for each in given["predictions"]] == [str(each) for each in expected.tolist()]
    if signed.probabilities:
        shares = [[row[str(name)] for name in model.classes_] for row in given["probabilities"]]
        np.testing.assert_allclose(shares, model.predict_proba(table.head(3)))


def test_a_bare_booster_of_xgboost_cannot_be_registered() -> None:
    """It answers no tables: said with what to train instead."""
    with pytest.raises(Invalid, match=r"an xgboost\.Booster cannot be registered") as raised:
        signature(natives.xgboost_booster(), natives.table())

    assert "XGBClassifier" in str(raised.value.hint)
