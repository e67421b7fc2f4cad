"""The rooms below that a run draws on, opened on one project."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlwright.environments import Environments
from mlwright.kernel.database import Database
from mlwright.kernel.settings import ProjectFolder
from mlwright.storage import InlineObjects, check_out
from mlwright.tracking import Runs
from mlwright.versioning import Datasets, Models, Snapshot, Snapshots
from mlwright.workflow.attempts import Attempts
from mlwright.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Rooms:
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
    def objects(self) -> InlineObjects:
        """The bytes."""
        return self.workspace.objects

    def materialise(self, snapshot: Snapshot) -> Path:
        """The snapshot's files on disk, written once: an edit during a run changes nothing."""
        place = self.workspace.local / "snapshots" / snapshot.tree[:32]
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            making = Path(tempfile.mkdtemp(dir=place.parent, prefix="making-"))
            check_out(self.objects, self.snapshots.tree(snapshot), making)
            try:
                making.rename(place)
            except OSError:  # another run was faster, with the same files
                shutil.rmtree(making)
        return place


def open_rooms(project: ProjectFolder, workspace: Workspace) -> Rooms:
    """Open every room on a project's workspace."""
    database, objects, local = workspace.database, workspace.objects, workspace.local
    return Rooms(
        project=project,
        workspace=workspace,
        runs=Runs(database),
        attempts=Attempts(database),
        datasets=Datasets(database, objects),
        models=Models(database),
        snapshots=Snapshots(
            database, objects, project.root, project.settings.ignore, local / "snapshot-memory.json"
        ),
        environments=Environments(database, objects, project.root, local),
    )
