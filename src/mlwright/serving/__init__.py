"""Predictions over HTTP: one model, loaded and proven before it says ready.

Law: while a request is answered there is no database, no lock and no log file; all that an answer needs was
loaded before `/health/ready` said so.

The names below are imported when they are first used: a client needs none of the server's libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlwright.serving.access import Access, access_by
    from mlwright.serving.client import Client, Prediction
    from mlwright.serving.groups import Group, shares_of
    from mlwright.serving.limits import checked_limits, limits_of
    from mlwright.serving.plan import (
        address_of,
        apart_requirements,
        plan_serve,
        serve_requirements,
        table_requirements,
    )
    from mlwright.serving.server import Server, start
    from mlwright.serving.spec import Limits, ModelSpec, Recording, ReplicaSpec, version_behind

__all__ = [
    "Access",
    "Client",
    "Group",
    "Limits",
    "ModelSpec",
    "Prediction",
    "Recording",
    "ReplicaSpec",
    "Server",
    "access_by",
    "address_of",
    "apart_requirements",
    "checked_limits",
    "limits_of",
    "plan_serve",
    "serve_requirements",
    "shares_of",
    "start",
    "table_requirements",
    "version_behind",
]

_HOMES = {
    "Access": "access",
    "access_by": "access",
    "Client": "client",
    "Group": "groups",
    "Limits": "spec",
    "checked_limits": "limits",
    "limits_of": "limits",
    "ModelSpec": "spec",
    "Prediction": "client",
    "Recording": "spec",
    "ReplicaSpec": "spec",
    "Server": "server",
    "address_of": "plan",
    "apart_requirements": "plan",
    "plan_serve": "plan",
    "serve_requirements": "plan",
    "shares_of": "groups",
    "start": "server",
    "table_requirements": "plan",
    "version_behind": "spec",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlwright.serving' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"mlwright.serving.{_HOMES[name]}"), name)
