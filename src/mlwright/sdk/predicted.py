"""Predictions over a part of a dataset: the columns that they add, in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlwright.sdk.rows import plain

PREDICTION, PROBABILITY = "prediction", "probability_"
"""The column of a table with the predictions, and what the names of those of probabilities begin with."""
KINDS = frozenset({"number", "integer", "boolean", "string"})
"""What a column may hold; an answer of another kind is written as its JSON."""


def kinds_of(output: Mapping[str, Any], *, proba: bool) -> dict[str, str]:
    """The columns that predictions add, and what each holds.

    Args:
        output: of the model's signature.
    """
    kind = output["type"]
    found: dict[str, str] = {PREDICTION: kind if kind in KINDS else "string"}
    if proba:
        for each in output.get("classes") or ():
            found[PROBABILITY + (each if isinstance(each, str) else json.dumps(each))] = "number"
    return found


def write_predictions(labels: Any, shares: Any | None, output: Mapping[str, Any]) -> Path:
    """A file of JSON in this folder: the new columns, by name.

    Args:
        labels: shape (rows,), what the model answered.
        shares: shape (rows, classes); None where they were not asked for.
        output: of the model's signature.
    """
    told = plain(labels)
    if output["type"] not in KINDS:
        told = [json.dumps(each, ensure_ascii=False) for each in told]
    made: dict[str, Any] = {PREDICTION: told}
    if shares is not None:
        names = [name for name in kinds_of(output, proba=True) if name != PREDICTION]
        made |= dict(zip(names, zip(*plain(shares), strict=True), strict=True))
    path = Path("predictions.json")
    path.write_text(json.dumps(made, separators=(",", ":")), encoding="utf-8")
    return path
