"""Doors: every operation of the house, and what the server tells of itself."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from starlette.responses import Response

from mlwright.environments import api as environments_api
from mlwright.server import content, tokens_api
from mlwright.server.call import Call
from mlwright.server.openapi import openapi
from mlwright.server.operations import PREFIX, Operation
from mlwright.server.permissions import Permission
from mlwright.server.rest import routes_of
from mlwright.server.routes import Route
from mlwright.versioning import api as versioning_api
from mlwright.versioning import datasets_api, models_api, predictions_api
from mlwright.workflow import pipelines_api, runs_api
from mlwright.workspace import api as workspace_api

OPERATIONS: tuple[Operation[..., Any], ...] = (
    *runs_api.OPERATIONS,
    *pipelines_api.OPERATIONS,
    *datasets_api.OPERATIONS,
    *versioning_api.OPERATIONS,
    *models_api.OPERATIONS,
    *predictions_api.OPERATIONS,
    *environments_api.OPERATIONS,
    *workspace_api.OPERATIONS,
    *tokens_api.OPERATIONS,
)
"""What the REST API answers, noun by noun."""


async def _openapi(_: Call) -> Response:
    """Tell what the REST API answers, in OpenAPI's words."""
    return Response(msgspec.json.encode(document()), media_type="application/json")


@cache
def document() -> dict[str, Any]:
    """The REST API in OpenAPI's words; made once, and not to be changed."""
    return openapi(OPERATIONS, content.described())


ROUTES = (
    *routes_of(OPERATIONS),
    *content.ROUTES,
    Route("GET", f"{PREFIX}/openapi.json", _openapi, Permission.READ),
)
"""The REST API."""
