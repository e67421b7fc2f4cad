"""Requests held against a signature, which is compiled once into a type that msgspec decodes.

What the compiled type takes is right, and costs microseconds. What it does not take is walked through value
by value: to name the row and the field, to see NaN, which no JSON has, and for what JSON leaves open (`5.0`
is an integer). The walk has the last word; `tests/serving/test_validation.py` holds the two together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from types import GenericAlias
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import astuple

from mlwright.serving.checked import Checker
from mlwright.serving.problems import Problem
from mlwright.serving.walk import INT64, Columns, Rows, Walk
from mlwright.versioning.signatures import Column

_TYPES: dict[str, Any] = {
    "number": float,
    "integer": Annotated[int, Meta(ge=INT64[0], le=INT64[1])],
    "boolean": bool,
    "string": str,
}
_MAX_DIGITS = 400
"""A longer integer is beyond every float, and takes quadratic time to read."""


class Validator:
    """Takes `{"rows": [{...}, ...]}` or `{"columns": {"a": [...], ...}}`.

    Args:
        inputs: the columns of the model, in its order.
        max_rows: how many rows one request may hold.
        ignore_unknown: whether fields that are no columns are passed over; else they are refused.
    """

    def __init__(self, inputs: Sequence[Column], max_rows: int, *, ignore_unknown: bool = False) -> None:
        self._walk = Walk(inputs, max_rows, ignore_unknown=ignore_unknown)
        self._decoder = _compiled(inputs, _type_of, max_rows, ignore_unknown)
        self._inside = _compiled(inputs, _seen_type_of, max_rows, ignore_unknown)
        checker = Checker(inputs, max_rows, ignore_unknown=ignore_unknown)
        self.placed, self.named, self.checked = checker.placed, checker.named, checker.checked

    def columns(self, body: bytes) -> Columns:
        """The values of a request, by column.

        Args:
            body: as it arrived.

        Raises:
            Problem: 400 for what is not JSON, 422 for everything else that is wrong.
        """
        if self._decoder is not None:
            try:
                taken = _taken(self._decoder.decode(body))
            except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
                taken = None
            if taken is not None:
                return taken
        return self._walked(body)

    def inside(self, body: bytes) -> Columns | None:
        """The values of a request, if all of them are such as training saw.

        Args:
            body: as for `columns`.

        Returns:
            None if one is not, or cannot be taken; or if this cannot be told at once.
        """
        if self._inside is None:
            return None
        try:
            request = self._inside.decode(body)
        except (ValueError, RecursionError):
            return None
        if request.rows is UNSET or request.columns is not UNSET:
            return None
        return Rows([*map(astuple, request.rows)])

    def _walked(self, body: bytes) -> Columns:
        try:
            return self._walk.columns(msgspec.json.decode(body))
        except RecursionError:
            raise Problem(400, "the body is JSON that is nested too deeply") from None
        except ValueError as error:
            refused = str(error)
        self._walk.columns(json_as_python_reads_it(body))  # to name the place of what JSON does not have
        raise _not_json(refused)


def json_as_python_reads_it(body: bytes) -> Any:
    """The body as Python reads it: with NaN, infinities and numbers of any size.

    Raises:
        Problem: 400, it is not JSON even so.
    """
    try:
        return json.loads(body.decode(), parse_int=_parsed_integer)
    except RecursionError:
        raise Problem(400, "the body is JSON that is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise _not_json(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _not_json(f"{error.msg} at line {error.lineno}, column {error.colno}") from None


def _not_json(why: str) -> Problem:
    return Problem(400, f"the body is not JSON: {why}")


def _parsed_integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _compiled(
    inputs: Sequence[Column], type_of: Callable[[Column], Any], max_rows: int, ignore_unknown: bool
) -> msgspec.json.Decoder[Any] | None:
    """The signature as a type; None where msgspec cannot tell: a name with quotes, categories of numbers.

    Args:
        type_of: the type of a column's values; raises `ValueError` if there is none.
    """
    size = Meta(min_length=1, max_length=max_rows)
    try:
        attributes = [f"c{index}" for index in range(len(inputs))]
        names = {attribute: column.name for attribute, column in zip(attributes, inputs, strict=True)}
        types: list[Any] = [type_of(column) for column in inputs]
        types = [kind | None if column.nullable else kind for column, kind in zip(inputs, types, strict=True)]
        row: Any = _struct("Row", zip(attributes, types, strict=True), names, ignore_unknown)
        lists = [Annotated[GenericAlias(list, kind), size] for kind in types]
        columns: Any = _struct("Columns", zip(attributes, lists, strict=True), names, ignore_unknown)
    except ValueError:
        return None
    rows: Any = Annotated[list[row], size]
    request = msgspec.defstruct(
        "Request",
        [("rows", rows | UnsetType, UNSET), ("columns", columns | UnsetType, UNSET)],
        forbid_unknown_fields=True,
    )
    return msgspec.json.Decoder(request)


def _type_of(column: Column) -> Any:
    """The type of a column's values; of a closed one, its categories.

    Raises:
        ValueError: categories that are no literals: only the walk can hold values against them.
    """
    if not column.closed:
        return _TYPES[column.type]
    if column.type not in {"string", "integer"} or not column.categories:
        raise ValueError(column.type)
    return Literal[column.categories]


def _seen_type_of(column: Column) -> Any:
    """The type of such values of a column as training saw.

    Raises:
        ValueError: as `_type_of`; and for texts.
    """
    kind = _type_of(column)
    if column.closed or column.type == "boolean":
        return kind
    if column.minimum is None or column.maximum is None or column.categories:
        raise ValueError(column.type)
    if column.type == "number":
        return Annotated[float, Meta(ge=column.minimum, le=column.maximum)]
    return Annotated[int, Meta(ge=math.ceil(column.minimum), le=math.floor(column.maximum))]


def _struct(
    name: str, fields: Iterable[tuple[str, Any]], names: dict[str, str], ignore_unknown: bool
) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, fields, rename=names, forbid_unknown_fields=not ignore_unknown, gc=False)


def _taken(request: Any) -> Columns | None:
    """The columns of a decoded request; None when it is not quite right after all."""
    rows, columns = request.rows, request.columns
    if rows is not UNSET and columns is UNSET:
        return list(zip(*map(astuple, rows), strict=True))
    if columns is not UNSET and rows is UNSET:
        taken = list(astuple(columns))
        if len({len(values) for values in taken}) == 1:
            return taken
    return None
