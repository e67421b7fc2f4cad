"""A run's project aside, in a workspace of its own: what is done there leaves no trace here."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mlwright.environments import Lock
from mlwright.kernel import edges
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict
from mlwright.kernel.files import locked
from mlwright.kernel.settings import LOCAL_FOLDER
from mlwright.storage import check_out
from mlwright.tracking import Run
from mlwright.tracking.run import PREDICTION
from mlwright.versioning import artifact
from mlwright.versioning.conversions import adopt_conversion
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


@contextmanager
def folder_aside(folder: Path, busy: str, hint: str) -> Iterator[None]:
    """Hold a folder of the local state, without what was there before.

    Args:
        busy: what is said if another process works there,
        hint: and what to do then.

    Raises:
        Conflict: one does.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder.with_name(f"{folder.name}.lock"), fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Conflict(busy, where=str(folder), hint=hint) from error
        shutil.rmtree(folder, ignore_errors=True)
        yield


@contextmanager
def trial_folder(rooms: Rooms, name: str) -> Iterator[Path]:
    """A folder for a trial; it stays, but for the environments that are built there.

    Raises:
        Conflict: another process works there.
    """
    folder = rooms.workspace.local / "trials" / name
    with folder_aside(folder, "another trial goes on", "when it has ended, the same command again"):
        try:
            yield folder
        finally:
            shutil.rmtree(folder / LOCAL_FOLDER / "local" / "environments", ignore_errors=True)


def _adopt_conversion(rooms: Rooms, fresh: Rooms, model: str, end: End) -> None:
    """Bring what answered for a model to the version of it that is there."""
    made = artifact(rooms.database, end.id)
    fresh.objects.put(rooms.objects.get(made.digest))
    with fresh.database.transaction() as tx:
        adopt_conversion(tx, fresh.models.versions.resolve(model), made)


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
        for role, end in made_with.items():
            if role.startswith("conversion:"):
                _adopt_conversion(rooms, fresh, role.partition(":")[2], end)
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
        predicts=run.kind == PREDICTION,
    )
    return fresh, request
