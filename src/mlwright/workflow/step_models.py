"""What the records say of a model that a step made: its lock, its signature, its training, its scores."""

from __future__ import annotations

import json
from typing import Any

from mlwright.environments import Lock
from mlwright.kernel import edges
from mlwright.kernel.edges import End
from mlwright.storage.inline import INLINE_BYTES
from mlwright.tracking import Run
from mlwright.versioning import Artifact, Version, artifact, artifacts_of
from mlwright.workflow.artifacts import NamedArtifact
from mlwright.workflow.prepare import draw_up
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import Unwatched


def lock_and_own(rooms: Rooms, run: Run, model: NamedArtifact) -> tuple[Lock, Lock | None]:
    """The lock of a run, and that of the environment that its step had for itself."""
    made_with = {edge.role: edge.earlier for edge in edges.made_from(rooms.database, run.end)}
    own = rooms.environments.get(made_with["environment"].id)
    others = {
        role.partition(":")[2]: end for role, end in made_with.items() if role.startswith("environment:")
    }
    if not others or run.kind != "pipeline":
        return own, None
    snapshot = rooms.snapshots.get(made_with["code"].id)
    request = Request(
        run.pipeline, rooms.runs.parameters(run.id), run.seed, snapshot=snapshot, locks={"": own}
    )
    graph = draw_up(rooms, request, Unwatched())
    step = model.step.partition("[")[0]
    name = next((node.environment for node in graph.nodes if node.name == step), "")
    return own, rooms.environments.get(others[name].id) if name in others else None


def recorded_signature(rooms: Rooms, model: Artifact) -> tuple[Artifact | None, dict[str, Any] | None]:
    """What a pipeline's `register` has asked of this model already, though its gate was closed."""
    for edge in edges.made_into(rooms.database, model.end, "input:model"):
        attempt = rooms.attempts.find(edge.later.id)
        if attempt is None or attempt.node.partition("-")[0] != "signature":
            continue
        made = artifacts_of(rooms.database, attempt.id).get("result")
        told = json.loads(rooms.objects.get(made.digest)) if made and made.codec == "json" else None
        if isinstance(told, dict) and {"inputs", "example"} <= told.keys():
            return made, told
    return None, None


def tables_given(rooms: Rooms, attempt: str) -> dict[str, Artifact]:
    """The tables and arrays that the step of a model was given, by argument.

    Args:
        attempt: that made the model.
    """
    made = {
        edge.role.removeprefix("input:"): artifact(rooms.database, edge.earlier.id)
        for edge in edges.made_from(rooms.database, End("attempt", attempt))
        if edge.role.startswith("input:") and edge.earlier.kind == "artifact"
    }
    return {name: each for name, each in made.items() if each.codec in {"table", "array"}}


def training_of(rooms: Rooms, model: Artifact) -> dict[str, Artifact | Version]:
    """The tables and datasets that the step which made a model was given, by argument."""
    makers = [edge.earlier for edge in edges.made_from(rooms.database, model.end)]
    attempts = [end for end in makers if end.kind == "attempt"]
    if not attempts:
        return {}
    given: dict[str, Artifact | Version] = dict(tables_given(rooms, attempts[0].id))
    for edge in edges.made_from(rooms.database, attempts[0]):
        if edge.role.startswith("input:") and edge.earlier.kind == "version":
            dataset = rooms.datasets.versions.by_id(edge.earlier.id)
            given[edge.role.removeprefix("input:")] = dataset
    return given


def scores_of(rooms: Rooms, run: Run, model: Artifact) -> tuple[Artifact | None, dict[str, float]]:
    """What the steps of a run measured of a model, and what the run logged; scores win over logs.

    The artifact is that of the one step that gave scores.
    """
    logged = {each.name: each.value for each in rooms.runs.metrics(run.id) if each.value is not None}
    metrics: dict[str, float] = {}
    given: list[tuple[Artifact, dict[str, float]]] = []
    mine = {attempt.id for attempt in rooms.attempts.of_run(run.id)}
    reused = {
        edge.earlier.id
        for attempt in mine
        for edge in edges.made_from(rooms.database, End("attempt", attempt), "reuses")
    }
    for edge in edges.made_into(rooms.database, model.end):
        if not edge.role.startswith("input:") or edge.later.id not in mine | reused:
            continue
        for made in artifacts_of(rooms.database, edge.later.id).values():
            if made.codec != "json" or made.size_bytes > INLINE_BYTES:
                continue
            if numbers := as_scores(json.loads(rooms.objects.get(made.digest))):
                given.append((made, numbers))
                metrics |= numbers
    left = {name: value for name, value in logged.items() if name not in metrics}
    return (given[0][0] if len(given) == 1 else None), metrics | left


def as_scores(value: Any) -> dict[str, float]:
    """Numbers by name; empty for what is none."""
    if not isinstance(value, dict) or not value:
        return {}
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in value.values())
    return {name: float(each) for name, each in value.items()} if numbers else {}
