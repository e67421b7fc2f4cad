"""Doors: every operation of the house, and what the server tells of itself."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from mlwright.server.call import Call
from mlwright.server.openapi import openapi
from mlwright.server.operations import PREFIX, Operation
from mlwright.server.permissions import Permission
from mlwright.server.rest import routes_of
from mlwright.server.routes import Route
from mlwright.workflow import pipelines_api, runs_api

OPERATIONS: tuple[Operation[..., Any], ...] = (*runs_api.OPERATIONS, *pipelines_api.OPERATIONS)
"""What the REST API answers, noun by noun."""


async def _openapi(_: Call) -> Response:
    """Tell what the REST API answers, in OpenAPI's words."""
    return Response(msgspec.json.encode(openapi(OPERATIONS)), media_type="application/json")


ROUTES = (
    *routes_of(OPERATIONS),
    Route("GET", f"{PREFIX}/openapi.json", _openapi, Permission.READ),
)
"""The REST API."""
