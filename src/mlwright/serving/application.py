"""What a replica answers: one look into a dict for each request, all of it loaded before it says ready."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
from starlette.types import Receive, Scope, Send

from mlwright.kernel.errors import MlwrightError, WorkFailed
from mlwright.serving import metrics
from mlwright.serving.asking import asking
from mlwright.serving.figures import Figures
from mlwright.serving.form import POLICY, form_page
from mlwright.serving.hosts import check_host
from mlwright.serving.openapi import openapi
from mlwright.serving.page import page
from mlwright.serving.prediction import Predicting
from mlwright.serving.problems import MEDIA_TYPE, Problem
from mlwright.serving.protocols import invocations, predict, tables, v2
from mlwright.serving.records import Recorder
from mlwright.serving.request import Reply, Request, Routes
from mlwright.serving.runtime.custom import CustomRuntime
from mlwright.serving.runtime.native import NativeRuntime
from mlwright.serving.served import Loader, Served, load
from mlwright.serving.spec import ModelSpec, ReplicaSpec
from mlwright.serving.telemetry import Telemetry, configured

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?")
_LOG = logging.getLogger(__name__)


class Application:
    """The routes of a replica, as an ASGI application.

    Args:
        spec: what it answers with.
        scratch: a folder where codecs may make copies.
        on_failure: called when a model cannot be made ready; `failure` says why.
    """

    def __init__(self, spec: ReplicaSpec, scratch: Path, on_failure: Callable[[], None]) -> None:
        self.spec = spec
        self.failure: MlwrightError | None = None
        self.ready = asyncio.Event()
        self._ending = False
        self._scratch = scratch
        self._on_failure = on_failure
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._recorder = None if spec.recording is None else Recorder(spec.recording)
        self._openapi = msgspec.json.encode(openapi(spec))
        self._telemetry: Telemetry | None = None
        self.figures = Figures()
        self._routes: Routes = {
            ("GET", "/health/live"): self._live,
            ("GET", "/health/ready"): self._ready,
            ("GET", "/"): self._form,
            ("GET", "/docs"): self._docs,
            ("GET", "/openapi.json"): self._document,
            ("GET", "/v2/health/live"): v2.live,
            ("GET", "/metrics"): self._metrics,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or begin and end with the server."""
        if scope["type"] == "lifespan":
            await self._live_span(receive, send)
            return
        request = Request(scope, receive)
        reply = await self._reply(request)
        body, headers = reply.body, [(b"content-type", reply.media_type.encode()), *reply.headers]
        if isinstance(body, bytes):
            headers.append((b"content-length", b"%d" % len(body)))
        if trace := asking.get().trace:
            headers += trace.headers
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if isinstance(body, bytes):
            await send({"type": "http.response.body", "body": body})
        else:
            await _pour(body, request, send)

    async def _reply(self, request: Request) -> Reply:
        method = request.method if request.method != "HEAD" else "GET"
        endpoint = self._routes.get((method, request.path))
        try:
            check_host(request.scope)
            self.spec.access.check(request)
            if endpoint is None:
                raise self._nothing(request)
            reply = await endpoint(request)
        except Problem as problem:
            reply = _told_to(request, problem)
        except Exception:
            _LOG.exception("a request was not answered")
            reply = _told_to(request, Problem(500, "the server failed, which is its own mistake"))
        if not isinstance(endpoint, Predicting):
            self.figures.elsewhere[reply.status // 100] += 1
        return reply

    def _nothing(self, request: Request) -> Problem:
        if not self.ready.is_set():
            return Problem(503, f"{self.spec.told} is not loaded yet", headers={"retry-after": "1"})
        methods = sorted(method for method, path in self._routes if path == request.path)
        if not methods:
            return Problem(404, "there is nothing here: see /docs")
        detail = f"{request.method} is not for {request.path}: see /docs"
        return Problem(405, detail, headers={"allow": ", ".join(methods)})

    async def _live_span(self, receive: Receive, send: Send) -> None:
        await receive()
        loading = asyncio.create_task(self._load())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._ending = True
        loading.cancel()
        self._thread.shutdown(wait=False)
        if self._recorder is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._recorder.close)
        if self._telemetry is not None:
            await asyncio.to_thread(self._telemetry.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _load(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            ended = partial(self._ended, loop)
            self._answer_with(await loop.run_in_executor(self._thread, self._loaded, ended))
        except Exception as error:
            said = f"{self.spec.told} cannot be served: {type(error).__name__}: {error}"
            self.failure = error if isinstance(error, MlwrightError) else WorkFailed(said)
            self._on_failure()
            return
        if self.failure is None:
            self.ready.set()

    def _ended(self, loop: asyncio.AbstractEventLoop, why: str) -> None:
        """The process that a model has for itself has ended; called in a thread of its own."""
        error = WorkFailed(f"the process of {self.spec.told} has ended: {why}")
        with suppress(RuntimeError):  # the loop is closed: this process ends as well
            loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: WorkFailed) -> None:
        if not self._ending:  # else it has ended with the thread that asked it
            self.failure = self.failure or error
            self._on_failure()

    def _answer_with(self, served: list[Served]) -> None:
        self.figures.models = {each.spec.model: each.figures for each in served}
        self._take(predict.routes(served, tables.READERS), served, "predict")
        if of_columns := [each for each in served if each.spec.signature.columns]:
            self._routes |= v2.about(of_columns)
            self._take(v2.routes(of_columns), of_columns, "v2")
            self._take(invocations.routes(of_columns), of_columns, "invocations")

    def _take(self, routes: Routes, served: list[Served], protocol: str) -> None:
        """Answer at these as well: who posts there asks the model in the path, or the first."""
        named = {each.spec.name: each for each in served}
        for (method, path), endpoint in routes.items():
            asked = named.get(path.partition("/models/")[2].partition("/")[0], served[0])
            self._routes[method, path] = (
                Predicting(endpoint, asked, protocol, self._telemetry) if method == "POST" else endpoint
            )

    def _loaded(self, ended: Callable[[str], object]) -> list[Served]:
        if configured():
            self._telemetry = Telemetry()
        return [
            load(each, self.spec, _loader(each, ended), self._scratch, self._thread, self._recorder)
            for each in self.spec.models
        ]

    async def _live(self, _: Request) -> Reply:
        return Reply(b'{"status":"live"}')

    async def _ready(self, request: Request) -> Reply:
        if not self.ready.is_set():
            raise self._nothing(request)
        return Reply(msgspec.json.encode({"status": "ready", "model": self.spec.models[0].model}))

    async def _docs(self, request: Request) -> Reply:
        host = request.headers.get("host", "")
        if not _HOST.fullmatch(host):
            host = "{}:{}".format(*request.scope["server"])
        policy = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")
        text = page(self.spec, f"{request.scope['scheme']}://{host}")
        return Reply(text.encode(), media_type="text/html; charset=utf-8", headers=(policy,))

    async def _form(self, _: Request) -> Reply:
        policy = (b"content-security-policy", POLICY.encode())
        text = form_page(self.spec)
        return Reply(text.encode(), media_type="text/html; charset=utf-8", headers=(policy,))

    async def _metrics(self, _: Request) -> Reply:
        return Reply(metrics.exposition(self.figures), media_type=metrics.MEDIA_TYPE)

    async def _document(self, _: Request) -> Reply:
        return Reply(self._openapi)


def _loader(spec: ModelSpec, ended: Callable[[str], object]) -> Loader:
    """How a model is read into memory.

    Args:
        ended: is told why, if it has a process for itself and that ends.
    """
    if spec.onnx:
        from mlwright.serving.runtime.onnx import OnnxRuntime

        return OnnxRuntime.load
    if spec.python:
        from mlwright.serving.runtime.child import ChildRuntime

        return partial(ChildRuntime.load, ended=ended)
    return CustomRuntime.load if spec.signature.predictor else NativeRuntime.load


def _told_to(request: Request, problem: Problem) -> Reply:
    """A problem in the form of the protocol that was asked."""
    if v2.is_below(request.path):
        return v2.told(problem)
    return invocations.told(problem) if request.path == invocations.PATH else told(problem)


def told(problem: Problem) -> Reply:
    """A problem as its document."""
    headers = tuple((name.encode(), value.encode("latin-1")) for name, value in problem.headers.items())
    return Reply(problem.document(), problem.http_status, MEDIA_TYPE, headers)


async def _pour(pieces: AsyncGenerator[bytes], request: Request, send: Send) -> None:
    """Send the pieces as they are made, until there is no more, or nobody waits for them."""
    gone = asyncio.ensure_future(request.gone())
    try:
        async for piece in pieces:
            if gone.done():
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        await pieces.aclose()
