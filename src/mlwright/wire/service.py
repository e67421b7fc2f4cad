"""An application that is asked on sockets, which come and go while it runs, and that ends losing no request.

Whoever rolls to another process lets that one listen first. Then this one drains: it says with every answer
that the connection is closed, leaves the listeners, waits for who is still connected, and only then ends.
"""

from __future__ import annotations

import asyncio
import resource
import select
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mlwright.wire.bounds import Bounds
from mlwright.wire.connections import Connection
from mlwright.wire.refusals import Refuse, problem
from mlwright.wire.traffic import Quick, Traffic

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

BOUNDS = Bounds()
_FILES = 65_536
"""File descriptors that are asked for; no more are of use."""
_BACKLOG = 2048
_HANDSHAKE_S, _GOODBYE_S = 10.0, 5.0
"""How long a client has to begin and to end TLS."""
_TURNS = 1000
"""So often who has been let in is taken before a listener is left: on a shared one, others come for ever."""


class Service:
    """An application that is asked on sockets, in the running event loop.

    The application finds an `asyncio.Event` as `scope["state"]["draining"]`, which is set when the service
    drains: an answer that would go on without end, ends then.

    Args:
        app: answers the requests.
        tls: for `https`.
        bounds: what clients are allowed.
        refuse: writes what is told of a request that the application does not see.
        quick: is asked first about requests whose bodies came with their heads.
        over_http2: answers the requests of those who speak HTTP/2, which needs the library `h2`; None to
            refuse them.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tls: ssl.SSLContext | None = None,
        bounds: Bounds = BOUNDS,
        refuse: Refuse = problem,
        quick: Quick | None = None,
        over_http2: ASGIApp | None = None,
    ) -> None:
        state: dict[str, Any] = {"draining": asyncio.Event()}
        self._tls = tls
        self._life = _Life(app, state)
        self._traffic = Traffic(app, state, _fitting(bounds), refuse, quick)
        if over_http2 is not None:
            from mlwright.wire.http2 import Http2

            self._traffic.http2 = partial(Http2, over_http2)
        self._servers: dict[socket.socket, asyncio.Server] = {}
        self._watching: asyncio.Task[None] | None = None
        self._draining: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """How many are connected."""
        return len(self._traffic)

    @property
    def requests(self) -> int:
        """How many were taken since it began."""
        return self._traffic.requests

    @property
    def in_flight(self) -> int:
        """How many are being answered."""
        return sum(each.asked for each in self._traffic.busy)

    async def begin(self) -> None:
        """Return when the application is ready to be asked; raises what it raises."""
        await self._life.begin()
        self._watching = asyncio.create_task(self._traffic.watch())

    async def listen(self, listener: socket.socket) -> None:
        """Take whoever comes at a socket, which is the service's own from now on.

        Args:
            listener: made by `kernel.sockets.listen`, or inherited; other processes may have copies.
        """
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._traffic),
            sock=listener,
            backlog=_BACKLOG,
            ssl=self._tls,
            ssl_handshake_timeout=_HANDSHAKE_S if self._tls else None,
            ssl_shutdown_timeout=_GOODBYE_S if self._tls else None,
        )
        self._servers[listener] = server

    async def unlisten(self, listener: socket.socket) -> None:
        """Leave a socket and close it: who has been let in is taken, who comes later finds others' copies."""
        server = self._servers.pop(listener, None)
        if server is None:
            return
        for _ in range(_TURNS):  # a close resets who has been let in and was not taken
            if not select.select([listener], [], [], 0)[0]:
                break
            await asyncio.sleep(0)
        server.close()

    async def drain(self, grace_s: float | None = None, linger_s: float | None = None) -> None:
        """Answer what was taken with `Connection: close`, leave all listeners, return when all have gone.

        Once drained it stays so: who calls it again waits for the same end, and may bring it closer.

        Args:
            grace_s: after this, who is still there is cut off; `bounds.drain_s` if not given.
            linger_s: how long who is connected without asking may still ask; `bounds.linger_s` if not given.
        """
        if self._draining is None:
            self._draining = asyncio.ensure_future(self._drain(grace_s, linger_s))
        elif grace_s is not None or linger_s is not None:
            await self._gone(grace_s, linger_s)
        await asyncio.shield(self._draining)

    async def end(self) -> None:
        """Drain, and return when the application has ended; raises what it raises."""
        await self.drain()
        if self._watching is not None:
            self._watching.cancel()
        await self._life.end()

    async def _drain(self, grace_s: float | None, linger_s: float | None) -> None:
        self._traffic.draining.set()
        for listener in list(self._servers):
            await self.unlisten(listener)
        await self._gone(grace_s, linger_s)

    async def _gone(self, grace_s: float | None, linger_s: float | None) -> None:
        bounds = self._traffic.bounds
        await self._traffic.drain(
            bounds.drain_s if grace_s is None else grace_s, bounds.linger_s if linger_s is None else linger_s
        )


class _Life:
    """Tells the application when the service begins and ends. Source: the lifespan protocol of ASGI.

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


def _fitting(bounds: Bounds) -> Bounds:
    """As many connections as there are file descriptors for, of which a quarter is left for files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = wanted if soft == resource.RLIM_INFINITY else soft
    return msgspec.structs.replace(bounds, connections=min(bounds.connections, files * 3 // 4))
