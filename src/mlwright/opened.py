"""An open workspace: looked at, looked over, copied and cleared, whatever project it is of."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from mlwright.kernel.events import Event, history
from mlwright.kernel.progress import SILENT, Progress
from mlwright.server.operations import Operation
from mlwright.versioning import Lineage
from mlwright.workflow import Rooms
from mlwright.workflow.ends import finders, labellers
from mlwright.workflow.upkeep import Collected, backed_up, collect, plan_collect, summary, verified
from mlwright.workspace.backup import Manifest
from mlwright.workspace.summary import Summary
from mlwright.workspace.verify import Verified

T = TypeVar("T")


class OpenWorkspace:
    """A workspace in use. `Project` adds what is done in it.

    Use it as a context manager, or call `close`.
    """

    here = True
    """Its files and processes are this machine's: no server answers for it."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms

    def close(self) -> None:
        """Let go of the workspace."""
        self.rooms.workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def perform(self, operation: Operation[..., T], *args: Any, **kwargs: Any) -> T:
        """Do what an operation declares, here."""
        return operation.function(self, *args, **kwargs)  # type: ignore[arg-type]

    @cached_property
    def lineage(self) -> Lineage:
        """The way from anything to what it was made from, and to what came of it."""
        return Lineage(self.rooms.database, finders(self.rooms), labellers(self.rooms))

    def summary(self) -> Summary:
        """What the workspace is, where it lies, and how much room its parts take."""
        return summary(self.rooms)

    def verify(self, progress: Progress = SILENT) -> Verified:
        """Look at every record, edge and byte of the workspace; nothing is changed."""
        return verified(self.rooms, self.lineage.label, progress)

    def backup(self, target: Path, progress: Progress = SILENT) -> tuple[Manifest, tuple[str, ...]]:
        """Copy the workspace and the project's code into a folder elsewhere, while runs go on.

        Returns:
            What the backup says of itself; and the files of the project that are too large to be code.

        Raises:
            Invalid: the folder lies inside the project.
            Conflict: it holds something else; or another backup, or a collection, is going on.
            Unavailable: the disk is full or cannot be written.
        """
        return backed_up(self.rooms, target, progress)

    def plan_collect(self) -> Collected:
        """What `collect` would take away.

        Raises:
            NotFound, Corrupt: a stored tree cannot be read: what it names cannot be known.
        """
        return plan_collect(self.rooms)

    def collect(self, progress: Progress = SILENT) -> Collected:
        """Take away objects that nothing names any more, a day after anybody wanted them; runs may go on.

        Raises:
            Conflict: somebody else collects, or makes a backup.
            NotFound, Corrupt: as `plan_collect`; nothing went.
        """
        return collect(self.rooms, progress)

    def events(self, *, after: int | None = None, limit: int = 100) -> list[Event]:
        """The newest `limit` events, or the next ones after the id `after`; oldest first."""
        return history(self.rooms.database, after=after, limit=limit)
