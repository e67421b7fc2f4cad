"""What a table holds, column by column, without holding the table. No code of the user's runs here.

Needs pyarrow in the environment of the worker; of a file, only Arrow's own types are ever made.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

from mlwright.kernel.errors import MlwrightError
from mlwright.sdk.ranges import Range
from mlwright.sdk.sketches import Distinct, Frequent, Moments, Quantiles
from mlwright.sdk.table_files import TYPE, feed, in_our_words

_DISTINCT = 10_000
_TOGETHER_BYTES = 6 << 20
_SHOWN = 20
_SHOWN_LETTERS = 200
_DECILES = [tenth / 10 for tenth in range(1, 10)]


class _Column(Protocol):
    """Takes the cells of one column in, batch by batch."""

    def add(self, cells: Any) -> None:
        """An array."""

    def told(self) -> dict[str, Any]:
        """What it was, as JSON."""


def summarise(found: Range, form: str) -> dict[str, Any]:
    """Rows and columns of a table file.

    Args:
        found: where its bytes lie.
        form: one of the values of `FORMATS`.

    Returns:
        JSON: `rows`, and `columns` with what each of them holds; or `unreadable`: message and hint.

    Raises:
        ImportError: pyarrow is not installed.
    """
    tally = _Tally(_column_of)
    return _read(found, form, tally, lambda: {"rows": tally.rows, "columns": tally.told()})


def distribute(found: Range, form: str, bins: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """How many cells of each column lie in given bins.

    Args:
        found: where its bytes lie.
        form: one of the values of `FORMATS`.
        bins: of a column: `cuts`, ascending numbers, each the upper end of a bin that holds it; or `values`,
            texts that are a bin each. What lies in none of them is the last bin.

    Returns:
        JSON: `counts`: of each column a list, one number longer than its cuts or values; or `unreadable`.
    """

    def make(field: Any, columns: int) -> _Column:
        wanted = bins.get(field.name, {})
        if "cuts" in wanted:
            return _Cuts(wanted["cuts"])
        return _Values(wanted["values"]) if "values" in wanted else _Other()

    tally = _Tally(make)

    def told() -> dict[str, Any]:
        columns = reversed(tally.told())
        return {"counts": {each["name"]: each["counts"] for each in columns if "counts" in each}}

    return _read(found, form, tally, told)


def first(found: Range, form: str, most: int) -> dict[str, Any]:
    """The first rows of a table file, as people read them.

    Args:
        found: where its bytes lie.
        form: one of the values of `FORMATS`.
        most: so many rows.

    Returns:
        JSON: `rows`, how many there are; `columns`, with name and type; `cells`, a list of texts for each of
        the first, null for what is empty; or `unreadable`: message and hint.
    """
    head = _Head(most)
    return _read(found, form, head, head.told)


class _Head:
    """The first rows of one table; begun anew when its schema is told anew."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._columns: list[list[str]] = []
        self._cells: list[list[str | None]] = []
        self._rows = 0

    def begin(self, schema: Any) -> Callable[[Any], None]:
        self._columns = [[str(field.name)[:_SHOWN_LETTERS], _type_name(field)] for field in schema]
        self._cells, self._rows = [], 0
        return self._take

    def told(self) -> dict[str, Any]:
        return {"rows": self._rows, "columns": self._columns, "cells": self._cells}

    def _take(self, batch: Any) -> None:
        self._rows += batch.num_rows
        wanted = batch.slice(0, self._most - len(self._cells))
        columns = [wanted.column(place).to_pylist() for place in range(wanted.num_columns)]
        self._cells += [
            [None if cell is None else str(cell)[:_SHOWN_LETTERS] for cell in row]
            for row in zip(*columns, strict=True)
        ]


class _Tally:
    """The columns of one table; begun anew when its schema is told anew."""

    def __init__(self, make: Callable[[Any, int], _Column]) -> None:
        self._make = make
        self._schema: Any = None
        self._columns: list[_Column] = []
        self._waiting: list[Any] = []
        self._waiting_bytes = 0
        self.rows = 0

    def begin(self, schema: Any) -> Callable[[Any], None]:
        self._schema, self.rows, self._waiting, self._waiting_bytes = schema, 0, [], 0
        self._columns = [self._make(field, len(schema)) for field in schema]
        return self._take

    def told(self) -> list[dict[str, Any]]:
        self._add()
        return [
            {"name": field.name, "type": _type_name(field), **column.told()}
            for field, column in zip(self._schema, self._columns, strict=True)
        ]

    def _take(self, batch: Any) -> None:
        self.rows += batch.num_rows
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= _TOGETHER_BYTES:
            self._add()

    def _add(self) -> None:
        """Small batches go together: of a wide table each has a few rows only."""
        import pyarrow as pa

        batches, self._waiting, self._waiting_bytes = self._waiting, [], 0
        for at, column in enumerate(self._columns):
            arrays = [batch.column(at) for batch in batches]
            if len(arrays) > 1 and not pa.types.is_dictionary(arrays[0].type):
                arrays = [pa.concat_arrays(arrays)]
            for cells in arrays:
                column.add(cells)


def _read(
    found: Range, form: str, tally: _Tally | _Head, told: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    try:
        with in_our_words(form):
            feed(found, form, tally.begin)
            return told()
    except MlwrightError as error:
        return {"unreadable": {"message": error.message, "hint": error.hint or ""}}


def _type_name(field: Any) -> str:
    return (field.metadata or {}).get(TYPE, b"").decode() or str(field.type)


def _column_of(field: Any, columns: int) -> _Column:
    """What takes in a column of this type. Of many columns each has less room: all have 64 MiB or so."""
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    limit = max(100, min(_DISTINCT, 400_000 // columns))
    if types.is_boolean(kind):
        return _Boolean()
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return _Number(limit, size=max(256, min(4096, 262_144 // columns * 2)), whole=types.is_integer(kind))
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _Text(limit)
    if types.is_temporal(kind) and not types.is_duration(kind) and not types.is_interval(kind):
        return _Time(limit)
    return _Other()


class _Other:
    """A column of which only is said how many cells are empty: nested values, bytes, nothing."""

    def __init__(self) -> None:
        self._nulls = 0

    def add(self, cells: Any) -> None:
        self._nulls += cells.null_count

    def told(self) -> dict[str, Any]:
        return {"kind": "other", "nulls": self._nulls}


class _Boolean:
    def __init__(self) -> None:
        self._true = self._false = self._nulls = 0

    def add(self, cells: Any) -> None:
        cells = _plain(cells)
        true = cells.true_count
        self._true += true
        self._nulls += cells.null_count
        self._false += len(cells) - cells.null_count - true

    def told(self) -> dict[str, Any]:
        both = sorted([(self._false, "false"), (self._true, "true")], reverse=True)
        found = [[value, count] for count, value in both if count]
        return {"kind": "boolean", "nulls": self._nulls, "distinct": len(found), "frequent": found}


class _Number:
    """NaN is no value: it counts as empty. What is infinite is counted, and left out of the rest."""

    def __init__(self, limit: int, *, size: int, whole: bool) -> None:
        self._whole = whole
        self._nulls = self._infinite = 0
        self._moments, self._quantiles, self._distinct = Moments(), Quantiles(size), Distinct(limit)
        self._minimum: Any = None
        self._maximum: Any = None

    def add(self, cells: Any) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = _plain(cells)
        numbers, values, nulls = _numbers(cells)
        self._nulls += nulls
        self._distinct.add(values)
        if not self._whole:
            finite = pc.is_finite(numbers)
            if finite.true_count < len(numbers):
                self._infinite += len(numbers) - finite.true_count
                numbers = values = numbers.filter(finite)
        if not len(numbers):
            return
        ends = pc.min_max(values if self._whole else numbers)
        low, high = ends["min"].as_py(), ends["max"].as_py()
        self._minimum = low if self._minimum is None else min(self._minimum, low)
        self._maximum = high if self._maximum is None else max(self._maximum, high)
        self._moments.add(len(numbers), pc.mean(numbers).as_py(), pc.variance(numbers, ddof=0).as_py())
        self._quantiles.add(pa.array(numbers, pa.float64()) if numbers.type != pa.float64() else numbers)

    def told(self) -> dict[str, Any]:
        some = self._moments.count > 0
        return {
            "kind": "number",
            "nulls": self._nulls,
            "distinct": self._distinct.count,
            "more": self._distinct.exceeded,
            "infinite": self._infinite,
            "minimum": self._minimum,
            "maximum": self._maximum,
            "mean": _finite(self._moments.mean) if some else None,
            "std": _finite(self._moments.std),
            "deciles": self._quantiles.at(_DECILES),
        }


class _Text:
    def __init__(self, limit: int) -> None:
        self._nulls = self._count = self._letters = 0
        self._shortest: int | None = None
        self._longest = 0
        self._frequent = Frequent(limit, limit * 100)

    def add(self, cells: Any) -> None:
        import pyarrow.compute as pc

        cells = _plain(cells)
        self._nulls += cells.null_count
        cells = cells.drop_null()
        if not len(cells):
            return
        lengths = pc.utf8_length(cells)
        ends = pc.min_max(lengths)
        self._count += len(cells)
        self._letters += pc.sum(lengths).as_py()
        low = ends["min"].as_py()
        self._shortest = low if self._shortest is None else min(self._shortest, low)
        self._longest = max(self._longest, ends["max"].as_py())
        self._frequent.add(cells)

    def told(self) -> dict[str, Any]:
        found = self._frequent.most(_SHOWN)
        told: dict[str, Any] = {
            "kind": "text",
            "nulls": self._nulls,
            "distinct": self._frequent.distinct,
            "more": self._frequent.exceeded,
            # A long text would be no use as a label, and is not carried along.
            "frequent": [[text, count] for text, count in found if len(text) <= _SHOWN_LETTERS],
            "frequent_error": self._frequent.error,
        }
        if self._count:
            told["lengths"] = [self._shortest, self._letters / self._count, self._longest]
        return told


class _Time:
    def __init__(self, limit: int) -> None:
        self._nulls = 0
        self._distinct = Distinct(limit)
        self._ends: Any = None

    def add(self, cells: Any) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = _plain(cells)
        self._nulls += cells.null_count
        cells = cells.drop_null()
        if not len(cells):
            return
        self._distinct.add(cells)
        if self._ends is not None:
            cells = pa.concat_arrays([cells, self._ends])
        ends = pc.min_max(cells)
        self._ends = pa.array([ends["min"].value, ends["max"].value], _whole_type(cells.type)).cast(
            cells.type
        )

    def told(self) -> dict[str, Any]:
        low, high = (_time_text(each) for each in self._ends) if self._ends is not None else (None, None)
        return {
            "kind": "time",
            "nulls": self._nulls,
            "distinct": self._distinct.count,
            "more": self._distinct.exceeded,
            "minimum": low,
            "maximum": high,
        }


class _Cuts:
    """Counts numbers between cuts; each cut belongs to the bin below it."""

    def __init__(self, cuts: Sequence[float]) -> None:
        self._cuts = cuts
        self._below = [0] * len(cuts)
        self._count = 0

    def add(self, cells: Any) -> None:
        import pyarrow.compute as pc

        numbers, _, _ = _numbers(_plain(cells))
        self._count += len(numbers)
        for at, cut in enumerate(self._cuts):
            self._below[at] += pc.less_equal(numbers, cut).true_count

    def told(self) -> dict[str, Any]:
        ends = [0, *self._below, self._count]
        return {"counts": [after - before for before, after in pairwise(ends)]}


class _Values:
    """Counts texts that are looked for; the last number is of all others."""

    def __init__(self, values: Sequence[str]) -> None:
        self._values = values
        self._counts = [0] * (len(values) + 1)

    def add(self, cells: Any) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = _plain(cells).drop_null()
        if pa.types.is_boolean(cells.type):
            cells = cells.cast(pa.string())
        places = pc.fill_null(pc.index_in(cells, pa.array(self._values, cells.type)), len(self._values))
        counted = pc.value_counts(places)
        for place, count in zip(counted.field("values"), counted.field("counts"), strict=True):
            self._counts[place.as_py()] += count.as_py()

    def told(self) -> dict[str, Any]:
        return {"counts": self._counts}


def _plain(cells: Any) -> Any:
    """The values themselves, of a column that keeps each different one once."""
    import pyarrow as pa

    return cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells


def _numbers(cells: Any) -> tuple[Any, Any, int]:
    """The numbers of a column as float64, as they are, and how many cells are empty or NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = cells.drop_null()
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float32())
    numbers = values if pa.types.is_float64(values.type) else values.cast(pa.float64(), safe=False)
    if pa.types.is_floating(values.type):
        real = pc.invert(pc.is_nan(numbers))
        if real.true_count < len(numbers):
            numbers, values = numbers.filter(real), values.filter(real)
    return numbers, values, len(cells) - len(numbers)


def _whole_type(kind: Any) -> Any:
    import pyarrow as pa

    return pa.int32() if kind.bit_width == 32 else pa.int64()


def _time_text(moment: Any) -> str:
    import pyarrow as pa

    with contextlib.suppress(pa.ArrowException):
        return str(moment.cast(pa.string()).as_py())
    return str(moment.value)  # a time zone that this machine does not know


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
