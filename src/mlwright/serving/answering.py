"""What answers requests in a replica: an application, and the connections on which it is asked."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from mlwright.kernel.errors import MlwrightError
from mlwright.wire.bounds import Bounds
from mlwright.wire.connections import Connection
from mlwright.wire.loop import Life, fitting
from mlwright.wire.refusals import problem
from mlwright.wire.traffic import Traffic

BOUNDS = Bounds(idle_s=65.0, drain_s=10.0)
"""What clients are allowed."""
_BACKLOG = 2048
_TAKING_S = 0.1
"""Who waits in the queue of a socket that is given up is let in for so long: it may be the end of it."""


class Loading(Protocol):
    """An ASGI application that loads models once it has begun.

    `ready` is set when it can answer; if it never will, `failure` says why.
    """

    ready: asyncio.Event
    failure: MlwrightError | None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI says."""


Making = Callable[[Callable[[], None]], Loading]
"""Makes an application; what it is given it calls when it has failed."""


class Answering:
    """An application and its connections, in the running event loop.

    Args:
        making: of the application, which is begun by `begin`.
    """

    def __init__(self, making: Making) -> None:
        state: dict[str, Any] = {"draining": asyncio.Event()}
        self._failed = asyncio.Event()
        self.application = application = making(self._failed.set)
        self._life = Life(application, state)
        self._traffic = Traffic(application, state, fitting(BOUNDS), problem)
        self._servers: dict[socket.socket, asyncio.Server] = {}
        self._watch: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Let the application load."""
        await self._life.begin()
        self._watch = asyncio.create_task(self._traffic.watch())

    async def ready(self) -> None:
        """Return when it can answer; raises what keeps it from that."""
        waits = [asyncio.ensure_future(each.wait()) for each in (self.application.ready, self._failed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if self.application.failure is not None:
            raise self.application.failure

    async def listen(self, listener: socket.socket) -> None:
        """Take connections from a socket, which is ours from now on."""
        loop = asyncio.get_running_loop()
        self._servers[listener] = await loop.create_server(
            lambda: Connection(self._traffic), sock=listener, backlog=_BACKLOG
        )

    async def unlisten(self, listener: socket.socket) -> None:
        """Take no more connections from it, and close our descriptor of it."""
        server, until_s = self._servers.pop(listener), time.monotonic() + _TAKING_S
        while select.select([listener], [], [], 0)[0] and time.monotonic() < until_s:
            await asyncio.sleep(0)
        server.close()

    async def drain(self, grace_s: float, *, lingers: bool) -> None:
        """Answer what there is; a second call may shorten the first one.

        Args:
            grace_s: what is not answered after this is cut off.
            lingers: connections between two requests wait for the next one, as others answer here now.
        """
        await self._traffic.drain(grace_s, lingers=lingers)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
            await self._life.end()

    def status(self) -> dict[str, Any]:
        """How it is, for people."""
        traffic = self._traffic
        return {
            "ready": self.application.ready.is_set(),
            "requests": traffic.requests,
            "in_flight": len(traffic.tasks),
            "connections": len(traffic),
        }
