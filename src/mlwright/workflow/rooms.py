"""The rooms below that a run draws on, opened on one project."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlwright.environments import Environments
from mlwright.kernel.database import Database, Transaction
from mlwright.kernel.ids import RunId
from mlwright.kernel.settings import ProjectFolder
from mlwright.sdk.report import JOURNAL
from mlwright.storage import InlineObjects, check_out
from mlwright.tracking import Runs, read_journal, record_metrics
from mlwright.versioning import Datasets, Models, Snapshot, Snapshots
from mlwright.workflow.attempts import Attempts, AttemptState
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
    attempts = Attempts(database)

    def lose(tx: Transaction, run: RunId) -> None:
        """What ran when the owner of a run died is lost with it; what it had reported is not."""
        for attempt in attempts.of_run(run, tx):
            if attempt.state is AttemptState.RUNNING:
                journal = workspace.scratch / run / attempt.id / JOURNAL
                record_metrics(tx, run, read_journal(journal))
                attempts.finish(tx, attempt, AttemptState.LOST)

    return Rooms(
        project=project,
        workspace=workspace,
        runs=Runs(database, on_lost=lose),
        attempts=attempts,
        datasets=Datasets(database, objects),
        models=Models(database),
        snapshots=Snapshots(
            database, objects, project.root, project.settings.ignore, local / "snapshot-memory.json"
        ),
        environments=Environments(database, objects, project.root, local),
    )
