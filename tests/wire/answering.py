"""An application that answers on a port of this process, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlwright.kernel.sockets import listen
from mlwright.wire.bounds import Bounds
from mlwright.wire.service import BOUNDS, Service

DEADLINE_S = 30


class Answering:
    """A service in an event loop of its own.

    Args:
        loop: runs in another thread.
        service: in it.
        listener: of the service; the port stays its own as long as the service listens.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, service: Service, listener: socket.socket) -> None:
        self._loop = loop
        self.service = service
        self.port = int(listener.getsockname()[1])

    def begin(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Let the loop do it; a future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Let the loop do it, and wait until it is done."""
        return self.begin(work).result(DEADLINE_S)

    def connect(self) -> socket.socket:
        """A connection by hand."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)


@contextmanager
def answering(
    app: ASGIApp,
    bounds: Bounds = BOUNDS,
    listener: socket.socket | None = None,
    over_http2: ASGIApp | None = None,
) -> Iterator[Answering]:
    """It answers while the block runs."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        there = _begun(app, over_http2, bounds, listener or listen("127.0.0.1", 0), loop)
        try:
            yield there
        finally:
            there.do(there.service.end())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE_S)
        loop.close()


def _begun(
    app: ASGIApp,
    over_http2: ASGIApp | None,
    bounds: Bounds,
    listener: socket.socket,
    loop: asyncio.AbstractEventLoop,
) -> Answering:
    async def begun() -> Answering:
        service = Service(app, bounds=bounds, over_http2=over_http2)
        await service.begin()
        there = Answering(loop, service, listener)
        await service.listen(listener)
        return there

    return asyncio.run_coroutine_threadsafe(begun(), loop).result(DEADLINE_S)


async def live(receive: Receive, send: Send) -> None:
    """Begin and end with the server, as ASGI has it."""
    for what in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{what}.complete"})


async def body_of(receive: Receive) -> bytes:
    """The whole body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def told(send: Send, body: bytes = b"OK", status: int = 200) -> None:
    """Answer."""
    length = (b"content-length", b"%d" % len(body))
    start: Message = {"type": "http.response.start", "status": status, "headers": [length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def constant(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that reads what it is sent and always answers OK."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    await body_of(receive)
    await told(send)
