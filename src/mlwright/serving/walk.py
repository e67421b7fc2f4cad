"""What a request may hold, spelled out: takes a parsed request, or says everything that is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from mlwright.kernel.errors import nearest
from mlwright.serving.problems import MAX_FAULTS, Fault, Problem
from mlwright.versioning.signatures import Column

Columns = Sequence[Sequence[Any]]
"""One sequence for each input of the signature, in its order, all of the same length (rows)."""


class Rows(Sequence[Sequence[Any]]):
    """Columns that came as rows, and are turned when they are looked at, or joined with those of others.

    Args:
        rows: at least one; each with a value for each column.
    """

    __slots__ = ("rows",)

    def __init__(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows[0])

    def __getitem__(self, place: Any) -> Any:
        return [row[place] for row in self.rows]


INT64 = (-(2**63), 2**63 - 1)
_ROWS, _COLUMNS = "rows", "columns"
_SHOWN = 40
_LISTED = 20
"""More categories than these are counted."""
_WANTED = {"number": "a number", "integer": "an integer", "boolean": "true or false", "string": "a string"}


class _Wrong(Exception):
    """A value is not what its column takes."""


class Walk:
    """Goes through a parsed request value by value.

    Args:
        inputs: the columns of the model, in its order.
        max_rows: how many rows one request may hold.
        ignore_unknown: whether fields that are no columns are passed over; else they are refused.
    """

    def __init__(self, inputs: Sequence[Column], max_rows: int, *, ignore_unknown: bool = False) -> None:
        self._ignores = ignore_unknown
        self._inputs = inputs
        self._names = {column.name for column in inputs}
        self._max_rows = max_rows

    def columns(self, request: Any) -> Columns:
        """The request's values, by column.

        Args:
            request: any parsed JSON value; numbers may be NaN or infinite, which is refused by name.

        Raises:
            Problem: 422, with up to `MAX_FAULTS` faults.
        """
        taken: list[list[Any]] = [[] for _ in self._inputs]
        faults = list(islice(self._faults(request, taken), MAX_FAULTS))
        if faults:
            raise Problem(422, faults=faults)
        return taken

    def _faults(self, request: Any, taken: list[list[Any]]) -> Iterator[Fault]:
        """Fill `taken`, and tell what is wrong on the way."""
        if not isinstance(request, dict):
            yield Fault(f"must be an object with `rows` or `columns`, not {told_value(request)}")
            return
        unknown = [name for name in request if name not in (_ROWS, _COLUMNS)]
        for name in unknown:
            yield Fault("is not known here: write `rows` or `columns`", field=shown_text(name))
        if _ROWS in request and _COLUMNS in request:
            yield Fault("must hold either `rows` or `columns`, not both")
        elif _ROWS in request:
            yield from self._faults_of_rows(request[_ROWS], taken)
        elif _COLUMNS in request:
            yield from self._faults_of_columns(request[_COLUMNS], taken)
        elif not unknown:
            yield Fault("must hold `rows` or `columns`")

    def _faults_of_rows(self, rows: Any, taken: Columns) -> Iterator[Fault]:
        if fault := self._wrong_list(rows, _ROWS):
            yield fault
            return
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                yield Fault(
                    f"must be an object with a value for each column, not {told_value(row)}", row=index
                )
                continue
            yield from self._unknown(row, index)
            for column, values in zip(self._inputs, taken, strict=True):
                if column.name not in row:
                    yield Fault("is missing", index, column.name)
                    continue
                try:
                    values.append(_read(column, row[column.name]))  # type: ignore[attr-defined]
                except _Wrong as wrong:
                    yield Fault(str(wrong), index, column.name)

    def _faults_of_columns(self, columns: Any, taken: Columns) -> Iterator[Fault]:
        if not isinstance(columns, dict):
            yield Fault(
                f"must be an object with a list for each column, not {told_value(columns)}", field=_COLUMNS
            )
            return
        yield from self._unknown(columns, None)
        rows: int | None = None
        for column, values in zip(self._inputs, taken, strict=True):
            if column.name not in columns:
                yield Fault("is missing", field=column.name)
                continue
            given = columns[column.name]
            if fault := self._wrong_list(given, column.name):
                yield fault
                continue
            rows = len(given) if rows is None else rows
            if len(given) != rows:
                yield Fault(f"has {len(given)} values, and the columns before it {rows}", field=column.name)
                continue
            yield from faults_of_values(column, given, values)  # type: ignore[arg-type]

    def _wrong_list(self, value: Any, field: str) -> Fault | None:
        if not isinstance(value, list):
            return Fault(f"must be a list, not {told_value(value)}", field=field)
        if not value:
            return Fault("must hold at least one row", field=field)
        if len(value) > self._max_rows:
            return Fault(
                f"holds {len(value)} rows, and one request may ask for {self._max_rows}", field=field
            )
        return None

    def _unknown(self, given: dict[str, Any], row: int | None) -> Iterator[Fault]:
        for name in () if self._ignores else given:
            if name not in self._names:
                yield unknown_column(name, self._names, row)


def unknown_column(name: str, names: Collection[str], row: int | None) -> Fault:
    """That a request holds a column which the model does not have.

    Args:
        names: of the columns that it has.
        row: where it stands; None in all of them.
    """
    hint = nearest(name, list(names)) if len(name) <= _SHOWN else ""
    hint = f": {hint}" if hint.startswith("did") else ""
    return Fault(f"is not a column of this model{hint}", row, shown_text(name))


def faults_of_values(column: Column, given: Iterable[Any], taken: list[Any]) -> Iterator[Fault]:
    """Read the values of one column, and tell what is wrong on the way.

    Args:
        given: plain values, None for one that is missing.
        taken: gets the values as the model takes them.
    """
    for row, value in enumerate(given):
        try:
            taken.append(_read(column, value))
        except _Wrong as wrong:
            yield Fault(str(wrong), row, column.name)


def _read(column: Column, value: Any) -> Any:
    """The value as the model takes it.

    Raises:
        _Wrong: with what it must be.
    """
    if value is None and column.nullable:
        return None
    try:
        read = _READERS[column.type](value)
    except TypeError:
        wanted = _WANTED[column.type] + (" or null" if column.nullable else "")
        raise _Wrong(f"must be {wanted}, not {told_value(value)}") from None
    if column.closed and read not in (column.categories or ()):
        raise _Wrong(f"must be {_one_of(column)}, not {told_value(value)}")
    return read


def _one_of(column: Column) -> str:
    """The categories of a column, if they are few."""
    categories = column.categories or ()
    if len(categories) > _LISTED:
        return f"one of the {len(categories):,} categories of this column"
    return "one of " + ", ".join(shown_text(str(each)) for each in categories)


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isnan(number):
        raise _Wrong("must be a finite number, not NaN")
    if math.isinf(number):
        raise _Wrong("must be a finite number, at most 1.8e308")
    return number


def _integer(value: Any) -> int:
    number = _number(value)
    integer = value if type(value) is int else int(number)
    if integer != value:
        raise TypeError
    if not INT64[0] <= integer <= INT64[1]:
        raise _Wrong("must be an integer of 64 bits")
    return integer


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


def _string(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Wrong("must be Unicode text, and holds half of a surrogate pair") from None
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "string": _string,
}


def told_value(value: Any) -> str:
    """A value as a message names it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return f"the number {value!r}"
        case int():
            return "a number" if abs(value) > INT64[1] else f"the number {value}"
        case str():
            return f'the string "{shown_text(value)}"'
        case list():
            return "a list"
    return "an object"


def shown_text(text: str) -> str:
    """Text from a request, short, and such that every JSON reader takes it."""
    short = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return short.encode(errors="replace").decode()
