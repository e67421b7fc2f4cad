"""Values of ours that JSON has no word for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlwright.kernel.errors import MlwrightError


def plain(value: Any) -> Any:
    """What an encoder writes instead: of a path its text, of an error what it would say.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, MlwrightError):
        return {"message": value.message, "where": value.where, "hint": value.hint}
    raise TypeError(f"{type(value).__name__} cannot be told in JSON")
