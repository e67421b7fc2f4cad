"""What a replica answers: one look into a dict for each request, all of it loaded before it says ready."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlwright.kernel.errors import MlwrightError, WorkFailed
from mlwright.serving import metrics
from mlwright.serving.asking import asking
from mlwright.serving.computing import Computing
from mlwright.serving.figures import Figures
from mlwright.serving.form import POLICY, form_page
from mlwright.serving.grouped import Grouped
from mlwright.serving.groups import Group, Split
from mlwright.serving.hosts import check_host
from mlwright.serving.installed import has_grpc
from mlwright.serving.openapi import openapi
from mlwright.serving.page import page
from mlwright.serving.prediction import Predicting
from mlwright.serving.problems import Problem
from mlwright.serving.protocols import invocations, predict, tables, v2
from mlwright.serving.quick import AtOnce
from mlwright.serving.records import Recorder
from mlwright.serving.refusals import failed, told_to
from mlwright.serving.request import Doors, Reply, Request, Routes
from mlwright.serving.runtime.custom import CustomRuntime
from mlwright.serving.runtime.native import NativeRuntime
from mlwright.serving.served import Loader, Served, load
from mlwright.serving.shadows import Shadow
from mlwright.serving.spec import ModelSpec, ReplicaSpec
from mlwright.serving.telemetry import Telemetry, configured
from mlwright.wire.exchange import Exchange, Place
from mlwright.wire.heads import Head

if TYPE_CHECKING:
    from mlwright.serving.protocols.v2_grpc import Inference

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?")
_LOG = logging.getLogger(__name__)
_REMEMBERED = 1024


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
        self._thread = Computing(spec.limits.timeout_ms / 1000)
        self._recorder = None if spec.recording is None else Recorder(spec.recording)
        self._openapi = msgspec.json.encode(openapi(spec))
        self._telemetry: Telemetry | None = None
        self._shadows: list[Shadow] = []
        shares = spec.group is not None and spec.group.shares
        self._split = Split(spec.group, spec.models[0].model) if spec.group and shares else None
        self.figures = Figures()
        self._quick: dict[tuple[Head, Place], AtOnce | None] = {}
        self._grpc = _inference(self) if has_grpc() else None
        self._routes: Routes = {
            ("GET", "/health/live"): self._live,
            ("GET", "/health/ready"): self._ready,
            ("GET", "/"): self._form,
            ("GET", "/docs"): self._docs,
            ("GET", "/openapi.json"): self._document,
            ("GET", "/v2/health/live"): v2.live,
            ("GET", "/metrics"): self._metrics,
        }

    @property
    def over_http2(self) -> ASGIApp | None:
        """Answers calls of gRPC; None where its packages are not installed."""
        return None if self._grpc is None else self._grpc.calls

    @property
    def stuck(self) -> str:
        """What keeps it from answering, as a clause; empty if nothing does."""
        return self._thread.stuck

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or begin and end with the server."""
        if scope["type"] == "lifespan":
            await self._live_span(receive, send)
            return
        request = Request(scope, receive)
        reply = await self._reply(request)
        headers = reply.head(asking.get().trace)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if isinstance(reply.body, bytes):
            await send({"type": "http.response.body", "body": reply.body})
        else:
            await _pour(reply.body, request, send)

    def quick(self, exchange: Exchange) -> bool:
        """Answer a request without a task; False where that takes one."""
        key = exchange.head, exchange.place
        try:
            quick = self._quick[key]
        except KeyError:
            if len(self._quick) >= _REMEMBERED:
                self._quick.clear()
            quick = self._quick[key] = self._quick_for(exchange)
        if quick is None:
            return False
        quick(exchange)
        return True

    def _quick_for(self, exchange: Exchange) -> AtOnce | None:
        """What answers requests with such a head; what is wrong with it is told by a task."""
        request = Request(exchange.scope, _nothing_comes)
        endpoint = self._routes.get((request.method, request.path))
        if not isinstance(endpoint, Predicting | Grouped):
            return None
        try:
            self._check(request)
            return endpoint.quick(request)
        except Problem:
            return None

    async def _reply(self, request: Request) -> Reply:
        method = request.method if request.method != "HEAD" else "GET"
        endpoint = self._routes.get((method, request.path))
        try:
            self._check(request)
            if endpoint is None:
                raise self._nothing(request)
            reply = await endpoint(request)
        except Problem as problem:
            reply = told_to(request.path, problem)
        except Exception:
            _LOG.exception("a request was not answered")
            reply = told_to(request.path, failed())
        if not isinstance(endpoint, Predicting | Grouped):
            self.figures.elsewhere[reply.status // 100] += 1
        return reply

    def _check(self, request: Request) -> None:
        """Refuse who may not ask."""
        check_host(request.scope)
        self.spec.access.check(request)

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
        for shadow in self._shadows:
            shadow.close()
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
            self._quick.clear()
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
        self._take("predict", served, partial(predict.doors, readers=tables.READERS))
        if of_columns := [each for each in served if each.spec.signature.columns]:
            of_tables = v2.tables(of_columns)
            self._routes |= v2.about(of_columns) | invocations.about()
            self._take("v2", of_tables, v2.doors)
            if of_tables[:1] == of_columns[:1]:
                self._take("invocations", of_tables, invocations.doors)
        if self._grpc is not None:
            self._grpc.serve(served, self._telemetry, self._split)

    def _take(self, protocol: str, served: Sequence[Served], doors_of: Callable[[Served], Doors]) -> None:
        """Answer by a protocol as well. Of several versions of a model, its name is that of the first."""
        doors = [doors_of(each) for each in served]
        members = {
            each.spec.model: Predicting(there.endpoint, each, protocol, self._telemetry)
            for each, there in zip(served, doors, strict=True)
        }
        asked: dict[str, Predicting | Grouped] = {}
        for member, there in zip(members.values(), doors, strict=True):
            asked[there.version] = member
            asked.setdefault(there.model, member)
            asked.setdefault(there.any, member)
        if self._split is not None and set(self._split.models) <= set(members):
            grouped = Grouped(self._split, [members[each] for each in self._split.models])
            asked[doors[0].model] = asked[doors[0].any] = grouped
        self._routes |= {("POST", path): each for path, each in asked.items() if path}

    def _loaded(self, ended: Callable[[str], object]) -> list[Served]:
        if configured():
            self._telemetry = Telemetry()
        group = self.spec.group or Group()
        served = []
        for each in self.spec.models:
            apart = each.model in group.shadows
            thread = ThreadPoolExecutor(1, thread_name_prefix="shadow") if apart else self._thread
            loader, recorder = _loader(each, ended), self._recorder
            one = load(each, self.spec, loader, self._scratch, thread, recorder, inline=not apart)
            served.append(one)
            if apart:
                self._shadows.append(Shadow(one, thread, recorder))
        answering = {self.spec.models[0].model, *(each.model for each in group.shares)}
        for one in served:
            one.shadows = self._shadows if one.spec.model in answering else ()
        return served

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


def _inference(application: Application) -> Inference:
    """What can be called by gRPC; imported only where its packages are installed."""
    from mlwright.serving.protocols.v2_grpc import Inference

    return Inference(application.spec, application.ready, application.figures)


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


async def _nothing_comes() -> Message:
    raise AssertionError("the body was read before the head")


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
