"""What training saw of each column, held against requests: what lies outside is answered, with a warning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from operator import le
from typing import Any

from msgspec import Struct

from mlwright.serving.walk import Columns
from mlwright.versioning.signatures import Column

MOST = 20
"""How many warnings one answer has."""
_LISTED = 20
_SHOWN = 40


class _Bound(Struct, frozen=True):
    """A column of which it is known what training saw: a range, or categories."""

    at: int
    column: Column
    categories: frozenset[Any] | None


class Bounds:
    """Looks whether values are such as training saw.

    Args:
        inputs: the columns of the model, in its order.
    """

    def __init__(self, inputs: Sequence[Column]) -> None:
        self._bounds = [
            _Bound(at, column, frozenset(column.categories) if column.categories is not None else None)
            for at, column in enumerate(inputs)
            if not column.closed  # such a value is refused
            and (column.categories or (column.minimum is not None and column.maximum is not None))
        ]
        ranges = [each for each in self._bounds if each.categories is None and not each.column.nullable]
        self._only_ranges = len(ranges) == len(self._bounds)
        self._at = [each.at for each in ranges]
        self._lows: list[Any] = [each.column.minimum for each in ranges]
        self._highs: list[Any] = [each.column.maximum for each in ranges]

    def warnings(self, columns: Columns) -> list[str]:
        """What lies outside, in words; for each column the first row, and how many more there are.

        Args:
            columns: values that the signature takes, one list for each input.
        """
        if self._only_ranges and columns and len(columns[0]) == 1 and self._in_range(columns):
            return []
        return list(islice(self._found(columns), MOST))

    def _in_range(self, columns: Columns) -> bool:
        """Whether the only row lies in all ranges; nearly every request is such a row."""
        row = [columns[at][0] for at in self._at]
        return all(map(le, self._lows, row)) and all(map(le, row, self._highs))

    def _found(self, columns: Columns) -> Iterator[str]:
        for bound in self._bounds:
            values = columns[bound.at]
            if _inside(bound, values):
                continue
            outside = [row for row, value in enumerate(values) if not _inside(bound, (value,))]
            first, more = outside[0], len(outside) - 1
            others = f" (and {more:,} more)" if more else ""
            yield f"row {first}{others}: {_said(bound.column, values[first])}"


def _inside(bound: _Bound, values: Sequence[Any]) -> bool:
    if bound.categories is not None:
        return bound.categories.issuperset(value for value in values if value is not None)
    low, high = bound.column.minimum, bound.column.maximum
    assert low is not None
    assert high is not None
    if bound.column.nullable:
        return all(value is None or low <= value <= high for value in values)
    return bool(low <= min(values) and max(values) <= high)


def _said(column: Column, value: Any) -> str:
    if column.categories is None:
        return f"`{column.name}` is {value:g}, and training saw {column.minimum:g} to {column.maximum:g}"
    shown = value if len(value) <= _SHOWN else value[: _SHOWN - 3] + "..."
    few = len(column.categories) <= _LISTED
    saw = ", ".join(map(str, column.categories)) if few else f"{len(column.categories):,} others"
    return f"`{column.name}` is {shown!r}, and training saw {saw}"
