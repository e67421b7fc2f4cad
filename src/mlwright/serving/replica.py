"""The process that answers: one model, one event loop, one thread that predicts."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mlwright.kernel.errors import MlwrightError
from mlwright.serving.openapi import openapi
from mlwright.serving.page import page
from mlwright.serving.predictor import Predictor
from mlwright.serving.problems import MEDIA_TYPE, Fault, Problem
from mlwright.serving.spec import FAILURE, ReplicaSpec, new_prediction_id
from mlwright.wire.bounds import Bounds
from mlwright.wire.loop import answer, signalled

BOUNDS = Bounds(idle_s=65.0, drain_s=10.0)
"""What clients are allowed."""
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?")
_PROBA = {"1": True, "true": True, "0": False, "false": False}


class Replica:
    """The routes of one model.

    Args:
        spec: what it answers with.
        scratch: a folder where the codec may make copies.
        on_failure: called when the model cannot be made ready; `failure` says why.
    """

    def __init__(self, spec: ReplicaSpec, scratch: Path, on_failure: Callable[[], None]) -> None:
        self.spec = spec
        self.failure: MlwrightError | None = None
        self._scratch = scratch
        self._on_failure = on_failure
        self._predictor: Predictor | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._openapi = msgspec.json.encode(openapi(spec))

    def app(self) -> Starlette:
        """The ASGI application, which loads the model once it is started."""
        made = Starlette(
            routes=[
                Route("/predict", self._predict, methods=["POST"]),
                Route("/health/live", self._live),
                Route("/health/ready", self._ready),
                Route("/docs", self._docs),
                Route("/openapi.json", self._document),
            ],
            exception_handlers={Problem: _told, HTTPException: _not_routed, Exception: _broken},
            lifespan=self._lifespan,
        )
        made.router.redirect_slashes = False
        return made

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        loading = asyncio.create_task(self._load())
        yield
        loading.cancel()
        self._thread.shutdown(wait=False)

    async def _load(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._predictor = await loop.run_in_executor(
                self._thread, Predictor.load, self.spec, self._scratch
            )
        except MlwrightError as error:
            self.failure = error
            self._on_failure()

    async def _predict(self, request: Request) -> Response:
        predictor = self._loaded()
        proba = self._wants_probabilities(request)
        body = await _body(request, self.spec.limits.body_bytes)
        identity = new_prediction_id(self.spec.version_id)
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._thread, self._answer, predictor, body, proba, identity)
        headers = {"x-mlwright-prediction-id": identity, "x-mlwright-model": self.spec.model}
        return Response(answer, media_type="application/json", headers=headers)

    def _answer(self, predictor: Predictor, body: bytes, proba: bool, identity: str) -> bytes:
        """The body of an answer; runs in the thread, so that health is answered meanwhile."""
        answer = predictor.answer(body, proba=proba)
        told: dict[str, Any] = {"predictions": answer.predictions}
        if answer.probabilities is not None:
            told["probabilities"] = answer.probabilities
        if answer.warnings:
            told["warnings"] = answer.warnings
        return msgspec.json.encode(told | {"model": self.spec.model, "id": identity})

    def _loaded(self) -> Predictor:
        if self._predictor is None:
            raise Problem(503, f"{self.spec.model} is not loaded yet", headers={"retry-after": "1"})
        return self._predictor

    def _wants_probabilities(self, request: Request) -> bool:
        given = request.query_params.get("proba", "0")
        if given not in _PROBA:
            raise Problem(422, faults=[Fault("must be 1 or 0", field="proba")])
        if _PROBA[given] and not self.spec.signature.probabilities:
            fault = Fault("cannot be asked for: this model gives no probabilities", field="proba")
            raise Problem(422, faults=[fault])
        return _PROBA[given]

    async def _live(self, _: Request) -> Response:
        return _json({"status": "live"})

    async def _ready(self, _: Request) -> Response:
        self._loaded()
        return _json({"status": "ready", "model": self.spec.model})

    async def _docs(self, request: Request) -> Response:
        host = request.headers.get("host", "")
        if not _HOST.fullmatch(host):
            host = "{}:{}".format(*request.scope["server"])
        policy = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(page(self.spec, f"{request.url.scheme}://{host}"), headers=policy)

    async def _document(self, _: Request) -> Response:
        return Response(self._openapi, media_type="application/json")


async def _body(request: Request, limit_bytes: int) -> bytes:
    """The body, of which no more than the limit is ever kept.

    What is not read here is read and thrown away by the server, so that the client gets to the answer.

    Raises:
        Problem: 413 too large, 415 not declared as JSON.
    """
    headers = request.headers
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, f"the content type must be application/json, not {kind[:40]}")
    if (coding := headers.get("content-encoding", "identity").strip().lower()) != "identity":
        raise Problem(415, f"the content must not be encoded, and is {coding[:40]}")
    too_large = Problem(413, f"the body is larger than {limit_bytes} bytes: send fewer rows at once")
    if int(headers.get("content-length", "0")) > limit_bytes:
        raise too_large
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit_bytes:
                raise too_large
            chunks.append(chunk)
    except ClientDisconnect:
        raise Problem(400, "the body ended too early") from None
    return b"".join(chunks)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return Response(error.document(), error.http_status, error.headers, MEDIA_TYPE)


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {
        404: "there is nothing here: see /docs",
        405: f"{request.method} is not for {request.url.path}: see /docs",
    }
    detail = details.get(error.status_code, error.detail)
    return await _told(request, Problem(error.status_code, detail, headers=error.headers))


async def _broken(request: Request, _: Exception) -> Response:
    return await _told(request, Problem(500, "the server failed, which is its own mistake"))


def main(arguments: list[str]) -> None:
    """Answer until SIGTERM; arguments: the spec's path, the socket's descriptor.

    Ends with status 0 after SIGTERM, else with the exit code of what kept the model from being ready, which
    is told in the file `FAILURE` beside the spec.
    """
    spec_path, descriptor = Path(arguments[0]), int(arguments[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the engine's to act on
    failure = uvloop.run(_answer(spec_path, socket.socket(fileno=descriptor)))
    if failure is not None:
        told = {"message": failure.message, "hint": failure.hint}
        (spec_path.parent / FAILURE).write_bytes(msgspec.json.encode(told))
        sys.exit(failure.exit_code)


async def _answer(spec_path: Path, listener: socket.socket) -> MlwrightError | None:
    """Answer until SIGTERM; what kept the model from being ready, if something did."""
    loop, told_to_end = asyncio.get_running_loop(), asyncio.Event()
    replica = Replica(ReplicaSpec.read(spec_path), spec_path.parent, on_failure=told_to_end.set)
    with signalled(lambda: loop.call_soon_threadsafe(told_to_end.set)):
        await answer(replica.app(), listener, lambda: None, told_to_end, bounds=BOUNDS)
    return replica.failure
