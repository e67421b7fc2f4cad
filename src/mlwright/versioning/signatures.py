"""Signatures: what a model takes and gives, so that a server can hold requests against it."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
from msgspec import Struct

from mlwright.kernel.errors import Corrupt

ColumnType = Literal["number", "integer", "boolean", "string"]


class Column(Struct, frozen=True):
    """One input: its name and type, whether it may be missing, and what training saw of it.

    Args:
        categories: the values that training saw, where they are few; all there can be, if it is `closed`.
        closed: a column of categories (pandas' `category`): no other value exists for the model.
    """

    name: str
    type: ColumnType
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[Any, ...] | None = None
    closed: bool = False


class Output(Struct, frozen=True):
    """What one row is answered with; `classes` of a classifier."""

    type: ColumnType
    classes: tuple[Any, ...] | None = None


class Example(Struct, frozen=True):
    """A row of the test data and the model's own answer to it, as the pipeline computed it."""

    input: dict[str, Any]
    output: Any


class Signature(Struct, frozen=True):
    """Inputs in the model's order, output, whether it gives probabilities, and an example."""

    inputs: tuple[Column, ...]
    output: Output
    probabilities: bool
    example: Example


_TOLERANCE = 1e-6
"""Relative; another processor may round the last digits of a number differently."""


def same_answer(given: Any, recorded: Any) -> bool:
    """Whether a model answers as it is on record: the same value, or a number that was rounded otherwise."""
    if isinstance(given, float) and isinstance(recorded, float | int):
        return math.isclose(given, recorded, rel_tol=_TOLERANCE, abs_tol=1e-12)
    return bool(given == recorded)


def signature_from(data: Any) -> Signature:
    """The signature that the signature step recorded.

    Raises:
        Corrupt: it is not one.
    """
    try:
        return msgspec.convert(data, Signature)
    except msgspec.ValidationError as error:
        raise Corrupt(f"a recorded signature cannot be read: {error}") from error
