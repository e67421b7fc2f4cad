"""A run's project in a fresh place, with a workspace of its own: what is done there leaves no trace here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlwright.environments import Lock
from mlwright.kernel import edges
from mlwright.storage import check_out
from mlwright.tracking import Run
from mlwright.versioning import artifact
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms

Opener = Callable[[Path], Rooms]
"""Opens a project's folder, in a workspace of its own."""


def locks_of(rooms: Rooms, run: Run) -> dict[str, Lock]:
    """The environments that a run was made with, by name; its own has an empty one."""
    return {
        edge.role.removeprefix("environment").removeprefix(":"): rooms.environments.get(edge.earlier.id)
        for edge in edges.made_from(rooms.database, run.end)
        if edge.earlier.kind == "lock"
    }


def restore_run(rooms: Rooms, run: Run, folder: Path, opener: Opener) -> tuple[Rooms, Request]:
    """What a run was made from, in a project of its own, and the request that makes it again there.

    Args:
        rooms: where the run is recorded.
        folder: where to; it is empty.
        opener: opens the fresh project.

    Returns:
        The fresh project, which whoever asked closes, and a request without cache that registers nothing.

    Raises:
        Corrupt: recorded bytes are damaged.
    """
    made_with = {edge.role: edge.earlier for edge in edges.made_from(rooms.database, run.end)}
    snapshot = rooms.snapshots.get(made_with["code"].id)
    locks = locks_of(rooms, run)
    check_out(rooms.objects, rooms.snapshots.tree(snapshot), folder)
    fresh = opener(folder)
    try:
        fresh.snapshots.adopt(snapshot, rooms.objects)
        for lock in locks.values():
            fresh.environments.adopt(lock, rooms.objects)
        for role, end in made_with.items():
            if role.startswith("data:"):
                fresh.datasets.adopt(rooms.datasets.versions.by_id(end.id), rooms.objects)
            elif role.startswith("reference:"):
                version = rooms.models.versions.by_id(end.id)
                model = artifact(rooms.database, version.artifact_id)
                fresh.models.adopt(version, model, rooms.objects, fresh.objects)
    except BaseException:
        fresh.workspace.close()
        raise
    request = Request(
        run.pipeline,
        rooms.runs.parameters(run.id),
        run.seed,
        cache=False,
        pins=run.pins,
        replay=True,
        snapshot=snapshot,
        locks=locks,
    )
    return fresh, request
