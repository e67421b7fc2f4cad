"""The step behind every `register`: what a model takes and gives, read from what it is asked with.

That is a table; or, of a model that was fitted on an array or on texts, or that a predictor of the project
answers with, whatever these take (`mlwright.sdk.by_name`).

Ranges and categories are those of the table that the model was trained on, where that is known. The model
is also asked about the example (its first row), and the answer recorded, so that a server can prove that it
answers as the pipeline did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.by_name import answer_of, are_texts, is_array, of_estimator, of_predictor, type_of
from mlwright.sdk.codecs import codec_named, codecs_for
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.predictors import Predictor, find_predictor, interface_of
from mlwright.sdk.rows import one_each, plain, table_maker
from mlwright.sdk.types import type_name, with_article
from mlwright.sdk.values import json_of

SIGNATURE_STEP = "mlwright.sdk.signature:signature"
DOCS = "docs/predictors.md"
ANSWER_STEP = "mlwright.sdk.signature:answer"

_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "O": "string", "U": "string"}
_MAX_CATEGORIES = 100


def signature(
    model: Any,
    example: Any = None,
    training: Mapping[str, Any] | None = None,
    predictor: str = "",
) -> dict[str, Any]:
    """The signature of a model that has `predict`, or that a predictor answers with.

    Args:
        model: an estimator fitted on a table with named columns, on an array, or on texts; of a predictor
            whatever it loads.
        example: a pandas DataFrame with at least one row and every column the model takes; or a dataset that
            is such a table; an array, a list of texts; of a predictor a value for each of its parameters, by
            name. Where none is given, the table of the training is one.
        training: what the model's step was given, by argument. Of these the first table with all columns of
            the model says what training saw; the example does, where there is none.
        predictor: `module:Class`, a class of the project that answers; see `mlwright.sdk.predictors`.

    Returns:
        `inputs` (name, type, minimum and maximum or categories of each column, in the model's order), or
        `named` (what is given by name), `output` (type, classes), `probabilities`, and `example` (a row, or
        what was given by name, and the model's answer).

    Raises:
        Invalid: the model cannot predict, or the example does not fit it.
    """
    if predictor:
        return _of_predictor(predictor, model, example, training or {})
    if isinstance(model, Mapping) and next(codecs_for(model), None) is codec_named("torch"):
        raise Invalid(
            "a state dict of torch is weights, which alone cannot answer: it needs a predictor",
            hint="write a class whose `load` builds the network and gives it the weights, and register it"
            f" with that: register(..., predictor=CLASS), or --predictor module:CLASS ({DOCS})",
        )
    if not hasattr(model, "predict"):
        raise Invalid(
            f"{with_article(type(model).__name__)} cannot be registered: it has no predict method",
            hint=f"write a predictor, a class with `load(self, model)` and `predict(self, ...)`: {DOCS}",
        )
    if type_name(type(model)) == "xgboost.Booster":
        raise Invalid(
            "an xgboost.Booster cannot be registered: it answers a DMatrix, and no table",
            hint="train an xgboost.XGBClassifier or XGBRegressor",
        )
    example = _asked_with(training or {}, model) if example is None else _table(example)
    if is_array(example) or are_texts(example):
        return of_estimator(model, example)
    if not hasattr(example, "columns") or not len(example):
        raise Invalid(
            "the example must be a table with at least one row, an array of two dimensions or more, or texts"
        )
    features = _features(model, [str(name) for name in example.columns])
    missing = [name for name in features if name not in example.columns]
    if missing:
        raise Invalid(f"the example lacks columns the model was fitted with: {', '.join(missing[:5])}")
    saw = training_table(features, training or {})
    inputs = [_column(name, example[name], None if saw is None else saw[name]) for name in features]
    row = example[features].iloc[[0]]
    said = one_each(model.predict(row))[0]
    if getattr(said, "ndim", 0):
        raise Invalid(
            f"{with_article(type(model).__name__)} answers one row with {len(said)} values: one is what a"
            " version answers with",
            hint="register an estimator that answers the class, as LGBMClassifier does; or with a predictor",
        )
    classes = [_plain(each) for each in model.classes_] if hasattr(model, "classes_") else []
    return {
        "inputs": inputs,
        "output": {"type": _kind(said), "classes": classes or None},
        "probabilities": hasattr(model, "predict_proba"),
        "example": {
            "input": {name: _cell(row[name].iloc[0]) for name in features},
            "output": _plain(said),
        },
    }


@dataclass(frozen=True)
class Asked:
    """A column of a recorded signature."""

    name: str
    type: str
    nullable: bool = False
    closed: bool = False
    categories: list[Any] | None = None
    minimum: float | None = None
    maximum: float | None = None


def answer(model: Any, signature: Mapping[str, Any]) -> Any:
    """What a model answers the example of its signature with, as a plain value.

    Args:
        model: as it was stored.
        signature: as `signature` told it.
    """
    if signature.get("named"):
        return answer_of(model, signature)
    inputs = [Asked(**column) for column in signature["inputs"]]
    row = signature["example"]["input"]
    table = table_maker(inputs)([[row[column.name]] for column in inputs])
    if address := signature.get("predictor", ""):
        return json_of(Predictor(find_predictor(address), model).of_table(table)[0])
    return plain(one_each(model.predict(table)))[0]


def _of_predictor(address: str, model: Any, example: Any, training: Mapping[str, Any]) -> dict[str, Any]:
    """The signature of a predictor; one that takes a table is asked about the first row of one.

    Raises:
        Invalid: it is no predictor, or the example does not fit it.
    """
    interface = interface_of(find_predictor(address))
    if not interface.table:
        if example is None:
            raise Invalid(
                f"a predictor is shown an example, and {address} has none", hint="name one: example=..."
            )
        return of_predictor(address, model, example)
    table = _asked_with(training, model) if example is None else _table(example)
    if not hasattr(table, "columns") or not len(table):
        raise Invalid(f"{address} takes a table: the example must be one, with at least one row")
    names = [str(name) for name in table.columns]
    saw = training_table(names, training)
    row = table.iloc[[0]]
    said = json_of(Predictor(find_predictor(address), model).of_table(row)[0])
    return {
        "inputs": [_column(name, table[name], None if saw is None else saw[name]) for name in names],
        "output": {"type": type_of(said)},
        "probabilities": False,
        "example": {"input": {name: _cell(row[name].iloc[0]) for name in names}, "output": said},
        "predictor": address,
    }


def _table(example: Any) -> Any:
    """A table as pandas has it."""
    if isinstance(example, Dataset):
        example = example.table()
    return example.to_pandas() if hasattr(example, "to_pandas") else example


def _asked_with(training: Mapping[str, Any], model: Any) -> Any:
    """The first table that a model can be asked with, else the first array; None if there is none."""
    tables = [each for each in map(_table, training.values()) if hasattr(each, "columns") and len(each)]
    fitting = [each for each in tables if set(_features(model, [*map(str, each.columns)])) <= {*each.columns}]
    wide = getattr(model, "n_features_in_", None)
    arrays = [each for each in training.values() if is_array(each) and each.shape[1] == wide]
    return next(iter([*fitting, *arrays]), None)


def training_table(features: list[str], training: Mapping[str, Any]) -> Any:
    """The first table among what a step was given that has all columns and a row; None if none has."""
    for given in training.values():
        names = getattr(given, "column_names", getattr(given, "columns", None))  # of Arrow, names
        if names is not None and len(given) and set(features) <= {str(name) for name in names}:
            return _table(given)
    return None


def _features(model: Any, columns: list[str]) -> list[str]:
    """The columns that a model takes, in its order: those it was fitted with, or all of the example."""
    told = getattr(model, "feature_names_in_", None)
    if told is None:  # CatBoost numbers them if it was given none
        told = getattr(model, "feature_names_", None)
        if told is None and callable(names := getattr(model, "feature_name", None)):
            told = names()  # LightGBM's Booster
        return [str(name) for name in told] if told is not None and set(told) <= set(columns) else columns
    spaced = {name.replace(" ", "_"): name for name in columns}  # so LightGBM writes them
    return [str(name) if str(name) in columns else spaced.get(str(name), str(name)) for name in told]


def _column(name: str, values: Any, trained: Any) -> dict[str, Any]:
    """What is told of a column, whose values are of the example, and, if that is known, of the training."""
    nullable = bool(values.isna().any())
    if trained is not None:
        nullable, values = nullable or bool(trained.isna().any()), trained
    if hasattr(values, "cat"):
        # In their order, and also those that no row has: the model knows them by their places.
        categories = [_plain(each) for each in values.cat.categories]
        kind = _KINDS.get(values.cat.categories.dtype.kind, "string")
        return {"name": name, "type": kind, "nullable": nullable, "categories": categories, "closed": True}
    kind = _KINDS.get(values.dtype.kind, "string")
    column: dict[str, Any] = {"name": name, "type": kind, "nullable": nullable}
    present = values.dropna()
    if kind in {"integer", "number"} and len(present):
        column |= {"minimum": _plain(present.min()), "maximum": _plain(present.max())}
    if kind == "string":
        categories = sorted({str(value) for value in present})
        if len(categories) <= _MAX_CATEGORIES:
            column["categories"] = categories
    return column


def _cell(value: Any) -> Any:
    """A cell as JSON has it: NaN, NaT and NA are null."""
    cell = _plain(value)
    return cell if cell is not None and (cell == cell) is True else None  # noqa: PLR0124 - NaN, NaT, NA


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _kind(value: Any) -> str:
    told = _plain(value)
    if isinstance(told, bool):
        return "boolean"
    return {int: "integer", float: "number"}.get(type(told), "string")
