"""Doors: the operations on pipelines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mlwright.kernel.errors import Invalid
from mlwright.kernel.plan import Plan
from mlwright.server.operations import operation
from mlwright.server.permissions import Permission
from mlwright.workflow.found import FoundPipeline
from mlwright.workflow.graph import Graph
from mlwright.workflow.request import Request
from mlwright.workflow.runs_api import Seed

if TYPE_CHECKING:
    from mlwright.app import Project


class DrawnPipeline(Struct, frozen=True):
    """The graph of a pipeline, and its drawings.

    Args:
        graph: its steps, and what they take from each other.
        mermaid: as Mermaid draws it.
        svg: as a picture.
    """

    graph: Graph
    mermaid: str
    svg: str


@operation("GET", "/pipelines", Permission.READ)
def list_pipelines(project: Project) -> list[FoundPipeline]:
    """Every pipeline of the project, and where it stands; nothing is imported.

    Raises:
        NotFound: there is no folder for pipelines.
        Invalid: two pipelines have one name, or a module cannot be parsed.
    """
    return project.pipelines.list()


@operation("GET", "/pipelines/{pipeline}", Permission.READ)
def show_pipeline(project: Project, pipeline: str, *, parameters: tuple[str, ...] = ()) -> DrawnPipeline:
    """The graph of a pipeline, with its drawings.

    Args:
        pipeline: its name.
        parameters: on which the graph may depend: `trees=200`; the rest have their defaults.

    Raises:
        NotFound: there is no such pipeline.
        Invalid: it cannot be traced, or a parameter is wrong.
    """
    from mlwright.workflow.drawing import draw

    graph = project.pipelines.graph(Request(pipeline, _pairs(parameters)))
    return DrawnPipeline(graph, draw(graph, "mermaid"), draw(graph, "svg"))


@operation("POST", "/pipelines/{pipeline}/plan", Permission.READ)
def plan_pipeline(
    project: Project,
    pipeline: str,
    *,
    parameters: dict[str, Any] = {},  # noqa: B006  # never changed; msgspec makes a new one for each request
    seed: Seed = 0,
    cache: bool = True,
    snapshot: str = "",
    verify: bool = False,
) -> Plan:
    """What a run would do: for each step, whether it would be reused or run, and why.

    Args:
        pipeline: its name.
        parameters: the rest have their defaults.
        seed: of the run.
        cache: false runs every step again.
        snapshot: which recorded code, as for a run; empty for the project's files as they are now.
        verify: read all code and data again, also files that look unchanged.

    Raises:
        NotFound: there is no such pipeline or snapshot, or what it reads is not there.
        Invalid: it cannot be traced, or a parameter is wrong.
    """
    from mlwright.workflow.accept import with_code

    request = Request(pipeline, parameters, seed, cache=cache, verify=verify)
    return project.pipelines.plan(with_code(project.rooms, request, snapshot))


def as_texts(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Parameters as a query has them: text as it is, other values as JSON."""
    return tuple(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in parameters.items()
    )


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Invalid(f"{text!r} is not a parameter", where="parameters", hint="write NAME=VALUE")
        pairs[name] = value
    return pairs


OPERATIONS = (list_pipelines, show_pipeline, plan_pipeline)
"""All of them."""
