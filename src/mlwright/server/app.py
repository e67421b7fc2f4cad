"""The ASGI application: finds the route, guards it, answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mlwright.kernel.version import VERSION
from mlwright.server import guard
from mlwright.server.call import Call, Encoded, encode
from mlwright.server.protocols.mlflow import outside
from mlwright.server.protocols.mlflow.errors import Refused, told
from mlwright.server.protocols.mlflow.routes import ROUTES as MLFLOW
from mlwright.server.routes import Permission, Route, Table
from mlwright.server.tracker import Tracker
from mlwright.server.upkeep import look_after
from mlwright.workflow import Rooms

_JSON = (b"content-type", b"application/json")


async def _health(_: Call) -> Response:
    """Tell that the server answers."""
    return Response("OK", media_type="text/plain")


async def _version(_: Call) -> Response:
    """Tell mlwright's version."""
    return Response(VERSION, media_type="text/plain")


ROUTES = (
    Route("GET", "/health", _health, Permission.READ),
    Route("GET", "/version", _version, Permission.READ),
    *MLFLOW,
)
"""Everything that is answered."""


class App:
    """Answers requests on the rooms of one project, from the event loop's begin to its end."""

    def __init__(self, rooms: Rooms, routes: Iterable[Route] = ROUTES) -> None:
        self._rooms = rooms
        self._table = Table(routes)
        self._tracker: Tracker | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what uvicorn hands over."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            answer = await self._answer(scope, receive)
        except Exception as error:
            answer = told(error)
        if isinstance(answer, Response):
            await answer(scope, receive, send)
            return
        body = answer.body if isinstance(answer, Encoded) else encode(answer)
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [_JSON, length]})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Any:
        assert self._tracker is not None
        method, path = scope["method"], scope["path"]
        headers = dict(scope["headers"])
        methods, names = self._table.find(path)
        route = methods.get(method)
        permission = Permission.WRITE if route is None else route.permission
        if (reason := guard.refusal(headers, permission)) is not None:
            raise Refused(403, "PERMISSION_DENIED", reason)
        if route is None:
            raise outside.refusal(method, path, methods)
        call = Call(self._tracker, route, names, headers, scope, receive)
        try:
            return await route.handler(call)
        finally:
            call.end()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._tracker = Tracker.begin(self._rooms)
        upkeep = asyncio.create_task(look_after(self._tracker))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        upkeep.cancel()
        self._tracker.end()
        await send({"type": "lifespan.shutdown.complete"})
