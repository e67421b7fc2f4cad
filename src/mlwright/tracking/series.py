"""Series: every value that a metric of a run ever had; the newest as rows, the others packed in chunks.

The last value of a metric is the one with the highest step, then moment, then value. A point beyond it is
new; only for others is looked up whether they are there.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from heapq import heappop, heappush
from itertools import chain
from typing import Any, NamedTuple

from msgspec import Struct

from mlwright.kernel.database import Queries, Source, Transaction
from mlwright.kernel.errors import NotFound
from mlwright.kernel.ids import RunId
from mlwright.tracking.chunks import from_plain, pack, plain, unpack
from mlwright.tracking.points import Key, Point, Points, bits_of, key_of, value_of, values_of
from mlwright.tracking.stretches import Stretches, extremes
from mlwright.tracking.texts import held

_SQL = Queries.beside(__file__)
CHUNK = 1000
"""So many points are sealed together, at least; fewer than twice as many at most."""
ALL_STEPS = range(-(2**63), 2**63)
_FEW = 8
"""So many metrics are looked up one by one; of more, all that the run has are read."""


class Cursor(NamedTuple):
    """Where a history was read to: the last point that was given."""

    at_us: int
    step: int
    rank: int


class Head(Struct, frozen=True):
    """What is known of a series without opening it: its last value, and where its points are."""

    key: Key
    sealed: int
    open: int

    @property
    def alone(self) -> bool:
        """Whether its last value is all that there is: older records kept nothing else."""
        return not self.sealed and not self.open


def append(tx: Transaction, run: RunId, series: Mapping[str, Points]) -> int:
    """Keep points of a run's metrics; what is there already is left out.

    Args:
        run: a run that is there.
        series: points by the name of the metric, in any order.

    Returns:
        How many were new.

    Raises:
        NotFound: there is no such run.
        Invalid: no database can hold a name.
    """
    given = {held(name, "the name of a metric"): points for name, points in series.items() if len(points)}
    found = tx.read(_SQL["experiment_of_run"], id=run)
    if not found:
        raise NotFound(f"there is no run {run!r}")
    known = _heads(tx, run, given)
    change = _Change(tx, run)
    for name, points in given.items():
        change.append(name, known.get(name), points)
    change.write(found[0]["experiment_id"])
    return change.new


class _Change:
    """What an append writes, gathered: one statement for all rows of a table."""

    def __init__(self, tx: Transaction, run: RunId) -> None:
        self._tx = tx
        self._run = run
        self._heads: list[dict[str, Any]] = []
        self._points: list[dict[str, Any]] = []
        self._chunks: list[dict[str, Any]] = []
        self._data: list[dict[str, Any]] = []
        self.new = 0

    def append(self, name: str, head: Head | None, points: Points) -> None:
        """What of these points is new, as rows or as chunks."""
        goes_on = points.in_order and _goes_on(head, points)
        fresh = points if goes_on else Points.sorted(self._unknown(name, head, points))
        if not len(fresh):
            return
        last = key_of(fresh.steps[-1], fresh.at_us[-1], fresh.values[-1])
        if not goes_on:
            last = max([*fresh.keys(), *([head.key] if head else ())], key=lambda key: key.in_training)
        self.new += len(fresh) - (head is not None and head.alone)
        sealed, waiting = (head.sealed, head.open) if head else (0, 0)
        if waiting + len(fresh) < CHUNK:
            row = {"run_id": self._run, "name": name, "number": waiting}
            self._points.append(row | {"data": plain(fresh)})
            waiting += len(fresh)
        else:
            sealed, waiting = self._seal(name, sealed, fresh, waiting), 0
        self._heads.append(_head_row(self._run, name, last, sealed, waiting))

    def write(self, experiment: int | None) -> None:
        """Write it all."""
        for head in self._heads:
            head["experiment_id"] = experiment
        for sql, rows in (
            (_SQL["set_metric"], self._heads),
            (_SQL["add_chunk"], self._chunks),
            (_SQL["add_chunk_data"], self._data),
            (_SQL["add_point"], self._points),
        ):
            if rows:
                self._tx.execute_many(sql, rows)

    def _unknown(self, name: str, head: Head | None, points: Points) -> set[Key]:
        """Those points that are not there; and that which was there alone, for it has to be written."""
        keys = set(points.keys())
        if head is None or head.alone:
            return keys | ({head.key} if head else set())
        if head.open:
            keys.difference_update(_open(self._tx, self._run, name).keys())
        old = [key for key in keys if (key.step, key.at_us) <= (head.key.step, head.key.at_us)]
        if old and head.sealed:
            box = {
                "from_us": min(key.at_us for key in old),
                "to_us": max(key.at_us for key in old),
                "from_step": min(key.step for key in old),
                "to_step": max(key.step for key in old),
            }
            for chunk in self._tx.read(_SQL["chunks_around"], run_id=self._run, name=name, **box):
                if any(_can_hold(chunk, key) for key in old):
                    keys.difference_update(_chunk(self._tx, self._run, name, chunk["number"]).keys())
        return keys

    def _seal(self, name: str, sealed: int, fresh: Points, waiting: int) -> int:
        """Pack the open points with new ones; returns how many chunks there are then."""
        points = fresh
        if waiting:
            points = _open(self._tx, self._run, name) + fresh
            self._tx.execute(_SQL["drop_points"], run_id=self._run, name=name)
            if not points.in_order:
                points = Points.sorted(points.keys())
        pieces = len(points) // CHUNK
        for piece in range(pieces):
            part = points.cut(piece * len(points) // pieces, (piece + 1) * len(points) // pieces)
            row = {"run_id": self._run, "name": name, "number": sealed + piece}
            self._chunks.append(row | _about(part))
            self._data.append(row | {"data": pack(part)})
        return sealed + pieces


def history(
    source: Source, run: RunId, name: str, *, after: Cursor | None = None, limit: int
) -> tuple[list[Point], Cursor | None]:
    """The points of a metric by moment, step and value.

    Args:
        after: where an earlier answer ended.
        limit: at most so many; 1 or more.

    Returns:
        The points, and where to go on; None when there are no more.
    """
    assert limit >= 1
    found: list[Key] = []
    for keys in _in_order(source, run, name, after):
        found += keys
        if len(found) > limit:
            end = found[limit - 1]
            return _shown(name, found[:limit]), Cursor(*end)
    return _shown(name, found), None


def sample(
    source: Source, run: RunId, name: str, wanted: int = 1000, *, steps: range = ALL_STEPS
) -> list[Point]:
    """The shape of a metric in few points: the lowest and highest of each stretch, and the last one.

    Args:
        wanted: at most so many points; 3 or more.
        steps: only points of these; chunks that have none of them are not opened.

    Returns:
        Points by moment, step and value. All there are, when they are not more than `wanted`. Otherwise NaN
        is left out, unless it is the last. Where many chunks make one stretch, only those are opened that
        reach beyond the steps, and a zero may have lost its sign.
    """
    assert wanted >= 3
    head = _heads(source, run, [name]).get(name)
    if head is None:
        return []
    if head.alone:
        return _shown(name, [head.key] if head.key.step in steps else [])
    pieces = _pieces(source, run, name, head, steps)
    total = sum(piece.size for piece in pieces)
    if total <= wanted:
        return _shown(name, sorted(_keys(pieces)))
    stretches = Stretches(total, (wanted - 1) // 2)
    for piece in pieces:
        if piece.chunk is not None and 2 * len(pieces) >= stretches.count:
            stretches.add_known(piece.chunk)
        else:
            stretches.add(piece.read())
    last = head.key
    if last.step not in steps:
        latest = max(piece.last_step for piece in pieces)
        keys = _keys(piece for piece in pieces if piece.last_step == latest)
        last = max(keys, key=lambda key: key.in_training)
    return _shown(name, sorted({*stretches.found(), last}))


class _Piece(NamedTuple):
    """Points of a series that are wanted, and lie together.

    Args:
        chunk: what is known of them, if they are all that a chunk has.
    """

    size: int
    last_step: int
    read: Callable[[], Points]
    chunk: dict[str, Any] | None = None


def _pieces(source: Source, run: RunId, name: str, head: Head, steps: range) -> list[_Piece]:
    """What a series has of some steps; a chunk is opened where it reaches beyond them."""

    def part(read: Callable[[], Points]) -> list[_Piece]:
        points = read()
        return [_Piece(len(points), max(points.steps), read)] if len(points) else []

    bounds = {"from_step": steps[0], "to_step": steps[-1]}
    found: list[_Piece] = []
    for chunk in source.read(_SQL["chunks_of"], run_id=run, name=name, **bounds) if head.sealed else []:
        last_step, read = chunk["last_step"], partial(_chunk, source, run, name, chunk["number"])
        if chunk["first_step"] in steps and last_step in steps:
            found.append(_Piece(chunk["points"], last_step, read, chunk))
        else:
            found += part(lambda read=read: read().within(steps))  # type: ignore[misc]
    if head.open:
        waiting = _open(source, run, name).within(steps)
        found += part(lambda: waiting)
    return found


def _keys(pieces: Iterable[_Piece]) -> Iterator[Key]:
    return chain.from_iterable(piece.read().keys() for piece in pieces)


def last_of(row: Mapping[str, Any]) -> float:
    """The value in a row of `metric`, with the sign of its zero."""
    value = row["value"]
    if value is None:
        return math.nan
    return value_of(row["bits"]) if value == 0.0 and row["bits"] is not None else float(value)


def _heads(source: Source, run: RunId, names: Iterable[str]) -> dict[str, Head]:
    """What is known of those of a run's metrics that are there."""
    wanted = set(names)
    if len(wanted) <= _FEW:
        rows = [row for name in wanted for row in source.read(_SQL["head_of"], run_id=run, name=name)]
    else:
        rows = source.read(_SQL["heads_of"], run_id=run)
    return {
        row["name"]: Head(key_of(row["step"], row["at_us"], last_of(row)), row["sealed"], row["open"])
        for row in rows
        if row["name"] in wanted
    }


def _in_order(source: Source, run: RunId, name: str, after: Cursor | None) -> Iterator[list[Key]]:
    """A series in ordered pieces, of which none reaches back behind the one before."""
    head = _heads(source, run, [name]).get(name)
    if head is None:
        return
    chunks: list[tuple[tuple[int, int], int | None]] = []
    if head.sealed:
        from_us = after.at_us if after else -(2**63)
        rows = source.read(_SQL["chunks_from"], run_id=run, name=name, from_us=from_us)
        chunks = [
            ((row["first_us"], row["first_step"]), row["number"])
            for row in rows
            if after is None or (row["last_us"], row["last_step"]) >= after[:2]
        ]
    rest = [head.key] if head.alone else sorted(_open(source, run, name).keys() if head.open else ())
    if rest:
        chunks = sorted([*chunks, (rest[0][:2], None)], key=lambda chunk: chunk[0])
    waiting: list[tuple[Key, int, int, list[Key]]] = []  # a heap, by the next point of each chunk
    for place, (_, number) in enumerate(chunks):
        keys = rest if number is None else _chunk(source, run, name, number).keys()
        begin = bisect_right(keys, after) if after else 0
        if begin < len(keys):
            heappush(waiting, (keys[begin], place, begin, keys))
        # What begins later may still have points in between.
        until = chunks[place + 1][0] if place + 1 < len(chunks) else None
        ready: list[Key] = []
        while waiting and (until is None or waiting[0][0] < until):
            _, which, begin, keys = heappop(waiting)
            end = len(keys) if until is None else bisect_left(keys, until, begin)
            ready += keys[begin:end]
            if end < len(keys):
                heappush(waiting, (keys[end], which, end, keys))
        ready.sort()
        yield ready


def _open(source: Source, run: RunId, name: str) -> Points:
    points = Points()
    for row in source.read(_SQL["points_of"], run_id=run, name=name):
        points += from_plain(row["data"])
    return points


def _chunk(source: Source, run: RunId, name: str, number: int) -> Points:
    row = source.read(_SQL["chunk_data_of"], run_id=run, name=name, number=number)[0]
    return unpack(row["data"])


def _can_hold(chunk: Mapping[str, Any], key: Key) -> bool:
    within = chunk["first_step"] <= key.step <= chunk["last_step"]
    return bool(within and chunk["first_us"] <= key.at_us <= chunk["last_us"])


def _goes_on(head: Head | None, points: Points) -> bool:
    """Whether points that are in order all lie beyond what is there."""
    if head is None:
        return True
    return not head.alone and (points.steps[0], points.at_us[0]) > (head.key.step, head.key.at_us)


def _about(points: Points) -> dict[str, Any]:
    """What is kept of a chunk, whose points are by moment, beside them."""
    about: dict[str, Any] = {
        "points": len(points),
        "first_step": min(points.steps),
        "last_step": max(points.steps),
        "first_us": points.at_us[0],
        "last_us": points.at_us[-1],
    }
    found = extremes(points, 0, len(points)) or ((None, None, None),) * 2
    for which, extreme in zip(("lowest", "highest"), found, strict=True):
        about |= dict(zip((which, f"{which}_step", f"{which}_us"), extreme, strict=True))
    return about


def _head_row(run: RunId, name: str, last: Key, sealed: int, waiting: int) -> dict[str, Any]:
    value = last.value
    return {
        "run_id": run,
        "name": name,
        "value": None if math.isnan(value) else value,
        "bits": bits_of(value),
        "step": last.step,
        "at_us": last.at_us,
        "sealed": sealed,
        "open": waiting,
    }


def _shown(name: str, keys: list[Key]) -> list[Point]:
    values = values_of(keys)
    return [Point(name, value, step, at_us) for (at_us, step, _), value in zip(keys, values, strict=True)]
