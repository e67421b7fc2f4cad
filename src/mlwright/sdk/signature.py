"""The step behind every `register`: what a model takes and gives, read from a table it is asked with.

Ranges and categories are those of the table that the model was trained on, where that is known. The model
is also asked about the example's first row, and the answer recorded, so that a server can prove that it
answers as the pipeline did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.rows import one_each, plain, table_maker
from mlwright.sdk.types import type_name, with_article

SIGNATURE_STEP = "mlwright.sdk.signature:signature"
ANSWER_STEP = "mlwright.sdk.signature:answer"

_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "O": "string", "U": "string"}
_MAX_CATEGORIES = 100


def signature(model: Any, example: Any = None, training: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The signature of a model that has `predict`.

    Args:
        model: an estimator fitted on a table with named columns.
        example: a pandas DataFrame with at least one row and every column the model takes; or a dataset that
            is such a table. Where none is given, the table of the training is one.
        training: what the model's step was given, by argument. Of these the first table with all columns of
            the model says what training saw; the example does, where there is none.

    Returns:
        `inputs` (name, type, minimum and maximum or categories of each column, in the model's order),
        `output` (type, classes), `probabilities`, and `example` (a row and the model's answer).

    Raises:
        Invalid: the model cannot predict, or the example does not fit it.
    """
    if not hasattr(model, "predict"):
        raise Invalid(f"{with_article(type(model).__name__)} cannot be registered: it has no predict method")
    if type_name(type(model)) == "xgboost.Booster":
        raise Invalid(
            "an xgboost.Booster cannot be registered: it answers a DMatrix, and no table",
            hint="train an xgboost.XGBClassifier or XGBRegressor",
        )
    example = _a_table_of(training or {}, model) if example is None else _table(example)
    if not hasattr(example, "columns") or not len(example):
        raise Invalid("the example must be a table with at least one row")
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
            hint="register an estimator that answers the class, as LGBMClassifier does",
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
    inputs = [Asked(**column) for column in signature["inputs"]]
    row = signature["example"]["input"]
    table = table_maker(inputs)([[row[column.name]] for column in inputs])
    return plain(one_each(model.predict(table)))[0]


def _table(example: Any) -> Any:
    """A table as pandas has it."""
    if isinstance(example, Dataset):
        example = example.table()
    return example.to_pandas() if hasattr(example, "to_pandas") else example


def _a_table_of(training: Mapping[str, Any], model: Any) -> Any:
    """The first table that a model can be asked with; None if there is none."""
    tables = [each for each in map(_table, training.values()) if hasattr(each, "columns") and len(each)]
    fitting = [each for each in tables if set(_features(model, [*map(str, each.columns)])) <= {*each.columns}]
    return fitting[0] if fitting else None


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
