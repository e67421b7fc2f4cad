"""Versions that are asked what clients asked another one, once these have been answered.

A shadow has a thread of its own, and computes at most half of the time. What waits for it is bounded: beyond
that it is not asked, which is counted. What it answers goes nowhere but into the record and the figures.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from time import monotonic, perf_counter
from typing import Any

from msgspec import Struct

from mlwright.sdk.answers import same_answer
from mlwright.sdk.rows import plain
from mlwright.sdk.values import ABSENT
from mlwright.serving.batch import joined
from mlwright.serving.figures import ROWS, SECONDS, ShadowFigures
from mlwright.serving.problems import Problem
from mlwright.serving.records import Answered, Recorder, Shadowing
from mlwright.serving.served import Served
from mlwright.serving.spec import prediction_ids
from mlwright.serving.walk import Columns

_VALUE_BYTES = 32
"""What a number takes, about."""


class _Said(Struct, frozen=True):
    """What a shadow said of one request.

    Args:
        predictions: plain values; None if it failed, or refused to answer.
        failed: it was its own fault.
        agreed: how many of the rows it answered as the client was answered.
        warnings: how many columns lie outside of what its own training saw.
    """

    predictions: list[Any] | None = None
    failed: bool = False
    agreed: int = 0
    warnings: int = 0


class Shadow:
    """Asks one model what others were asked. All but what the thread computes belongs to the event loop.

    Args:
        served: the model.
        thread: where it computes, alone; ended with it.
        recorder: keeps a sample of its answers; None if nothing is kept.
    """

    def __init__(self, served: Served, thread: Executor, recorder: Recorder | None) -> None:
        self._served = served
        self._thread = thread
        self._recorder = recorder
        self._inputs = served.spec.signature.names
        self._ids = prediction_ids(served.spec.version_id)
        self._waiting: deque[tuple[Answered, int]] = deque()
        self._bytes = 0
        self._busy = self._ended = False
        self._figures = served.figures.shadow = ShadowFigures()

    def note(self, answered: Answered) -> None:
        """Ask the same, in a later turn of the loop; the client has been answered by then."""
        size = size_of(_asked_in(answered))
        if self._bytes + size > self._served.limits.shadow_bytes:
            self._figures.dropped += 1
            return
        self._waiting.append((answered, size))
        self._bytes += size
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._ask)

    def close(self) -> None:
        """Ask nothing more."""
        self._ended = True
        self._waiting.clear()
        self._thread.shutdown(wait=False)

    def _ask(self) -> None:
        batch = [] if self._ended else self._next()
        if not batch:
            self._busy = False
            return
        began, began_s = monotonic(), perf_counter()
        asking = asyncio.get_running_loop().run_in_executor(self._thread, self._answers, batch)
        asking.add_done_callback(lambda done: self._heard(batch, done, began, began_s))

    def _next(self) -> list[Answered]:
        batch: list[Answered] = []
        rows = 0
        while self._waiting and (not batch or rows + _rows(self._waiting[0][0]) <= self._served.batch_rows):
            answered, size = self._waiting.popleft()
            self._bytes -= size
            rows += _rows(answered)
            batch.append(answered)
        return batch

    def _heard(
        self, batch: list[Answered], asking: asyncio.Future[list[_Said]], began: float, began_s: float
    ) -> None:
        """Count and record what it said, and rest for as long as that took."""
        took_s = monotonic() - began
        said = (
            [_Said(failed=True)] * len(batch) if asking.cancelled() or asking.exception() else asking.result()
        )
        figures = self._served.figures
        rows = sum(_rows(each) for each, one in zip(batch, said, strict=True) if one.predictions is not None)
        figures.rows += rows
        if rows:
            figures.batch_rows.add(ROWS, rows)
            figures.model_s.add(SECONDS, took_s)
        for each, one in zip(batch, said, strict=True):
            figures.failed += one.failed
            if one.predictions is not None:
                self._count(each, one, one.predictions, began_s)
        if not self._ended:
            asyncio.get_running_loop().call_later(took_s, self._ask)

    def _count(self, answered: Answered, said: _Said, predictions: list[Any], began_s: float) -> None:
        self._figures.rows += _rows(answered)
        self._figures.agreed += said.agreed
        if self._recorder is None or (place := self._recorder.place()) is None:
            return
        told = Answered(
            next(self._ids),
            self._served.spec.model,
            answered.names,
            answered.columns,
            predictions,
            began=began_s,
            warnings=said.warnings,
            shadowing=Shadowing(answered.id, answered.predictions, said.agreed),
        )
        self._recorder.keep(place, told)

    # In the thread.

    def _answers(self, batch: Sequence[Answered]) -> list[_Said]:
        """What it says of each; where it fails, each half is asked again, until who is at fault is alone."""
        try:
            columns = [self._ordered(each) for each in batch]
            outputs = self._served.answers(joined(columns))
            predictions = plain(outputs.labels)
            if len(predictions) != sum(map(_rows, batch)):
                raise ValueError("it answered with another number of rows than it was asked about")
        except Exception as error:
            if middle := len(batch) // 2:
                return [*self._answers(batch[:middle]), *self._answers(batch[middle:])]
            return [_Said(failed=not isinstance(error, Problem) or error.http_status >= 500)]
        said, end = [], 0
        for each, own in zip(batch, columns, strict=True):
            begin, end = end, end + _rows(each)
            part = predictions[begin:end]
            agreed = sum(map(same_answer, part, each.predictions))
            said.append(_Said(part, agreed=agreed, warnings=self._warnings(own)))
        return said

    def _ordered(self, answered: Answered) -> Columns:
        """The columns as this version has them in order."""
        columns = _asked_in(answered)
        if answered.names == self._inputs:
            return columns
        places = {name: at for at, name in enumerate(answered.names)}
        absent = [ABSENT] * _rows(answered)
        return [columns[places[name]] if name in places else absent for name in self._inputs]

    def _warnings(self, columns: Columns) -> int:
        return len(self._served.bounds.warnings(columns)) if self._served.spec.signature.table else 0


def size_of(value: Any) -> int:
    """About how many bytes of memory values take that come from a request."""
    if isinstance(value, str | bytes):
        return _VALUE_BYTES + len(value)
    if hasattr(value, "nbytes"):
        return _VALUE_BYTES + int(value.nbytes)
    if isinstance(value, Mapping):
        return _VALUE_BYTES + sum(size_of(key) + size_of(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return _VALUE_BYTES + sum(map(size_of, value))
    return _VALUE_BYTES


def _asked_in(answered: Answered) -> Columns:
    return answered.columns if answered.asked is None else answered.asked


def _rows(answered: Answered) -> int:
    return len(answered.columns[0])
