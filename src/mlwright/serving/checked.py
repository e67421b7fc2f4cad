"""Columns that a protocol read from something else than our JSON, held against a signature.

What is right as a whole is taken as a whole: an array by its type and a look at all values at once, a list
by the types that occur in it. What is not is walked through value by value, so that the row and the field
are named in the same words as those of `mlwright.serving.walk`, which has the last word.

Coerced is only what loses nothing: integers of every size to numbers, numbers without a fraction to integers,
numbers of 16 and 32 bits to 64. Never text to numbers, nor numbers to true and false.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from types import NoneType
from typing import Any

from mlwright.serving.problems import MAX_FAULTS, Fault, Problem
from mlwright.serving.walk import INT64, Columns, faults_of_values, unknown_column
from mlwright.versioning.signatures import Column

_CATEGORIES_TYPES = {"string": str, "integer": int}


class Checker:
    """Holds columns against the inputs of a model.

    Args:
        inputs: the columns of the model, in its order.
        max_rows: how many rows one request may hold.
        ignore_unknown: whether columns that the model does not have are passed over; else they are refused.
    """

    def __init__(self, inputs: Sequence[Column], max_rows: int, *, ignore_unknown: bool = False) -> None:
        self._ignores = ignore_unknown
        self._inputs = inputs
        self._names = {column.name: at for at, column in enumerate(inputs)}
        self._max_rows = max_rows

    def placed(self, names: Sequence[str], *, ignore_unknown: bool | None = None) -> list[int]:
        """Where each column of the model stands among the columns of a request.

        Args:
            names: of the request's columns, in its order.
            ignore_unknown: as for all, unless it is said.

        Returns:
            An index into `names` for each input of the model.

        Raises:
            Problem: 422, columns that are unknown, missing, or there twice.
        """
        ignores = self._ignores if ignore_unknown is None else ignore_unknown
        faults = list(islice(self._misplaced(names, ignores), MAX_FAULTS))
        if faults:
            raise Problem(422, faults=faults)
        found = {name: at for at, name in enumerate(names)}
        return [found[column.name] for column in self._inputs]

    def named(self, given: Mapping[str, Sequence[Any]]) -> Columns:
        """The values of a request whose columns have names.

        Args:
            given: the values of each column; lists, tuples or one-dimensional arrays.

        Raises:
            Problem: as `placed` and `checked`.
        """
        values = list(given.values())
        return self.checked([values[at] for at in self.placed(list(given))])

    def checked(self, columns: Sequence[Sequence[Any]]) -> Columns:
        """The values of a request as the model takes them.

        Args:
            columns: the values of each input, in the order of the model: lists, tuples or one-dimensional
                NumPy arrays. None stands for a value that is missing, and so does NaN in an array.

        Returns:
            Arrays stay arrays where no value is missing, of float64, int64 or bool; all else are lists.

        Raises:
            Problem: 422, with up to `MAX_FAULTS` faults.
        """
        taken: list[Sequence[Any]] = []
        faults = list(islice(self._faults(columns, taken), MAX_FAULTS))
        if faults:
            raise Problem(422, faults=faults)
        return taken

    def _misplaced(self, names: Sequence[str], ignore_unknown: bool) -> Iterator[Fault]:
        there: set[str] = set()
        for name in names:
            if name in there:
                yield Fault("is there twice", field=name)
            there.add(name)
            if name not in self._names and not ignore_unknown:
                yield unknown_column(name, self._names, None)
        for column in self._inputs:
            if column.name not in there:
                yield Fault("is missing", field=column.name)

    def _faults(self, columns: Sequence[Sequence[Any]], taken: list[Sequence[Any]]) -> Iterator[Fault]:
        """Fill `taken`, and tell what is wrong on the way."""
        rows = len(columns[0])
        if not rows:
            yield Fault("must hold at least one row", field=self._inputs[0].name)
            return
        if rows > self._max_rows:
            yield Fault(f"holds {rows} rows, and one request may ask for {self._max_rows}")
            return
        for column, values in zip(self._inputs, columns, strict=True):
            if len(values) != rows:
                yield Fault(f"has {len(values)} values, and the columns before it {rows}", field=column.name)
                continue
            quick = _array(column, values) if hasattr(values, "dtype") else _listed(column, values)
            if quick is not None:
                taken.append(quick)
                continue
            read: list[Any] = []
            yield from faults_of_values(column, _plain(column, values), read)
            taken.append(read)


def _plain(column: Column, values: Any) -> Sequence[Any]:
    """Values as Python has them; an array of numbers has no other way than NaN to say that one is missing."""
    if not hasattr(values, "dtype"):
        return values  # type: ignore[no-any-return]
    listed: list[Any] = values.tolist()
    if column.nullable and values.dtype.kind == "f":
        return [None if math.isnan(value) else value for value in listed]
    return listed


def _array(column: Column, values: Any) -> Sequence[Any] | None:
    """An array that is right as a whole; None where each value has to be looked at."""
    if column.closed or values.ndim != 1:
        return None
    kind = values.dtype.kind
    if column.type == "boolean":
        return values if kind == "b" else None
    if kind not in "iuf" or column.type == "string":
        return None
    import numpy

    if kind == "f" and not numpy.isfinite(values).all():
        return None
    if column.type == "number" or kind == "f":
        values = values.astype("float64", copy=False)
    if column.type == "number":
        return values  # type: ignore[no-any-return]
    if kind == "f" and not ((values == numpy.floor(values)) & (abs(values) < 2.0**63)).all():
        return None
    if kind == "u" and values.dtype.itemsize == 8 and values.max() > INT64[1]:
        return None
    return values.astype("int64", copy=False)  # type: ignore[no-any-return]


def _listed(column: Column, values: Sequence[Any]) -> Sequence[Any] | None:
    """A list that is right as a whole; None where each value has to be looked at."""
    kinds = set(map(type, values))
    if column.nullable:
        kinds.discard(NoneType)
    present = values if not column.nullable else [value for value in values if value is not None]
    if column.closed:
        return values if _among(column, kinds, present) else None
    if not kinds:
        return values
    match column.type:
        case "number" if kinds == {float}:
            return values if all(map(math.isfinite, present)) else None
        case "number" if kinds == {int} and max(present) <= INT64[1] and min(present) >= INT64[0]:
            return [None if value is None else float(value) for value in values]
        case "integer" if kinds == {int} and max(present) <= INT64[1] and min(present) >= INT64[0]:
            return values
        case "boolean" if kinds == {bool}:
            return values
        case "string" if kinds == {str} and _is_unicode(present):
            return values
    return None


def _among(column: Column, kinds: Collection[type], present: Sequence[Any]) -> bool:
    """Whether all values are categories, and of their type: 1 is no category `True`."""
    wanted = _CATEGORIES_TYPES.get(column.type)
    return all(kind is wanted for kind in kinds) and set(present) <= set(column.categories or ())


def _is_unicode(values: Sequence[str]) -> bool:
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return True
