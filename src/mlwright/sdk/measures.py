"""What a step may report numbers and settings with: names, values, steps."""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import Any

from mlwright.kernel.errors import Invalid

MAX_NAME_CHARACTERS = 250
"""How long the name of a metric or parameter may be."""


def named(name: Any, what: str) -> str:
    """The name, if it can be kept.

    Args:
        name: what was given.
        what: is named so, for the message: `a metric`.

    Raises:
        Invalid: it is no text, is empty or too long, or has a NUL or half of a surrogate pair in it.
    """
    if not isinstance(name, str):
        raise Invalid(f"{what}'s name must be text, not {name!r}", hint='as in "auc"')
    return _looked_at(name, what)


@lru_cache(maxsize=1024)
def _looked_at(name: str, what: str) -> str:
    """Names repeat, so that each is looked at once."""
    if not name or len(name) > MAX_NAME_CHARACTERS:
        raise Invalid(
            f"{what}'s name must have 1 to {MAX_NAME_CHARACTERS} characters, not {len(name)}",
            hint="a long text can be the value of a parameter",
        )
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise Invalid(
            f"{what}'s name must be Unicode text, not {name!r}", hint="a surrogate stands alone in it"
        )
    if "\0" in name:
        raise Invalid(f"{what}'s name must be text without NUL, not {name!r}", hint="leave it out")
    return str(name)


def number(value: Any, name: str) -> float:
    """What a metric is, as a float: any real number; a scalar of NumPy or torch is taken by its value.

    Raises:
        Invalid: it is none, or beyond the largest float.
    """
    try:
        if not isinstance(value, str | bytes | bytearray | complex):
            return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # torch raises RuntimeError for a vector
        pass
    from mlwright.sdk.types import a_type

    raise Invalid(
        f"the metric {name!r} must be a number, not {a_type(type(value))}",
        hint="take one number of it, as float(value.mean()); text and other settings go to log_param",
    )


def whole(value: Any, what: str) -> int:
    """A whole number of 64 bits.

    Raises:
        Invalid: it is none.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or not -(2**63) <= number < 2**63:
        raise Invalid(f"{what} must be a whole number of 64 bits, not {value!r}", hint="as in step=3")
    return number
