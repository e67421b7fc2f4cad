"""The event loop of a server: begun, bounded, and ended by signals without losing what it has taken."""

from __future__ import annotations

import asyncio
import resource
import select
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from mlwright.wire.bounds import Bounds
from mlwright.wire.connections import Connection
from mlwright.wire.refusals import Refuse, problem
from mlwright.wire.traffic import Traffic

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

_BOUNDS = Bounds()
_FILES = 65_536
"""File descriptors that are asked for; no more are of use."""
_BACKLOG = 2048
_HANDSHAKE_S, _GOODBYE_S = 10.0, 5.0
"""How long a client has to begin and to end TLS."""
_SWITCH_S = 0.001
"""How long a thread computes before another may: by default a commit waits 5 ms for the event loop."""


def serve(
    app: ASGIApp,
    listener: socket.socket,
    ready: Callable[[], object],
    *,
    tls: ssl.SSLContext | None = None,
    bounds: Bounds = _BOUNDS,
    refuse: Refuse = problem,
) -> None:
    """Answer until SIGTERM or Ctrl-C: then what was taken is still answered; a second one ends it at once.

    The application finds an `asyncio.Event` as `scope["state"]["draining"]`, which is set when the process is
    told to end: an answer that would go on without end, ends then.

    Args:
        ready: called as soon as it answers.
        tls: for `https`.
        bounds: what clients are allowed.
        refuse: writes what is told of a request that the application does not see.
    """
    sys.setswitchinterval(_SWITCH_S)
    uvloop.run(_serve(app, listener, ready, tls, bounds, refuse))


async def _serve(
    app: ASGIApp,
    listener: socket.socket,
    ready: Callable[[], object],
    tls: ssl.SSLContext | None,
    bounds: Bounds,
    refuse: Refuse,
) -> None:
    loop, told_to_end = asyncio.get_running_loop(), asyncio.Event()
    with signalled(lambda: loop.call_soon_threadsafe(told_to_end.set)):
        await answer(app, listener, ready, told_to_end, tls=tls, bounds=bounds, refuse=refuse)


async def answer(
    app: ASGIApp,
    listener: socket.socket,
    ready: Callable[[], object],
    told_to_end: asyncio.Event,
    *,
    tls: ssl.SSLContext | None = None,
    bounds: Bounds = _BOUNDS,
    refuse: Refuse = problem,
) -> None:
    """Answer until it is told to end: then what was taken is still answered.

    Args:
        ready: called as soon as it answers.
        told_to_end: set by whoever ends it.
        tls: for `https`.
        bounds: what clients are allowed.
        refuse: writes what is told of a request that the application does not see.
    """
    state: dict[str, Any] = {"draining": asyncio.Event()}
    life = Life(app, state)
    await life.begin()
    traffic = Traffic(app, state, fitting(bounds), refuse)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(traffic),
        sock=listener,
        backlog=_BACKLOG,
        ssl=tls,
        ssl_handshake_timeout=_HANDSHAKE_S if tls else None,
        ssl_shutdown_timeout=_GOODBYE_S if tls else None,
    )
    watch = asyncio.create_task(traffic.watch())
    ready()
    await told_to_end.wait()
    while select.select([listener], [], [], 0)[0]:  # who has been let in is taken
        await asyncio.sleep(0)
    server.close()
    await traffic.drain()
    watch.cancel()
    await life.end()


class Life:
    """Tells the application when the server begins and ends. Source: the lifespan protocol of ASGI.

    Args:
        state: what it shares with its requests.
    """

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
        self._task = asyncio.ensure_future(app(scope, self._asked.get, self._told.put))

    async def begin(self) -> None:
        """Return when the application is ready; raises what it raises."""
        await self._tell("lifespan.startup")

    async def end(self) -> None:
        """Return when it has ended; raises what it raises."""
        await self._tell("lifespan.shutdown")
        await self._task

    async def _tell(self, what: str) -> None:
        await self._asked.put({"type": what})
        answer = asyncio.ensure_future(self._told.get())
        await asyncio.wait({answer, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            await self._task
        assert answer.done() and answer.result()["type"] == f"{what}.complete", (
            f"the application fails: {what}"
        )


def fitting(bounds: Bounds) -> Bounds:
    """As many connections as there are file descriptors for, of which a quarter is left for files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = wanted if soft == resource.RLIM_INFINITY else soft
    return msgspec.structs.replace(bounds, connections=min(bounds.connections, files * 3 // 4))


@contextmanager
def signalled(ask: Callable[[], object]) -> Iterator[None]:
    """The first interrupt asks for the end, the next one is the end; what is ignored (`nohup`) stays so."""
    interrupts = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    numbers = [number for number in interrupts if signal.getsignal(number) is not signal.SIG_IGN]

    def first(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        ask()

    before = {number: signal.signal(number, first) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
