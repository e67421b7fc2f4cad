"""What a model file from outside holds: it is decoded by its codec, and looked at."""

from __future__ import annotations

from typing import Any

from mlwright.sdk.codecs import codecs_for
from mlwright.sdk.types import type_name

LOOK_STEP = "mlwright.sdk.brought:look"


def look(model: Any) -> dict[str, Any]:
    """The type of a model and what its codec tells of it.

    Args:
        model: as it was decoded.

    Returns:
        `type`, `about`, and `predicts`: whether it can be asked about a table.
    """
    codec = next(codecs_for(model), None)
    return {
        "type": type_name(type(model)),
        "about": {} if codec is None else codec.describe(model),
        "predicts": hasattr(model, "predict"),
    }
