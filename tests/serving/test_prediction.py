"""What all requests to a model have in common."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlwright.serving.application import Application
from mlwright.serving.prediction import Predicting
from mlwright.serving.problems import Problem
from mlwright.serving.protocols.predict import doors
from mlwright.serving.request import Reply, Request
from mlwright.serving.runtime.native import NativeRuntime
from mlwright.serving.served import Served
from mlwright.serving.spec import Limits, ModelSpec, ReplicaSpec
from mlwright.versioning.signatures import Column
from tests.serving.conftest import VERSION, small_signature

BODY = b'{"rows": [{"a": 1.0}]}'


class Gated:
    """A model that answers while its gate is open."""

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()
        self.asked = 0

    def predict(self, table: pd.DataFrame) -> Any:
        self.asked += len(table)
        self.begun.set()
        self.gate.wait(30)
        return np.array(["yes"] * len(table))


def predicting(model: Gated, **limits: int) -> tuple[Predicting, Served]:
    signature = small_signature(Column("a", "number"), example={"a": 1.0})
    spec = ReplicaSpec((ModelSpec("m@1", VERSION, "sklearn", "/nowhere", signature),), Limits(**limits))
    served = Served(spec.models[0], spec, NativeRuntime(model, signature), ThreadPoolExecutor(1))
    return Predicting(doors(served).endpoint, served, "predict", None), served


class Sent:
    """A request, and whether its body was read."""

    def __init__(self, **headers: str) -> None:
        self.read = False
        self.leaves = asyncio.Event()
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"method": "POST", "path": "/predict", "query_string": b"", "headers": named}
        self.request = Request(scope, self._receive)

    async def _receive(self) -> dict[str, Any]:
        if self.read:
            await self.leaves.wait()
            return {"type": "http.disconnect"}
        self.read = True
        return {"type": "http.request", "body": BODY}


async def status_of(answering: Coroutine[Any, Any, Reply]) -> int:
    try:
        return (await answering).status
    except Problem as problem:
        return problem.http_status


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work()

    asyncio.run(bounded())


async def begun(model: Gated) -> None:
    await asyncio.get_running_loop().run_in_executor(None, model.begun.wait, 30)


@pytest.mark.parametrize(("limit_ms", "header_ms"), [(30_000, "60"), (60, "30000"), (60, None)])
def test_a_request_is_answered_within_its_time(limit_ms: int, header_ms: str | None) -> None:
    """The lesser of what the client says and what the server allows; then 504, whatever the model does."""

    async def work() -> None:
        model = Gated()
        predict, served = predicting(model, timeout_ms=limit_ms)
        sent = Sent(**({"x_mlwright_timeout_ms": header_ms} if header_ms else {}))

        status = await status_of(predict(sent.request))

        assert status == 504
        assert served.figures.late == 1
        assert served.figures.of("predict").statuses[5] == 1
        model.gate.set()

    run(work)


@pytest.mark.parametrize("timeout", ["0", "-1", "1.5", "soon", "1e3", "9999999999", "१"])
def test_a_time_that_is_none_is_refused(timeout: str) -> None:
    """It is said which header, and what it must be."""

    async def work() -> None:
        predict, _ = predicting(Gated())

        with pytest.raises(Problem, match="`x-mlwright-timeout-ms` must be a number of milliseconds") as told:
            await predict(Sent(x_mlwright_timeout_ms=timeout).request)

        assert told.value.http_status == 400

    run(work)


def test_who_is_refused_is_refused_before_the_body_is_read() -> None:
    """A full queue costs neither memory nor the time to parse."""

    async def work() -> None:
        model = Gated()
        predict, served = predicting(model, queue_rows=1)
        first = asyncio.ensure_future(status_of(predict(Sent().request)))
        await begun(model)
        second = asyncio.ensure_future(status_of(predict(Sent().request)))
        while served.figures.queue_rows < 1:
            await asyncio.sleep(0)
        third = Sent()

        assert await status_of(predict(third.request)) == 503
        assert not third.read
        model.gate.set()
        assert await asyncio.gather(first, second) == [200, 200]

    run(work)


def test_who_leaves_while_he_waits_is_not_asked_for() -> None:
    """A client that closes its connection frees its place, and the model does not compute for it."""

    async def work() -> None:
        model = Gated()
        predict, served = predicting(model)
        first = asyncio.ensure_future(status_of(predict(Sent().request)))
        await begun(model)
        leaving = Sent()
        second = asyncio.ensure_future(status_of(predict(leaving.request)))
        while served.figures.queue_rows < 1:
            await asyncio.sleep(0)

        leaving.leaves.set()

        assert await second == 499
        model.gate.set()
        assert await first == 200
        assert (model.asked, served.figures.dropped) == (1, 1)

    run(work)


def test_paths_tell_which_model_is_asked(tmp_path: Any) -> None:
    """What is posted below `/models/NAME` is counted for that model, everything else for the first."""

    async def work() -> None:
        signature = small_signature(Column("a", "number"), example={"a": 1.0})
        models = tuple(
            ModelSpec(f"{name}@1", VERSION, "sklearn", "/nowhere", signature) for name in ("one", "two")
        )
        spec = ReplicaSpec(models)
        served = []
        for each in models:
            model = Gated()
            model.gate.set()
            served.append(Served(each, spec, NativeRuntime(model, signature), ThreadPoolExecutor(1)))
        application = Application(spec, tmp_path, lambda: None)
        application._take("predict", served, doors)

        for path in ("/predict", "/models/two/predict", "/models/two/predict", "/models/one/predict"):
            await application._routes["POST", path](Sent().request)

        assert [each.figures.of("predict").statuses[2] for each in served] == [2, 2]

    run(work)


class Posted:
    """A request that is whole, as a connection has it."""

    place = ("http", ("127.0.0.1", 8000))
    body = BODY

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.forsaken: Callable[[], object] | None = None
        self.status = 0
        self.over = asyncio.Event()
        named = (*headers, (b"content-length", b"%d" % len(BODY)))
        self.scope = {"method": "POST", "path": "/predict", "query_string": b"", "headers": named}

    def answer(self, status: int, headers: Any, body: bytes) -> None:
        assert not self.over.is_set()
        self.status = status
        self.over.set()


def quick(predict: Predicting, posted: Posted) -> None:
    request = Request(posted.scope, posted.answer)  # type: ignore[arg-type]
    made = predict.quick(request)
    assert made is not None
    made(posted)  # type: ignore[arg-type]


def test_what_is_answered_without_a_task_is_in_time_as_well() -> None:
    """Who waits longer than he said gets 504, once; and is not asked about if the model had not begun."""

    async def work() -> None:
        model = Gated()
        predict, served = predicting(model)
        first, late = Posted(), Posted((b"x-mlwright-timeout-ms", b"60"))

        quick(predict, first)
        await begun(model)
        quick(predict, late)
        await late.over.wait()
        assert late.status == 504
        model.gate.set()
        await first.over.wait()

        assert (first.status, model.asked) == (200, 1)
        assert served.figures.in_flight == 0
        assert served.figures.of("predict").statuses[2:] == [1, 0, 0, 1]

    run(work)


def test_who_has_gone_is_not_asked_about() -> None:
    """A client that leaves while it waits is counted, and costs the model nothing."""

    async def work() -> None:
        model = Gated()
        predict, served = predicting(model)
        first, leaves = Posted(), Posted()
        quick(predict, first)
        await begun(model)
        quick(predict, leaves)
        await asyncio.sleep(0)
        assert served.figures.queue_rows == 1

        assert leaves.forsaken is not None
        leaves.forsaken()

        assert (served.figures.queue_rows, served.figures.dropped) == (0, 1)
        model.gate.set()
        await first.over.wait()
        assert (first.status, model.asked, served.figures.in_flight) == (200, 1, 0)

    run(work)


@pytest.mark.parametrize(
    "headers",
    [
        ((b"content-length", b"99999999999"),),
        ((b"transfer-encoding", b"chunked"),),
    ],
)
def test_what_is_large_or_of_unknown_length_takes_a_task(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Only a task reads a body piece by piece, and counts it."""

    async def work() -> None:
        predict, _ = predicting(Gated())
        scope = {"method": "POST", "path": "/predict", "query_string": b"", "headers": headers}

        assert predict.quick(Request(scope, Posted().answer)) is None  # type: ignore[arg-type]

    run(work)
