"""What of MLflow's protocol is not answered here, and what clients are told that ask for it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlwright.server.protocols.mlflow.errors import Refused

_SERVICES = frozenset(
    {
        *("assessments", "datasets", "demo", "gateway", "gateway-proxy", "genai", "get-online-trace-details"),
        *("get-trace-artifact", "issues", "jobs", "label-schemas", "prompt-optimization", "prompts"),
        *("review-queues", "runs/create-promptlab-run", "scorer", "scorers", "traces", "unified-traces"),
        *("webhooks", "workspaces", "experiments/search-datasets"),
    }
)
"""Traces, gateway, prompts, judges and what goes with them: the paths they begin with."""
_PATH = re.compile(r"/(?:ajax-)?api/[23]\.0/?mlflow/((?P<first>[^/]+)(?:/[^/]+)?).*", re.DOTALL)

_SPACES = ("/api/2.0/", "/api/3.0/", "/ajax-api/", "/get-artifact")


def is_mlflow(path: str) -> bool:
    """Whether a path is where MLflow's clients ask."""
    return path.startswith(_SPACES)


def refusal(method: str, path: str, known: Iterable[str]) -> Refused:
    """What is told of a path that nothing answers.

    Args:
        known: the methods by which the path is answered.
    """
    shown = path[:200]
    if methods := ", ".join(sorted(known)):
        return Refused(405, "ENDPOINT_NOT_FOUND", f"{method} is not for {shown}: {methods} is")
    found = _PATH.fullmatch(path)
    if found is not None and not _SERVICES.isdisjoint({found["first"], found[1]}):
        return Refused(501, "NOT_IMPLEMENTED", f"{shown} is none of tracking's or the registry's methods")
    return Refused(404, "ENDPOINT_NOT_FOUND", f"there is nothing at {shown}")
