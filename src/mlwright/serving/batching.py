"""Requests that come at about the same time are asked together; who would wait for too long is refused.

All of it goes by what was measured (`serving/cost.py`):

1. A conversion to ONNX that answers within a millisecond is asked in the event loop itself, at the end of
   each turn of the loop, about all that came in it. Any other model is asked in the thread that predicts;
   what comes meanwhile gathers, and is the next batch.
2. A batch grows while that pays: a model that gains nothing by it is asked one request after the other.
   Sometimes it pays to wait a moment for more (`serving/gathering.py`).
3. Who would have to wait for too long, or until his time is over, is refused at once. Who was let in comes in
   turn: the last first would answer no more requests, and nobody could say how long one takes.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from concurrent.futures import Executor
from contextlib import suppress
from time import monotonic, thread_time

from mlwright.serving.asking import NOBODY, Asking
from mlwright.serving.batch import Asked, Batch, ask_about, part_out, rows_of, tried_out
from mlwright.serving.cost import Cost
from mlwright.serving.figures import ROWS, SECONDS, ModelFigures
from mlwright.serving.gathering import Gathering
from mlwright.serving.problems import Problem
from mlwright.serving.runtime import Outputs, Runtime
from mlwright.serving.spec import Limits
from mlwright.serving.walk import Columns

_INLINE_S = 0.001
"""What may be asked in the event loop; a thread costs a tenth of it."""
_STALLED_S, _STALLS = 0.02, 20
"""A model that held the event loop for so long is asked in the thread for so many times as long."""
_ALIKE = 1.25
"""Probabilities that cost no more than so many times the labels are asked for together with them."""


class _Line:
    """Who waits for answers of one kind, and what these cost."""

    __slots__ = ("cost", "queue")

    def __init__(self) -> None:
        self.queue: deque[Asked] = deque()
        self.cost = Cost()


class _Awaited(Asked):
    """One that a task waits for."""

    __slots__ = ("answer",)

    def __init__(self, columns: Columns, proba: bool, who: Asking) -> None:
        super().__init__(columns, proba, who)
        self.answer: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()

    def tell(self, given: Outputs | Problem) -> None:
        """Wake the task."""
        if self.answer.done():
            return
        if isinstance(given, Problem):
            self.answer.set_exception(given)
        else:
            self.answer.set_result(given)


class Batcher:
    """Asks one model on behalf of many. All but `measure` belongs to one event loop.

    Args:
        runtime: is asked by one caller at a time.
        limits: how many may wait, and for how long.
        thread: has one thread.
        figures: where it is counted what was done.
        inline: whether the model may be asked in the event loop.
    """

    def __init__(
        self,
        runtime: Runtime,
        limits: Limits,
        thread: Executor,
        figures: ModelFigures,
        *,
        inline: bool = True,
    ) -> None:
        self._runtime = runtime
        self._limits = limits
        self._thread = thread
        self._figures = figures
        self._inline_s = _INLINE_S if inline else 0.0
        self._lines = (_Line(), _Line())
        """Of those who want labels, and those who want probabilities as well; they may be one."""
        self._fresh: list[Asked] = []
        self._halves: list[Batch] = []
        self._turns = self._busy = False
        self._began = self._expected_s = self._stalled_until = 0.0
        self._gathering = Gathering(limits)
        self._window: asyncio.TimerHandle | None = None
        self._longest_s = limits.queue_ms / 1000
        self._each_s = 0.0
        """What each row adds to the time that others wait."""

    def measure(self, columns: Columns, *, probabilities: bool) -> None:
        """Ask about an example, to know what it takes; blocks for so long.

        Args:
            columns: of one row.
            probabilities: whether the model has some.

        Raises:
            Exception: whatever the model raises.
        """
        labels = self._lines[0].cost = tried_out(self._runtime, columns, proba=False)
        if probabilities:
            shares = self._lines[1].cost = tried_out(self._runtime, columns, proba=True)
            if shares.expected_s(1) <= _ALIKE * labels.expected_s(1):
                self._lines = (self._lines[1], self._lines[1])
        self._weigh(self._lines[0].cost)

    def check(self, deadline: float | None = None) -> None:
        """Refuse who would have to wait for too long; to be asked before a body is read.

        Args:
            deadline: by `time.monotonic()`.

        Raises:
            Problem: 503, with the time after which it may be tried again.
        """
        self._admit(1, self._lines[0].cost, deadline)

    async def ask(self, columns: Columns, *, proba: bool = False, who: Asking = NOBODY) -> Outputs:
        """What the model answers. Who is cancelled while he waits, or is gone, is not asked for.

        Args:
            columns: one sequence for each input of the signature, all of the same number of values.
            proba: whether to ask for the probabilities as well.
            who: waits for it, and until when.

        Raises:
            Problem: 500 when the model raises, 503 when too much waits already, 504 when the time is over.
        """
        asked = _Awaited(columns, proba, who)
        self.begin(asked)
        try:
            return await asked.answer
        finally:
            self.leave(asked)

    def begin(self, asked: Asked) -> None:
        """Have the model asked, at the end of this turn of the event loop or later.

        Raises:
            Problem: 503 when too much waits already.
        """
        self._admit(asked.rows, self._lines[asked.proba].cost, asked.who.deadline)
        self._fresh.append(asked)
        self._figures.queue_rows += asked.rows
        if not self._turns:
            self._turn_soon(asyncio.get_running_loop())

    def leave(self, asked: Asked) -> None:
        """Nobody waits for it any more, or it was answered: do not ask the model, if that is not done yet."""
        asked.forget()
        self._quit(asked)

    def wait_s(self) -> float:
        """How long who comes now will wait until the model is asked, as far as is known."""
        waits_s = self._figures.queue_rows * self._each_s
        if self._busy:  # of what takes longer than expected, nobody knows how much longer
            waits_s += abs(self._expected_s - (monotonic() - self._began))
        return waits_s

    def _admit(self, rows: int, cost: Cost, deadline: float | None) -> None:
        waiting = self._figures.queue_rows
        if not (waiting or self._busy):
            return
        waits_s = self.wait_s()
        if (
            (waiting and waiting + rows > self._limits.queue_rows)
            or waits_s > self._longest_s
            or (
                waits_s > _INLINE_S
                and deadline
                and waits_s + cost.expected_s(rows) > deadline - monotonic() > 0
            )
        ):
            self._figures.refused += 1
            again = {"retry-after": str(max(1, math.ceil(waits_s)))}
            raise Problem(503, "too many requests wait for this model", headers=again)

    # What happens at the end of a turn of the event loop.

    def _turn_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._turns:
            self._turns = True
            loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turns = False
        fresh, self._fresh = self._fresh, []
        for asked in fresh:
            self._lines[asked.proba].queue.append(asked)
        if not (self._busy or self._gathers(len(fresh))):
            self._go_on(loop)
        for asked in fresh:
            if not asked.over:
                self._watch(loop, asked)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ask about what is next, if something is."""
        line, batch = self._next()
        if not batch:
            return
        now = monotonic()
        expected_s = line.cost.expected_s(rows_of(batch))
        if 0 < expected_s <= self._inline_s and now >= self._stalled_until:
            answer, took_s = ask_about(self._runtime, batch, thread_time)
            self._settle(line, batch, answer, took_s)
            if took_s > _STALLED_S:
                self._stalled_until = now + _STALLS * took_s
            if self._halves or self._figures.queue_rows:
                self._turn_soon(loop)
        else:
            self._busy, self._began, self._expected_s = True, now, expected_s
            self._thread.submit(self._ask_beside, loop, line, batch)

    def _ask_beside(self, loop: asyncio.AbstractEventLoop, line: _Line, batch: Batch) -> None:
        answer, took_s = ask_about(self._runtime, batch)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._asked_beside, loop, line, batch, answer, took_s)

    def _asked_beside(
        self,
        loop: asyncio.AbstractEventLoop,
        line: _Line,
        batch: Batch,
        answer: Outputs | BaseException,
        took_s: float,
    ) -> None:
        self._busy = False
        self._settle(line, batch, answer, took_s)
        if not (self._halves or self._turns):
            others = sum(len(each.queue) for each in set(self._lines))
            wait_s = self._gathering.begin_s(
                line.cost, answered=len(batch), others=others, rows=self._figures.queue_rows
            )
            if wait_s:
                self._window = loop.call_later(wait_s, self._end_gathering, loop)
                return
        if not self._turns:  # else it goes on at the end of this one
            self._go_on(loop)

    def _gathers(self, came: int) -> bool:
        """Whether more are waited for, though so many have come."""
        if not self._gathering.waits:
            return False
        if self._gathering.come(came, self._figures.queue_rows):
            return True
        assert self._window is not None
        self._window.cancel()
        self._gathering.end()
        return False

    def _end_gathering(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gathering.end()
        self._go_on(loop)

    # What is asked together.

    def _next(self) -> tuple[_Line, Batch]:
        """What is asked next, and in which line it stood; an empty batch if nothing waits."""
        while self._halves:
            batch = [asked for asked in self._halves.pop() if not asked.over]
            if batch:
                return self._lines[batch[0].proba], batch
        now = monotonic()
        labels, shares = (self._front(line, now) for line in self._lines)
        line = self._lines[shares is not None and (labels is None or shares.since < labels.since)]
        most = line.cost.paying_rows(self._limits.batch_rows)
        batch, rows = [], 0
        while (asked := self._front(line, now)) and (not batch or rows + asked.rows <= most):
            line.queue.popleft()
            self._taken(asked)
            batch.append(asked)
            rows += asked.rows
        return line, batch

    def _front(self, line: _Line, now: float) -> Asked | None:
        """Who is next in a line, and can still be answered."""
        while line.queue:
            asked = line.queue[0]
            if asked.expired(now):
                self._expire(asked)
            if not asked.over:
                return asked
            line.queue.popleft()
        return None

    def _settle(self, line: _Line, batch: Batch, answer: Outputs | BaseException, took_s: float) -> None:
        """Give everybody what is his. Of a batch at which the model raised, each half is asked again."""
        if not isinstance(answer, BaseException):
            rows = rows_of(batch)
            line.cost.learn(rows, took_s)
            self._weigh(line.cost)
            self._figures.rows += rows
            self._figures.batch_rows.add(ROWS, rows)
            self._figures.model_s.add(SECONDS, took_s)
            part_out(answer, batch)
        elif len(batch) > 1:
            middle = len(batch) // 2
            self._halves += [batch[middle:], batch[:middle]]
        else:
            refused = isinstance(answer, Problem) and answer.http_status < 500
            self._figures.failed += not refused
            batch[0].fail(answer)

    def _weigh(self, cost: Cost) -> None:
        together = cost.paying_rows(self._limits.batch_rows)
        self._each_s = cost.expected_s(together) / together

    # Who does not wait any more.

    def _watch(self, loop: asyncio.AbstractEventLoop, asked: Asked) -> None:
        """Look after one who has to wait."""
        if asked.who.deadline is not None:
            asked.timer = loop.call_later(asked.who.deadline - monotonic(), self._expire, asked)
        if asked.who.gone is not None and asked.waits:  # about others the model is being asked by now
            asked.watch = asyncio.ensure_future(asked.who.gone())
            asked.watch.add_done_callback(lambda watch: None if watch.cancelled() else self.drop(asked))

    def _expire(self, asked: Asked) -> None:
        self._figures.late += asked.fail(Problem(504, "the time for this request was over before its answer"))
        self._quit(asked)

    def drop(self, asked: Asked) -> None:
        """Who waits for it is gone."""
        self._figures.dropped += asked.fail(Problem(499, "nobody waits for this answer"))
        self._quit(asked)

    def _quit(self, asked: Asked) -> None:
        """Do not ask the model about it, if that is not done yet."""
        if asked.waits:
            self._taken(asked)
            asked.columns = []

    def _taken(self, asked: Asked) -> None:
        """It waits no longer."""
        asked.waits = False
        self._figures.queue_rows -= asked.rows
