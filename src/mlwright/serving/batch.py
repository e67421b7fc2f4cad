"""Requests about which a model is asked together, and what each of them gets of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain
from time import monotonic
from typing import Any

from mlwright.serving.asking import Asking
from mlwright.serving.cost import Cost
from mlwright.serving.problems import Problem
from mlwright.serving.runtime import Outputs, Runtime
from mlwright.serving.tracing import predicting
from mlwright.serving.walk import Columns, Rows

_TRIAL_S = 0.05
"""How long each of the first measurements may take, but that each is made once."""
_TRIAL_ROWS = 16
_LEAST_S = 1e-9
_PLAIN = {list, tuple}


class Asked:
    """A request that waits for its answer. Who makes one says what becomes of that, in `tell`.

    Args:
        columns: all of the same number of values.
        proba: whether probabilities are asked for.
        who: waits for it.

    `waits` until the model is asked about it, and it is `over` once there is an answer, or nobody to give it
    to. `timer` and `watch` look after it meanwhile.
    """

    __slots__ = ("columns", "over", "proba", "rows", "since", "timer", "waits", "watch", "who")

    def __init__(self, columns: Columns, proba: bool, who: Asking) -> None:
        self.columns = columns
        self.rows = len(columns.rows if isinstance(columns, Rows) else columns[0])
        self.proba = proba
        self.who = who
        self.since = monotonic()
        self.timer: asyncio.TimerHandle | None = None
        self.watch: asyncio.Future[None] | None = None
        self.waits = True
        self.over = False

    def tell(self, given: Outputs | Problem) -> None:
        """Called once, in the event loop; raises nothing.

        Args:
            given: what the model answers, or a `Problem`: 500, it raises; 504, the time is over; 499, who
                waits is gone.
        """
        raise NotImplementedError

    def expired(self, now: float) -> bool:
        """Whether an answer would be of no use."""
        return self.who.deadline is not None and now >= self.who.deadline

    def give(self, given: Outputs | Problem) -> bool:
        """This is the answer; False if nobody waits for one."""
        if self.over:
            return False
        self.forget()
        self.tell(given)
        return True

    def fail(self, error: BaseException) -> bool:
        """There is none; False if nobody waits for one."""
        if not isinstance(error, Problem):
            problem = Problem(500, f"the model failed: {type(error).__name__}: {error}")
            problem.__cause__ = error
            error = problem
        return self.give(error)

    def forget(self) -> None:
        """Nobody waits any more."""
        self.over = True
        if self.timer is not None:
            self.timer.cancel()
        if self.watch is not None:
            self.watch.cancel()


Batch = list[Asked]


def rows_of(batch: Batch) -> int:
    """Of all its requests."""
    return sum(asked.rows for asked in batch)


def ask_about(
    runtime: Runtime, batch: Batch, clock: Callable[[], float] = monotonic
) -> tuple[Outputs | BaseException, float]:
    """The model's answer about all of them, or what it raised; and how long that took in seconds."""
    token = predicting.set(tuple([asked.who.trace for asked in batch if asked.who.trace]))
    began = clock()
    answer: Outputs | BaseException
    try:
        columns = joined([asked.columns for asked in batch])
        answer = runtime(columns, proba=any(asked.proba for asked in batch))
        _check_rows(answer, rows_of(batch))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        answer = error
    finally:
        predicting.reset(token)
    return answer, max(clock() - began, _LEAST_S)


def part_out(answer: Outputs, batch: Batch) -> None:
    """Give everybody what is his."""
    end = 0
    for asked in batch:
        begin, end = end, end + asked.rows
        shares = answer.shares if asked.proba else None
        asked.give(Outputs(answer.labels[begin:end], None if shares is None else shares[begin:end]))


def tried_out(runtime: Runtime, columns: Columns, *, proba: bool) -> Cost:
    """What it takes to ask about an example; blocks for so long.

    Args:
        columns: of one row.
        proba: whether probabilities are asked for.

    Raises:
        Exception: whatever the model raises when it is asked about one row.
    """
    cost = Cost()
    one_s = _least_s(runtime, columns, proba)
    rows = min(_TRIAL_ROWS, int(_TRIAL_S / one_s))
    if rows < 2:
        cost.learn(1, one_s)
        return cost
    try:
        cost.measured(one_s, rows, _least_s(runtime, joined([columns] * rows), proba))
    except Exception:  # it takes one row at a time
        cost.measured(one_s, rows, one_s * rows)
    return cost


def _least_s(runtime: Runtime, columns: Columns, proba: bool) -> float:
    """The least of some measurements: what took longer did so for other reasons, as to warm up."""
    took: list[float] = []
    while not took or (len(took) < 4 and sum(took) < _TRIAL_S):
        began = monotonic()
        runtime(columns, proba=proba)
        took.append(max(monotonic() - began, _LEAST_S))
    return min(took)


def joined(parts: Sequence[Columns]) -> Columns:
    """The rows of several requests, one below the other.

    Args:
        parts: each with the same columns: lists, tuples or arrays.

    Returns:
        An array of what are arrays of one type in all parts, else a list or tuple.
    """
    rows = [part.rows for part in parts if isinstance(part, Rows)]
    if len(rows) == len(parts):
        return list(zip(*chain.from_iterable(rows), strict=True))
    if len(parts) == 1:
        return parts[0]
    return [_joined_column(pieces) for pieces in zip(*parts, strict=True)]


def _joined_column(pieces: Sequence[Any]) -> Any:
    if set(map(type, pieces)) <= _PLAIN:
        return list(chain.from_iterable(pieces))
    kinds = {(piece.dtype, piece.shape[1:]) if hasattr(piece, "dtype") else None for piece in pieces}
    if None not in kinds and len(kinds) == 1:
        from numpy import concatenate  # there where arrays are

        return concatenate(pieces)
    return list(chain.from_iterable(map(_values, pieces)))


def _values(piece: Any) -> Sequence[Any]:
    """Of a column: plain ones of numbers, and arrays of arrays."""
    if not hasattr(piece, "dtype"):
        return piece  # type: ignore[no-any-return]
    values: Sequence[Any] = piece.tolist() if piece.ndim == 1 else list(piece)
    return values


def _check_rows(answer: Any, rows: int) -> None:
    for values in (answer.labels, answer.shares):
        if values is not None and len(values) != rows:
            raise ValueError(f"it answered with {len(values)} rows, and was asked about {rows}")
