"""Requests that are asked together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlwright.serving.asking import Asking
from mlwright.serving.batch import joined
from mlwright.serving.batching import Batcher
from mlwright.serving.figures import ModelFigures
from mlwright.serving.problems import Problem
from mlwright.serving.runtime import Outputs
from mlwright.serving.spec import Limits
from mlwright.serving.tracing import begun, onward

_FAULTY = -1


class Doubling:
    """Answers with the double of each value, and raises at a negative one.

    Args:
        batch_s, row_s: what it takes.
        gate: it computes while this is open.
    """

    classes: list[Any] = []  # noqa: RUF012

    def __init__(self, batch_s: float = 0.0, row_s: float = 0.0) -> None:
        self.took_s = (batch_s, row_s)
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.asked: list[list[float]] = []
        self.traces: list[dict[str, str]] = []

    def __call__(self, columns: Any, *, proba: bool) -> Outputs:
        values = list(columns[0])
        self.asked.append(values)
        self.traces.append(onward())
        self.begun.set()
        self.gate.wait(30)
        threading.Event().wait(self.took_s[0] + len(values) * self.took_s[1])
        if min(values) < 0:
            raise ValueError("no double of that")
        return Outputs([2 * value for value in values], [[value, 1] for value in values] if proba else None)


@contextmanager
def batcher(runtime: Doubling, measured: bool = True, **limits: float) -> Iterator[Batcher]:
    with ThreadPoolExecutor(1) as thread:
        made = Batcher(runtime, Limits(**limits), thread, ModelFigures())  # type: ignore[arg-type]
        if measured:
            made.measure([[1.0]], probabilities=False)
            runtime.asked.clear()
            runtime.begun.clear()
        yield made


def figures_of(batcher: Batcher) -> ModelFigures:
    return batcher._figures


async def begun_asking(runtime: Doubling) -> None:
    """Return when the model is being asked in its thread."""
    await asyncio.get_running_loop().run_in_executor(None, runtime.begun.wait, 30)


async def turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work()

    asyncio.run(bounded())


async def status_of(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except Problem as problem:
        return problem.http_status


def test_what_comes_in_one_turn_of_the_loop_is_asked_together() -> None:
    """64 requests for a quick model make one question, which is asked in the loop itself."""
    runtime = Doubling()
    with batcher(runtime) as asking:

        async def work() -> None:
            answers = await asyncio.gather(*(asking.ask([[float(each)]]) for each in range(64)))

            assert [answer.labels for answer in answers] == [[2.0 * each] for each in range(64)]
            assert runtime.asked == [[float(each) for each in range(64)]]
            assert figures_of(asking).batch_rows.total == 64

        run(work)


def test_what_gathers_while_the_model_computes_is_the_next_batch() -> None:
    """A model that takes long is asked in its thread; what comes meanwhile is one batch after it."""
    runtime = Doubling(batch_s=0.01)
    with batcher(runtime) as asking:

        async def work() -> None:
            runtime.gate.clear()
            first = asyncio.ensure_future(asking.ask([[1.0]]))
            await begun_asking(runtime)
            others = [asyncio.ensure_future(asking.ask([[each, each]])) for each in (2.0, 3.0, 4.0)]
            await turns()
            assert figures_of(asking).queue_rows == 6
            runtime.gate.set()

            answers = await asyncio.gather(first, *others)

            assert [answer.labels for answer in answers] == [[2.0], [4.0, 4.0], [6.0, 6.0], [8.0, 8.0]]
            assert runtime.asked == [[1.0], [2.0, 2.0, 3.0, 3.0, 4.0, 4.0]]

        run(work)


def test_a_model_that_gains_nothing_is_asked_one_request_after_the_other() -> None:
    """Where rows take what they take, together or not, nobody waits for another's."""
    runtime = Doubling(row_s=0.01)
    with batcher(runtime) as asking:

        async def work() -> None:
            answers = await asyncio.gather(*(asking.ask([[each]]) for each in (1.0, 2.0, 3.0)))

            assert [answer.labels for answer in answers] == [[2.0], [4.0], [6.0]]
            assert runtime.asked == [[1.0], [2.0], [3.0]]

        run(work)


@pytest.mark.parametrize(("dearer", "questions"), [(1, 1), (3, 2)])
def test_probabilities_are_asked_for_together_with_labels_if_they_cost_no_more(
    dearer: int, questions: int
) -> None:
    """Where they do, those who want labels are asked apart; nobody is told what he has not asked for."""

    class Sharing(Doubling):
        def __call__(self, columns: Any, *, proba: bool) -> Outputs:
            for _ in range(dearer - 1 if proba else 0):
                super().__call__(columns, proba=proba)
            return super().__call__(columns, proba=proba)

    runtime = Sharing(batch_s=0.01)
    with batcher(runtime, measured=False) as asking:
        asking.measure([[1.0]], probabilities=True)

        async def work() -> None:
            label, share = await asyncio.gather(asking.ask([[1.0]]), asking.ask([[2.0]], proba=True))

            assert (label.labels, label.shares) == ([2.0], None)
            assert (share.labels, share.shares) == ([4.0], [[2.0, 1]])
            assert sum(figures_of(asking).batch_rows.counts) == questions

        run(work)


def test_a_batch_is_not_larger_than_its_limit() -> None:
    """`batch_rows` parts what waits; a request that is larger by itself is asked alone."""
    runtime = Doubling()
    with batcher(runtime, batch_rows=4) as asking:

        async def work() -> None:
            sizes = (1, 3, 2, 6, 1)
            answers = await asyncio.gather(*(asking.ask([[1.0] * rows]) for rows in sizes))

            assert [len(answer.labels) for answer in answers] == list(sizes)
            assert [len(values) for values in runtime.asked] == [4, 2, 6, 1]

        run(work)


def test_clients_that_come_back_at_once_are_waited_for() -> None:
    """Two who ask again and again are asked about together, though each comes while the other waits."""
    runtime = Doubling(batch_s=0.02)
    with batcher(runtime) as asking:

        async def work() -> None:
            async def client() -> None:
                for _ in range(10):
                    await asking.ask([[1.0]])

            first = asyncio.ensure_future(client())
            await begun_asking(runtime)
            await asyncio.gather(first, client())

            assert sum(len(values) == 2 for values in runtime.asked) >= 8

        run(work)


def test_only_the_faulty_request_fails() -> None:
    """A model that raises for a batch is asked about its halves: one gets 500 and the model's words."""
    runtime = Doubling()
    with batcher(runtime) as asking:

        async def work() -> None:
            values = [1.0, 2.0, _FAULTY, 4.0, 5.0]
            answers = await asyncio.gather(*(asking.ask([[each]]) for each in values), return_exceptions=True)

            failure = answers.pop(2)
            assert isinstance(failure, Problem)
            assert failure.http_status == 500
            assert failure.message == "the model failed: ValueError: no double of that"
            assert [answer.labels for answer in answers] == [[2.0], [4.0], [8.0], [10.0]]  # type: ignore[union-attr]
            assert figures_of(asking).failed == 1

        run(work)


@pytest.mark.parametrize("exit_with", [SystemExit(3), RuntimeError("no")])
def test_what_a_predictor_raises_never_ends_the_replica(exit_with: BaseException) -> None:
    """Even `sys.exit()` in a predictor is the failure of one request."""

    class Ending(Doubling):
        def __call__(self, columns: Any, *, proba: bool) -> Outputs:
            raise exit_with

    with batcher(Ending(), measured=False) as asking:

        async def work() -> None:
            assert await status_of(asking.ask([[1.0]])) == 500

        run(work)


def test_an_answer_of_another_length_is_the_models_failure() -> None:
    """Rows are never answered with those of others."""

    class Short(Doubling):
        def __call__(self, columns: Any, *, proba: bool) -> Outputs:
            return Outputs(super().__call__(columns, proba=proba).labels[:1])

    with batcher(Short()) as asking:

        async def work() -> None:
            one, two = await asyncio.gather(
                status_of(asking.ask([[1.0]])), status_of(asking.ask([[1.0, 2.0]]))
            )

            assert one.labels == [2.0]
            assert two == 500

        run(work)


def test_who_is_late_is_told_so_and_not_asked_for() -> None:
    """A request gets 504 as soon as its time is over, also while the model computes for others."""
    runtime = Doubling(batch_s=0.01)
    with batcher(runtime) as asking:

        async def work() -> None:
            runtime.gate.clear()
            computing = asyncio.ensure_future(status_of(asking.ask([[1.0]], who=_by(0.1))))
            await begun_asking(runtime)
            waiting = asyncio.ensure_future(status_of(asking.ask([[2.0]], who=_by(0.1))))

            assert await computing == 504
            assert await waiting == 504
            assert figures_of(asking).queue_rows == 0

            patient = asyncio.ensure_future(asking.ask([[3.0]]))
            runtime.gate.set()
            assert (await patient).labels == [6.0]
            assert runtime.asked == [[1.0], [3.0]]
            assert figures_of(asking).late == 2

        run(work)


def test_who_is_gone_is_not_asked_for() -> None:
    """The model is not asked about what was cancelled, or whose clients have gone, while it waited."""
    runtime = Doubling(batch_s=0.01)
    with batcher(runtime) as asking:

        async def work() -> None:
            gone = asyncio.Event()

            async def goes() -> None:
                await gone.wait()

            runtime.gate.clear()
            first = asyncio.ensure_future(asking.ask([[1.0]]))
            await begun_asking(runtime)
            leaving = asyncio.ensure_future(status_of(asking.ask([[2.0]], who=Asking(gone=goes))))
            cancelled = asyncio.ensure_future(asking.ask([[3.0]]))
            stays = asyncio.ensure_future(asking.ask([[4.0]]))
            await turns()
            gone.set()
            cancelled.cancel()
            assert await leaving == 499
            assert figures_of(asking).queue_rows == 1
            runtime.gate.set()

            await asyncio.gather(first, stays)

            assert runtime.asked == [[1.0], [4.0]]
            assert figures_of(asking).dropped == 1

        run(work)


@pytest.mark.parametrize(
    ("limits", "waiting", "deadline_s"),
    [({"queue_rows": 3}, 3, None), ({"queue_ms": 20}, 4, None), ({"queue_ms": 60_000}, 500, 2.5)],
    ids=["too many rows", "too long", "beyond its time"],
)
def test_who_would_wait_for_too_long_is_refused_at_once(
    limits: dict[str, float], waiting: int, deadline_s: float | None
) -> None:
    """Beyond so many rows, or so long, or a request's own time: 503, before a body is read."""
    runtime = Doubling(row_s=0.01)
    with batcher(runtime, **limits) as asking:

        async def work() -> None:
            runtime.gate.clear()
            first = asyncio.ensure_future(asking.ask([[1.0]]))
            await begun_asking(runtime)
            others = [asyncio.ensure_future(asking.ask([[2.0]])) for _ in range(waiting)]
            await turns()
            deadline = None if deadline_s is None else monotonic() + deadline_s

            with pytest.raises(Problem) as refused:
                asking.check(deadline)

            assert refused.value.http_status == 503
            assert int(refused.value.headers["retry-after"]) >= 1
            assert await status_of(asking.ask([[3.0]], who=Asking(deadline))) == 503
            assert figures_of(asking).refused >= 2
            for each in others:
                each.cancel()
            runtime.gate.set()
            assert (await first).labels == [2.0]
            asking.check(None)
            assert (await asking.ask([[4.0]])).labels == [8.0]

        run(work)


def test_a_model_that_hangs_is_not_queued_for() -> None:
    """What takes longer than it ever took is expected to take longer still: the queue closes by itself."""
    runtime = Doubling(batch_s=0.002)
    with batcher(runtime, queue_ms=50) as asking:

        async def work() -> None:
            runtime.gate.clear()
            first = asyncio.ensure_future(asking.ask([[1.0]]))
            await begun_asking(runtime)

            while asking.wait_s() < 0.05:
                await asyncio.sleep(0.005)

            with pytest.raises(Problem):
                asking.check()
            runtime.gate.set()
            await first

        run(work)


def test_a_request_asked_alone_hands_its_trace_on() -> None:
    """A predictor sees the trace of the request; where several are asked together there is none that fits."""
    runtime = Doubling()
    one, two = begun(None), begun(None)
    with batcher(runtime) as asking:

        async def work() -> None:
            await asking.ask([[1.0]], who=Asking(trace=one))
            await asyncio.gather(*(asking.ask([[1.0]], who=Asking(trace=each)) for each in (one, two)))

            assert runtime.traces[-2:] == [{"traceparent": one.parent}, {}]

        run(work)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (([1, None], (2,)), [1, None, 2]),
        ((np.array([1, 2]), np.array([3])), np.array([1, 2, 3])),
        ((np.array([1.5], dtype="float32"), [2.5, None]), [1.5, 2.5, None]),
        ((np.array([1], dtype="int64"), np.array([2.5])), [1, 2.5]),
    ],
)
def test_columns_are_joined_without_a_value_changing(pieces: tuple[Any, ...], expected: Any) -> None:
    """Arrays of one type stay arrays; all else becomes a list of the same values."""
    (column,) = joined([[piece] for piece in pieces])

    assert type(column) is type(expected)
    assert list(column) == list(expected)


def test_pictures_of_other_sizes_are_joined_as_they_are() -> None:
    """Arrays of one shape become one array; of several shapes, and lists of arrays, a list of them."""
    small, large = np.zeros((2, 4, 4)), np.ones((1, 8, 8))

    (alike,) = joined([[small], [small]])
    (several,) = joined([[small], [large]])
    (listed,) = joined([[small], [[large[0]]]])

    assert alike.shape == (4, 4, 4)
    assert [each.shape for each in several] == [each.shape for each in listed] == [(4, 4), (4, 4), (8, 8)]


def test_a_predictor_that_refuses_has_not_failed() -> None:
    """What a predictor says of a request, as 422, is told as it is, and not counted as its failure."""

    class Refusing(Doubling):
        def __call__(self, columns: Any, *, proba: bool) -> Outputs:
            raise Problem(422, "that is no picture of a digit")

    with batcher(Refusing(), measured=False) as asking:

        async def work() -> None:
            answers = await asyncio.gather(*(status_of(asking.ask([[1.0]])) for _ in range(2)))

            assert answers == [422, 422]
            assert figures_of(asking).failed == 0

        run(work)


_REQUESTS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 9), min_size=1, max_size=4),
        st.booleans(),
        st.sampled_from(["stays", "stays", "stays", "is faulty", "is cancelled", "goes", "is late"]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=24,
)


@settings(max_examples=120, deadline=None)
@given(
    requests=_REQUESTS,
    slow=st.booleans(),
    measured=st.booleans(),
    batch_rows=st.sampled_from([1, 3, 8, 1024]),
)
def test_everybody_gets_the_answer_to_what_he_asked(
    requests: list[tuple[list[int], bool, str, int]], slow: bool, measured: bool, batch_rows: int
) -> None:
    """Whatever is asked together, fails, is late, cancelled or gone: each gets what is his own."""
    runtime = Doubling(batch_s=0.0015 if slow else 0.0)
    with batcher(runtime, measured, batch_rows=batch_rows) as asking:

        async def one(values: list[float], proba: bool, fate: str) -> Any:
            async def goes() -> None:
                await turns(2)

            who = {
                "goes": Asking(gone=goes),
                "is late": Asking(deadline=monotonic() - 1),
            }.get(fate, Asking(deadline=monotonic() + 60))
            return await status_of(asking.ask([values], proba=proba, who=who))

        async def work() -> None:
            tasks = []
            for number, (digits, proba, fate, pause) in enumerate(requests):
                values = [number * 10.0 + digit for digit in digits]
                if fate == "is faulty":
                    values[-1] = _FAULTY
                tasks.append((asyncio.ensure_future(one(values, proba, fate)), values, proba, fate))
                await turns(pause)
                if fate == "is cancelled":
                    tasks[-1][0].cancel()
            for task, values, proba, fate in tasks:
                (answer,) = await asyncio.gather(task, return_exceptions=True)
                if fate == "is cancelled" and isinstance(answer, asyncio.CancelledError):
                    continue
                if fate == "is faulty":
                    assert answer == 500
                elif fate == "is late":
                    assert answer == 504
                elif fate != "goes" or answer != 499:
                    assert answer.labels == [2 * value for value in values]
                    assert answer.shares == ([[value, 1] for value in values] if proba else None)
            assert figures_of(asking).queue_rows == 0
            assert (await asking.ask([[3.0]])).labels == [6.0]

        run(work)


def _by(seconds: float) -> Asking:
    return Asking(deadline=monotonic() + seconds)
