"""The ASGI application: finds the route, guards it, answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from mlwright.kernel.errors import NotFound
from mlwright.kernel.events import acting_as
from mlwright.kernel.version import VERSION
from mlwright.server import problems
from mlwright.server.api import ROUTES as REST
from mlwright.server.call import Call, Encoded, encode
from mlwright.server.guard import Guard
from mlwright.server.identity import NOBODY, Admission
from mlwright.server.login import ROUTES as LOGIN
from mlwright.server.login import login_path
from mlwright.server.oidc.routes import ROUTES as OIDC
from mlwright.server.permissions import Permission
from mlwright.server.problems import Refusal
from mlwright.server.protocols.mlflow import errors as mlflow_errors
from mlwright.server.protocols.mlflow import outside
from mlwright.server.protocols.mlflow.routes import ROUTES as MLFLOW
from mlwright.server.queue import Queue
from mlwright.server.routes import Route, Table
from mlwright.server.shield import OF_JSON, shield
from mlwright.server.tracker import Tracker
from mlwright.server.upkeep import look_after
from mlwright.web.routes import ROUTES as PAGES
from mlwright.web.routes import error_page

if TYPE_CHECKING:
    from mlwright.app import Project

_JSON = (b"content-type", b"application/json")


async def _health(_: Call) -> Response:
    """Tell that the server answers."""
    return Response("OK", media_type="text/plain")


async def _version(_: Call) -> Response:
    """Tell mlwright's version."""
    return Response(VERSION, media_type="text/plain")


ROUTES = (
    Route("GET", "/health", _health, Permission.ANYONE),
    Route("GET", "/version", _version, Permission.READ, tokenless=True),
    *LOGIN,
    *OIDC,
    *REST,
    *MLFLOW,
    *PAGES,
)
"""Everything that is answered."""


class App:
    """Answers requests on one project, from the event loop's begin to its end.

    Args:
        project: that is answered on.
        admission: on what terms.
        routes: what is answered.
    """

    def __init__(self, project: Project, admission: Admission, routes: Iterable[Route] = ROUTES) -> None:
        self._project = project
        self._admission = admission
        self._guard = Guard(admission.url)
        self._table = Table(routes)
        self._tracker: Tracker | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what a connection hands over."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            answer = await self._answer(scope, receive)
        except Exception as error:
            if outside.is_mlflow(scope["path"]):
                answer = mlflow_errors.told(error)
            else:
                page = _sent_to_login(error, scope) or error_page(error, scope)
                answer = page or Response(*problems.told(error))
        if isinstance(answer, Response):
            shield(answer)
            await answer(scope, receive, send)
            return
        body = answer.body if isinstance(answer, Encoded) else encode(answer)
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [_JSON, length, *OF_JSON]})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Any:
        assert self._tracker is not None
        method, path = scope["method"], scope["path"]
        headers = dict(scope["headers"])
        self._guard.check(scope, headers)
        identities = self._tracker.identities
        known = b"authorization" in headers or b"cookie" in headers
        identity = await identities.who(headers, method) if known else NOBODY
        methods, names = self._table.find(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            identities.check(identity, Permission.READ)
            raise _unknown(method, path, methods)
        identities.check(identity, route.permission, tokenless=route.tokenless)
        call = Call(self._tracker, names, headers, route.body_bytes, scope, receive, identity)
        try:
            with acting_as(identity.name, identity.token_id):
                return await route.handler(call)
        finally:
            call.end()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._tracker = Tracker.begin(self._project, self._admission, self._guard)
        upkeep = asyncio.create_task(look_after(self._tracker))
        queue = Queue(self._project.rooms)
        queue.begin()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        upkeep.cancel()
        queue.end()
        self._tracker.end()
        await send({"type": "lifespan.shutdown.complete"})


def _sent_to_login(error: Exception, scope: Scope) -> Response | None:
    """Where a person is sent who is nobody and wants a page; None for all others."""
    if scope["method"] != "GET" or not isinstance(error, Refusal) or error.http_status != 401:
        return None
    wanted = dict(scope["headers"]).get(b"accept", b"")
    return RedirectResponse(login_path(scope["path"]), 303) if b"text/html" in wanted else None


def _unknown(method: str, path: str, known: Iterable[str]) -> Exception:
    """What is told of a path that nothing answers, or not by this method."""
    if outside.is_mlflow(path):
        return outside.refusal(method, path, known)
    if methods := ", ".join(sorted(known)):
        refusal = f"{method} is not for {path[:200]}: {methods} is"
        return Refusal(405, refusal, headers={"allow": methods})
    return NotFound(f"there is nothing at {path[:200]}", hint="what there is: /api/v1/openapi.json")
