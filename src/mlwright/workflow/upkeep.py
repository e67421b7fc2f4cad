"""Looking after a workspace: what its rooms say of it together, and a backup with the project's code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import all_migrations
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.events import history, last
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.words import are_counted
from mlwright.versioning.lineage import counts, loose_edges
from mlwright.workflow.rooms import Rooms
from mlwright.workspace.backup import Manifest, back_up
from mlwright.workspace.doctor import (
    Check,
    Finding,
    check_backup,
    check_clock,
    check_incoming,
    check_left_over_runs,
    check_repository,
)
from mlwright.workspace.summary import Summary, summarise
from mlwright.workspace.verify import Verified, Words, verify
from mlwright.workspace.workspace import OBJECTS


def summary(rooms: Rooms) -> Summary:
    """What is recorded, and how much room it takes."""
    recorded = {
        "runs": rooms.runs.count(),
        "attempts": rooms.attempts.count(),
        **counts(rooms.database),
        "environments": rooms.environments.count(),
    }
    return summarise(rooms.workspace, recorded)


def verified(rooms: Rooms, label: Callable[[End], str], progress: Progress = SILENT) -> Verified:
    """Look at every record, edge and byte.

    Args:
        label: how a thing is named to people.
    """

    def loose() -> Iterator[Edge]:
        yield from rooms.runs.loose_edges()
        yield from rooms.attempts.loose_edges()
        yield from loose_edges(rooms.database)
        yield from rooms.environments.loose_edges()

    words = Words(label, lambda end: _remedy(rooms, end))
    return verify(rooms.database, rooms.objects, loose, words, progress)


def backed_up(rooms: Rooms, target: Path, progress: Progress = SILENT) -> tuple[Manifest, tuple[str, ...]]:
    """Back up the workspace, with the project's files as they are now.

    Returns:
        What the backup says of itself; and the files of the project that are too large to be code.
    """
    snapshot = rooms.snapshots.take()
    with rooms.database.transaction() as tx:
        rooms.snapshots.record(tx, snapshot)
    project = rooms.project
    manifest = back_up(rooms.workspace, project.name, project.root, target, snapshot.tree, progress)
    return manifest, snapshot.left_out


def project_checks(rooms: Rooms) -> dict[str, Check]:
    """What the doctor looks at in a project and its workspace."""
    newest = history(rooms.database, limit=1)
    newest_us = newest[-1].at_us if newest else None
    objects = rooms.workspace.root / OBJECTS
    return {
        "project": lambda: Finding("project", "ok", f"{rooms.project.name} in {rooms.project.root}"),
        "repository": lambda: check_repository(rooms.snapshots.commit()),
        "packages": lambda: _check_packages(rooms),
        "workspace": lambda: Finding("workspace", "ok", f"{rooms.workspace.id}, schema {_schema()}"),
        "clock": lambda: check_clock(now_us(), newest_us),
        "runs": lambda: check_left_over_runs(len(rooms.runs.left_over())),
        "left files": lambda: check_incoming(objects / "incoming", now_us()),
        "backup": lambda: check_backup(last(rooms.database, "workspace.backed-up"), now_us()),
    }


def _schema() -> int:
    return all_migrations()[-1].number


def _check_packages(rooms: Rooms) -> Finding:
    """Whether the project's packages are locked, as they are asked for, and installed."""
    lock = rooms.environments.current()
    told = f"{are_counted(lock.packages, 'package')} locked"
    if rooms.environments.built(lock):
        return Finding("packages", "ok", f"{told}, and the environment is built")
    hint = "the next run builds it, or: mlwright environments sync"
    return Finding("packages", "ok", f"{told}; the environment is not built yet", hint)


def _remedy(rooms: Rooms, end: End) -> str:
    """What makes the bytes of a thing anew; empty when only a backup does."""
    if end.kind == "attempt":
        attempt = rooms.attempts.find(end.id)
        if attempt is not None:
            run = rooms.runs.recorded(attempt.run_id)
            return f"compute it again: mlwright run {run.pipeline} --no-cache"
    if end.kind == "version":
        version = rooms.datasets.versions.by_id(end.id)
        if version.kind == "dataset":
            return f"add the same files again: mlwright datasets add PATH --name {version.name}"
    if end.kind == "lock":
        return "if uv.lock is still the same, this stores it again: mlwright environments show"
    if end.kind == "snapshot":
        return "if the project's files are still the same, the next `mlwright run` stores them again"
    return ""
