"""The step behind every `register`: what a model takes and gives, read from a table it is asked with.

It also asks the model about the example's first row and records the answer, so that a server can prove
that it answers as the pipeline did.
"""

from __future__ import annotations

from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.types import type_name, with_article

SIGNATURE_STEP = "mlwright.sdk.signature:signature"

_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "O": "string", "U": "string"}
_MAX_CATEGORIES = 100


def signature(model: Any, example: Any) -> dict[str, Any]:
    """The signature of a model that has `predict`.

    Args:
        model: an estimator fitted on a table with named columns.
        example: a pandas DataFrame with at least one row and every column the model takes.

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
    if hasattr(example, "to_pandas"):
        example = example.to_pandas()
    if not hasattr(example, "columns") or not len(example):
        raise Invalid("the example must be a table with at least one row")
    features = _features(model, [str(name) for name in example.columns])
    missing = [name for name in features if name not in example.columns]
    if missing:
        raise Invalid(f"the example lacks columns the model was fitted with: {', '.join(missing[:5])}")
    inputs = [_column(name, example[name]) for name in features]
    row = example[features].iloc[[0]]
    answer = model.predict(row)[0]
    classes = [_plain(each) for each in model.classes_] if hasattr(model, "classes_") else []
    return {
        "inputs": inputs,
        "output": {"type": _kind(answer), "classes": classes or None},
        "probabilities": hasattr(model, "predict_proba"),
        "example": {
            "input": {name: _plain(row[name].iloc[0]) for name in features},
            "output": _plain(answer),
        },
    }


def _features(model: Any, columns: list[str]) -> list[str]:
    """The columns that a model takes, in its order: those it was fitted with, or all of the example."""
    told = getattr(model, "feature_names_in_", None)
    if told is None:  # CatBoost numbers them if it was given none
        told = getattr(model, "feature_names_", None)
        return [str(name) for name in told] if told is not None and set(told) <= set(columns) else columns
    spaced = {name.replace(" ", "_"): name for name in columns}  # so LightGBM writes them
    return [str(name) if str(name) in columns else spaced.get(str(name), str(name)) for name in told]


def _column(name: str, values: Any) -> dict[str, Any]:
    kind = _KINDS.get(values.dtype.kind, "string")
    column: dict[str, Any] = {"name": name, "type": kind, "nullable": bool(values.isna().any())}
    present = values.dropna()
    if kind in {"integer", "number"} and len(present):
        column |= {"minimum": _plain(present.min()), "maximum": _plain(present.max())}
    if kind == "string":
        categories = sorted({str(value) for value in present})
        if len(categories) <= _MAX_CATEGORIES:
            column["categories"] = categories
    return column


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _kind(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, bool):
        return "boolean"
    return {int: "integer", float: "number"}.get(type(plain), "string")
