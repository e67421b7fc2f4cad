"""The rooms that the protocol's handlers speak to, and the ways to read and to change them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from mlwright.server.bodies import Bodies
from mlwright.server.commits import Commits
from mlwright.server.guard import Guard
from mlwright.server.identity import Admission, Identities
from mlwright.server.oidc.journeys import Journeys
from mlwright.server.oidc.provider import Provider
from mlwright.server.readers import Readers
from mlwright.server.threads import Threads
from mlwright.tracking.experiments import Experiments
from mlwright.tracking.files import Files
from mlwright.tracking.logged_models import LoggedModels
from mlwright.tracking.reports import Reports
from mlwright.versioning.reported import ReportedVersions
from mlwright.workflow import Rooms
from mlwright.workflow.model_files import ModelFiles

if TYPE_CHECKING:
    from mlwright.app import Project


class Tracker(Struct, frozen=True):
    """What a server holds while it runs."""

    project: Project
    rooms: Rooms
    experiments: Experiments
    reports: Reports
    files: Files
    logged_models: LoggedModels
    versions: ReportedVersions
    model_files: ModelFiles
    commits: Commits
    readers: Readers
    bodies: Bodies
    threads: Threads
    guard: Guard
    identities: Identities
    journeys: Journeys
    provider: Provider | None

    @classmethod
    def begin(cls, project: Project, admission: Admission, guard: Guard) -> Tracker:
        """Start the threads that write and read; called inside the event loop."""
        rooms = project.rooms
        database = rooms.database
        commits = Commits(database, asyncio.get_running_loop())
        return cls(
            project,
            rooms,
            Experiments(),
            Reports(),
            Files(rooms.objects),
            LoggedModels(),
            ReportedVersions(database),
            ModelFiles(rooms),
            commits,
            Readers(database),
            Bodies(),
            Threads(),
            guard,
            Identities(admission, Readers(database, 1), commits),
            Journeys(),
            None if admission.login is None else Provider(admission.login),
        )

    def end(self) -> None:
        """Commit what was taken, and end the threads."""
        self.threads.close()
        self.commits.close()
        self.identities.close()
        self.readers.close()
