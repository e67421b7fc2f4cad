"""How two arrays, or two tables, differ; by NumPy and pyarrow, which are there where the values are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mlwright.sdk.deviations import (
    ABSOLUTE,
    CELLS,
    COLUMNS,
    ORDER,
    RELATIVE,
    SIZE,
    TIMES,
    TYPES,
    VALUES,
    Found,
    short,
)

Lists = Callable[[Sequence[Any], Sequence[Any], str], None]
"""Compares two lists, element by element; the last is where they stand."""


def compare_arrays(found: Found, then: Any, now: Any, where: str, lists: Lists) -> None:
    """Arrays of NumPy."""
    import numpy

    if then.shape != now.shape:
        found.add(SIZE, where, f"shape {list(then.shape)} -> {list(now.shape)}")
    elif then.dtype != now.dtype:
        found.add(TYPES, where, f"{then.dtype} -> {now.dtype}")
    elif then.dtype.names:
        for name in then.dtype.names:
            compare_arrays(found, then[name], now[name], f"{where}.{name}", lists)
    elif then.dtype.hasobject:
        lists(then.tolist(), now.tolist(), where)
    else:
        unequal = then != now
        if then.dtype.kind in "fcmM":
            unequal &= ~(numpy.isnan(then) & numpy.isnan(now)) if then.dtype.kind in "fc" else True
        count = int(unequal.sum())
        if not count:
            return
        if then.ndim and len(then) > 1 and then.size <= CELLS and _same_rows(then, now):
            found.add(ORDER, where, "the same rows in another order")
            return
        one, other = then[unequal], now[unequal]
        # A time of NumPy may be finer than any of Python.
        told = [str(each[0]) if then.dtype.kind in "mM" else short(each[0].item()) for each in (one, other)]
        text = " -> ".join(told)
        if then.dtype.kind in "mM":
            found.add(TIMES, where, text, count)
        elif then.dtype.kind not in "fciu":
            found.add(VALUES, where, text, count)
        else:
            _numeric(found, one, other, where, text)


def _numeric(found: Found, one: Any, other: Any, where: str, text: str) -> None:
    """Numbers that are all unequal, in arrays of one dimension."""
    import numpy

    count = len(one)
    if one.dtype.kind != "c":
        ends = [(float(each.min()), float(each.max())) for each in (one, other)]
        if found.now.told_by(ends[0], ends[1]):
            found.add(TIMES, where, text, count)
            return
    if one.dtype.kind in "iu" or not (numpy.isfinite(one).all() and numpy.isfinite(other).all()):
        found.add(VALUES, where, text, count)
        return
    wide = numpy.complex128 if one.dtype.kind == "c" else numpy.float64
    one, other = one.astype(wide), other.astype(wide)
    absolute = numpy.abs(one - other)
    relative = absolute / numpy.maximum(numpy.abs(one), numpy.abs(other))
    near = bool(((absolute <= ABSOLUTE) | (relative <= RELATIVE)).all())
    found.add_floats(where, text, float(absolute.max()), float(relative.max()), near=near, count=count)


def _same_rows(then: Any, now: Any) -> bool:
    """Whether two arrays of one shape have the same rows, in whatever order."""
    import numpy

    sides = []
    for each in (then, now):
        rows = each.reshape(len(each), -1)
        sides.append(rows[numpy.lexsort(rows.T[::-1])] if rows.shape[1] else rows)
    return bool(numpy.array_equal(sides[0], sides[1], equal_nan=then.dtype.kind in "fc"))


def compare_tables(found: Found, then: Any, now: Any, where: str, lists: Lists) -> None:
    """Tables of Arrow."""
    before, after = then.column_names, now.column_names
    if before != after:
        gone, new = (
            [name for name in one if name not in other] for one, other in ((before, after), (after, before))
        )
        text = f"{short(gone)} -> {short(new)}" if gone or new else "the same ones in another order"
        found.add(COLUMNS, where, text)
        return
    if then.num_rows != now.num_rows:
        found.add(SIZE, where, f"{then.num_rows} -> {now.num_rows} rows")
        return
    types = [(field.name, field.type, now.schema.field(at).type) for at, field in enumerate(then.schema)]
    changed = [(name, one, other) for name, one, other in types if one != other]
    if changed:
        name, one, other = changed[0]
        found.add(TYPES, f"column `{name}`", f"{one} -> {other}", len(changed))
        return
    if then.num_rows > 1 and then.num_rows * then.num_columns <= CELLS and _same_tuples(then, now):
        found.add(ORDER, where, "the same rows in another order")
        return
    for at, name in enumerate(before):
        columns = [each.column(at) for each in (then, now)]
        sides = [each.to_numpy() if all(map(_is_plain, columns)) else each.to_pylist() for each in columns]
        if isinstance(sides[0], list):
            lists(sides[0], sides[1], f"column `{name}`")
        else:
            compare_arrays(found, sides[0], sides[1], f"column `{name}`", lists)
    if not found.first and then.schema.metadata != now.schema.metadata:
        found.add(TYPES, where, "the index, or what pandas says of the columns")


def _same_tuples(then: Any, now: Any) -> bool:
    before, after = ([*map(repr, _rows(each))] for each in (then, now))
    return before != after and Counter(before) == Counter(after)


def _rows(table: Any) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _is_plain(column: Any) -> bool:
    """Whether a column is an array of numbers or times, and NumPy is there."""
    from importlib.util import find_spec

    from pyarrow import types

    kind = column.type
    plain = types.is_floating(kind) or types.is_integer(kind) or types.is_timestamp(kind)
    return plain and not column.null_count and find_spec("numpy") is not None
