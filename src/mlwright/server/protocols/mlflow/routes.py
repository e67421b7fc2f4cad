"""Every method of MLflow's protocol that is answered, at each of the places where its clients ask."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from mlwright.server.protocols.mlflow import (
    artifact_parts,
    artifacts,
    experiments,
    information,
    logged_models,
    metrics,
    registry,
    reporting,
    runs,
)
from mlwright.server.routes import Route

PLACES = ("/api/2.0/", "/api/3.0/", "/ajax-api/2.0/", "/ajax-api/3.0/")
"""What stands before the path of a method."""


def placed(routes: Iterable[Route]) -> list[Route]:
    """Routes whose paths stand below a version of the protocol, once for each version."""
    return [replace(route, path=place + route.path) for route in routes for place in PLACES]


def _of_clients(routes: Iterable[Route]) -> list[Route]:
    """Routes that MLflow's clients ask without a token, where that is allowed."""
    return [replace(route, tokenless=True) for route in routes]


ROUTES = _of_clients(
    (
        *placed((*experiments.ROUTES, *runs.ROUTES, *reporting.ROUTES, *metrics.ROUTES, *information.ROUTES)),
        *placed((*artifacts.ROUTES, *artifact_parts.ROUTES)),
        *placed((*registry.ROUTES, *logged_models.ROUTES)),
        *artifacts.OLD_ROUTES,
    )
)
"""All of them."""
