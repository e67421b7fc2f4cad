"""Locks by what they are called: a name of the project's, a script, a run, a digest."""

from __future__ import annotations

from pathlib import Path

from mlwright.environments import Lock
from mlwright.kernel.errors import NotFound
from mlwright.kernel.ids import looks_like_id
from mlwright.kernel.plan import Plan
from mlwright.tracking.runs import counts_back
from mlwright.workflow.detail import environment_of
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.scripts import path_in


def lock_called(rooms: Rooms, reference: str, start: Path | None) -> Lock:
    """The lock of an environment: by its name, a script, a run (`RUN`, `RUN/STEP`), or a digest.

    Args:
        reference: empty, or `default`, for the project's own.
        start: what a script's path is relative to; None where nobody may name a path.

    Raises:
        NotFound: there is none.
        Unavailable: the project's files do not fit each other.
        Invalid: it fits several.
    """
    lock = rooms.environments.named(reference)
    if lock is not None:
        return lock
    if start is not None and reference.endswith(".py"):
        script = path_in(rooms.project, reference, start)
        return rooms.environments.of_script(script) or rooms.environments.current()
    run = reference.partition("/")[0]
    if counts_back(run) or looks_like_id(run):
        try:
            return environment_of(rooms, reference)
        except NotFound:
            if counts_back(run) or run != reference:
                raise
    return rooms.environments.find(reference)


def plan_lock(
    rooms: Rooms, name: str, start: Path, *, check: bool = False, allow_yanked: bool = False
) -> Plan:
    """Lock an environment by its name, or a script; without one, all that the project names.

    Args:
        start: what a script's path is relative to.
        check: only look what would be done.
        allow_yanked: also take versions that their authors took back.

    Raises:
        Invalid: it asks for what is no requirement.
        Unavailable: uv cannot resolve it; its own words follow.
    """
    if name.endswith(".py"):
        name = path_in(rooms.project, name, start)
    found = rooms.environments
    done = (
        [found.lock_file(name, check=check, allow_yanked=allow_yanked)]
        if name
        else found.lock_all(check=check, allow_yanked=allow_yanked)
    )
    return Plan("lock", tuple(change for each in done for change in each.changes))
