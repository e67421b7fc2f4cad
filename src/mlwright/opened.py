"""An open workspace: looked at, looked over, copied and cleared, whatever project it is of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from msgspec.structs import replace

from mlwright.kernel import chain
from mlwright.kernel.chain import Chain
from mlwright.kernel.edges import End
from mlwright.kernel.errors import MlwrightError, NotFound
from mlwright.kernel.events import Event
from mlwright.kernel.history import EventFilter, follow, history, newest_id
from mlwright.kernel.pages import Page
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.words import printable
from mlwright.server.operations import Operation
from mlwright.versioning import Lineage
from mlwright.versioning.predictions import Predictions
from mlwright.workflow import Rooms
from mlwright.workflow.ends import finders, labellers
from mlwright.workflow.upkeep import Collected, backed_up, collect, plan_collect, summary, verified
from mlwright.workspace.backup import Manifest
from mlwright.workspace.summary import Summary
from mlwright.workspace.verify import Verified

_ALL = EventFilter()
T = TypeVar("T")


class OpenWorkspace:
    """A workspace in use. `Project` adds what is done in it.

    Use it as a context manager, or call `close`.
    """

    is_here = True
    """Its files and processes are this machine's: no server answers for it."""
    takes_paths = True
    """Whether a reference may be a path of this machine's disk. A server takes none from those who ask it."""

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
        return Lineage(
            self.rooms.database, finders(self.rooms, paths=self.takes_paths), labellers(self.rooms)
        )

    @cached_property
    def predictions(self) -> Predictions:
        """What was recorded of predictions."""
        return Predictions(self.rooms.database, self.rooms.objects, self.rooms.models.versions)

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

    def events(self, wanted: EventFilter = _ALL, *, subject: str = "") -> Page[Event]:
        """What happened; by default the newest 100 events, newest first.

        Args:
            wanted: which events.
            subject: what they happened to, as lineage takes it, or `KIND:ID`; empty for anything.

        Raises:
            Invalid: a word of the filter cannot be understood.
            NotFound: nothing is named so.
        """
        return history(self.rooms.database, self._about(wanted, subject))

    def follow_events(
        self, pause: Callable[[], object], wanted: EventFilter = _ALL, *, subject: str = ""
    ) -> Iterator[Event]:
        """Events as they come, oldest first, without an end.

        Args:
            pause: is called when there is nothing new; whatever it raises ends this.
            wanted: which events; first those after its `after`, or its `limit` newest.
            subject: as for `events`.

        Raises:
            Invalid, NotFound: as `events`.
        """
        wanted, after = self._about(wanted, subject), wanted.after
        if after is None:
            after = newest_id(self.rooms.database)
            yield from reversed(history(self.rooms.database, wanted, up_to=after).found)
        yield from follow(self.rooms.database, after, pause, wanted)

    def verify_events(self, head: str = "") -> Chain:
        """Whether the events are those that were recorded.

        Args:
            head: a digest that was told earlier: all events up to it must still be there.

        Raises:
            Invalid: `head` is no digest.
        """
        return chain.verify(self.rooms.database, head)

    def named(self, end: End) -> str:
        """How a thing is named to people, also one that is gone."""
        try:
            return self.lineage.label(end)
        except (MlwrightError, LookupError, ValueError):
            return printable(f"{end.kind} {end.id}")

    def _about(self, wanted: EventFilter, subject: str) -> EventFilter:
        if not subject:
            return wanted
        try:
            return replace(wanted, subject=self.lineage.find(subject))
        except NotFound:
            kind, colon, identity = subject.partition(":")  # what is gone is in no room, and its events are
            if not colon:
                raise
            return replace(wanted, subject=End(kind, identity))
