"""The rooms below that a run draws on, opened on one project."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from msgspec import Struct

from mlwright.compute.tree import end_marked, engine_mark
from mlwright.environments import Environments
from mlwright.kernel.database import Database
from mlwright.kernel.leases import Lease
from mlwright.kernel.settings import ProjectFolder
from mlwright.storage import InlineObjects, Places, Tree, check_out
from mlwright.storage.inline import INLINE_BYTES
from mlwright.tracking import Runs
from mlwright.versioning import Datasets, Models, Snapshot, Snapshots
from mlwright.workflow.attempts import Attempts
from mlwright.workflow.readers import python_for_tables
from mlwright.workflow.scratch import Scratch
from mlwright.workspace import Workspace


class Rooms(Struct, frozen=True):
    """One project and its workspace, room by room."""

    project: ProjectFolder
    workspace: Workspace
    runs: Runs
    attempts: Attempts
    datasets: Datasets
    models: Models
    snapshots: Snapshots
    environments: Environments

    @property
    def database(self) -> Database:
        """The records."""
        return self.workspace.database

    @property
    def inline_bytes(self) -> int:
        """Up to this size a value is a record."""
        return INLINE_BYTES

    @property
    def objects(self) -> InlineObjects:
        """The bytes."""
        return self.workspace.objects

    @property
    def scratch(self) -> Scratch:
        """Where runs work."""
        return Scratch(self.workspace.scratch, self.database, self.attempts, self.objects)

    def materialise(self, snapshot: Snapshot) -> Path:
        """The snapshot's files on disk, written once: an edit during a run changes nothing.

        A folder whose files have other sizes by now (a power cut, a step that wrote there) is made anew.
        """
        place = self.workspace.local / "snapshots" / snapshot.tree[:32]
        tree = self.snapshots.tree(snapshot)
        if _intact(place, tree):
            with contextlib.suppress(FileNotFoundError):  # collected in this moment
                os.utime(place)  # what is used is not collected
                return place
        place.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=place.parent, prefix="making-"))
        try:
            check_out(self.objects, tree, making)
            for each in tree.entries:
                (making / each.path).chmod(0o555 if each.executable else 0o444)
            if place.exists() and not _intact(place, tree):
                shutil.rmtree(place.rename(tempfile.mkdtemp(dir=place.parent, prefix="making-")))
            with contextlib.suppress(OSError):  # another run was faster, with the same files
                making.rename(place)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return place


def open_rooms(project: ProjectFolder, workspace: Workspace) -> Rooms:
    """Open every room on a project's workspace."""
    database, objects, local = workspace.database, workspace.objects, workspace.local
    attempts = Attempts(database)
    told = project.settings.openlineage.get("file")  # grows with each run, and is no code
    ignore = (*project.settings.ignore, f"/{told}") if told else project.settings.ignore
    environments = Environments(database, objects, project.root, local)
    scratch = Scratch(workspace.scratch, database, attempts, objects)
    return Rooms(
        project=project,
        workspace=workspace,
        runs=Runs(
            database,
            on_lost=lambda tx, run: scratch.lose(tx, run, scratch.logs(run)),
            on_gone=_end_left_behind,
            on_looked=scratch.clear,
        ),
        attempts=attempts,
        datasets=Datasets(
            database,
            objects,
            Places(local / "places"),
            project.root,
            summaries=local / "summaries",
            python=lambda: python_for_tables(environments),
        ),
        models=Models(database),
        snapshots=Snapshots(database, objects, project.root, ignore, Places(local / "code")),
        environments=environments,
    )


def _end_left_behind(owner: Lease) -> None:
    """End what steps have started and their workers could not take with them when all were killed."""
    if owner.here:
        end_marked(engine_mark(owner.pid, owner.started))


def _intact(place: Path, tree: Tree) -> bool:
    """Whether every file of a tree stands in a folder with the size it should have."""
    try:
        return all((place / each.path).stat().st_size == each.size_bytes for each in tree.entries)
    except OSError:
        return False
