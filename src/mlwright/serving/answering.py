"""What answers requests in a replica: an application, and the connections on which it is asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

from starlette.types import ASGIApp

from mlwright.kernel.errors import MlwrightError
from mlwright.wire.bounds import Bounds
from mlwright.wire.exchange import Exchange
from mlwright.wire.service import Service


class Loading(Protocol):
    """An ASGI application that loads models once it has begun.

    `ready` is set when it can answer; if it never will, `failure` says why. `stuck` says what keeps it from
    answering any more, if something does. `over_http2` answers those who speak that, and is None to refuse
    them.
    """

    ready: asyncio.Event
    failure: MlwrightError | None

    @property
    def over_http2(self) -> ASGIApp | None:
        """As above."""

    @property
    def stuck(self) -> str:
        """A clause; empty as long as it answers."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI says."""

    def quick(self, exchange: Exchange) -> bool:
        """Answer without a task, or say False."""


Making = Callable[[Callable[[], None]], Loading]
"""Makes an application; what it is given it calls when it has failed."""


class Answering:
    """An application and its connections, in the running event loop.

    Args:
        making: of the application, which is begun by `begin`.
        bounds: what clients are allowed.
    """

    def __init__(self, making: Making, bounds: Bounds) -> None:
        self._failed = asyncio.Event()
        self.application = making(self._failed.set)
        self._service = Service(
            self.application,
            bounds=bounds,
            quick=self.application.quick,
            over_http2=self.application.over_http2,
        )

    async def begin(self) -> None:
        """Let the application load."""
        await self._service.begin()

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

    async def broken(self) -> None:
        """Return when it could answer, and can no more."""
        await self.application.ready.wait()
        await self._failed.wait()

    async def listen(self, listener: socket.socket) -> None:
        """Take connections from a socket, which is ours from now on."""
        await self._service.listen(listener)

    async def unlisten(self, listener: socket.socket) -> None:
        """Take no more connections from it, and close our descriptor of it."""
        await self._service.unlisten(listener)

    async def drain(self, grace_s: float, *, lingers: bool) -> None:
        """Leave all sockets, and answer what there is; a second call may shorten the first one.

        Args:
            grace_s: what is not answered after this is cut off.
            lingers: connections between two requests wait for the next one, as others answer here now.
        """
        await self._service.drain(grace_s, grace_s if lingers else 0.0)

    async def end(self) -> None:
        """End the application."""
        await self._service.end()

    def status(self) -> dict[str, Any]:
        """How it is, for people."""
        return {
            "ready": self.application.ready.is_set(),
            "requests": self._service.requests,
            "in_flight": self._service.in_flight,
            "connections": len(self._service),
        }
