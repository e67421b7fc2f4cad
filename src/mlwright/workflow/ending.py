"""How a run ends: what is left of its attempts goes on record, then its state, with a writer or without."""

from __future__ import annotations

from mlwright.kernel.database import Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Busy, Conflict, DiskFull, MlwrightError
from mlwright.kernel.ids import short
from mlwright.kernel.leases import Lease
from mlwright.kernel.writer import Change
from mlwright.tracking import Run, RunState
from mlwright.workflow.durations import Durations
from mlwright.workflow.rooms import Rooms


class Ending:
    """What is written last of a run that this process executes.

    Args:
        error: what ended it; it is told to the user, and kept with the run.
    """

    def __init__(
        self,
        rooms: Rooms,
        run: Run,
        lease: Lease,
        durations: Durations,
        state: RunState,
        error: MlwrightError | None,
    ) -> None:
        self._rooms = rooms
        self._run = run
        self._lease = lease
        self._durations = durations
        self._state = state
        self._error = error
        self._told = None if error is None else _told(error)
        self._logs: dict[str, Digest] | None = None

    def settle(self, tx: Transaction) -> None:
        """End what still runs; what its steps reported is on record then."""
        self._rooms.scratch.lose(tx, self._run.id, self._printed())

    def finish(self, tx: Transaction) -> None:
        """Write down how the run ended."""
        self._rooms.runs.finish(tx, self._run, self._state, self._lease, self._told)
        self._durations.record(tx, self._run.project)

    def without_writer(self, *, declared_lost: bool) -> None:
        """Record what can be when the writer could not go on.

        Where the disk is full, room is made of what nobody reads any more. If that is not enough, the end is
        recorded alone; and where that cannot be either, the run is lost for whoever looks next.

        Args:
            declared_lost: somebody has ended the run; what its steps reported may come behind that.

        Raises:
            MlwrightError: a success cannot be recorded.
        """

        def whole(tx: Transaction) -> None:
            self.settle(tx)
            if not declared_lost:
                self.finish(tx)

        try:
            try:
                self._directly(whole)
            except DiskFull:
                self._rooms.scratch.make_room(self._run.id)
                self._directly(whole)
            self._rooms.scratch.remove(self._run.id)
        except DiskFull as full:
            self.keep(self._error or full)
            self._alone(full)
        except MlwrightError as broken:
            if is_declared_lost(broken) or declared_lost:
                return
            self.keep(self._error or broken)
            if self._error is None:
                raise

    def keep(self, error: MlwrightError) -> None:
        """Say in an error that what was reported is not lost, and when it is on record."""
        kept = f"what its steps had logged is kept, and recorded by: mlwright runs show {short(self._run.id)}"
        error.hint = f"{error.hint}; {kept}" if error.hint else kept
        self._told = None if self._error is None else _told(self._error)

    def _alone(self, full: DiskFull) -> None:
        """Record the end without what was reported."""

        def change(tx: Transaction) -> None:
            self._rooms.scratch.end(tx, self._run.id, self._printed())
            self.finish(tx)

        try:
            self._directly(change)
        except MlwrightError as broken:
            if self._error is None and not is_declared_lost(broken):
                raise full from broken

    def _directly(self, change: Change) -> None:
        with self._rooms.database.transaction() as tx:
            change(tx)

    def _printed(self) -> dict[str, Digest]:
        """What running attempts have printed, as far as it can be stored; that is tried once."""
        if self._logs is None:
            try:
                self._logs = self._rooms.scratch.logs(self._run.id)
            except (MlwrightError, OSError):
                self._logs = {}
        return self._logs


def is_declared_lost(error: MlwrightError) -> bool:
    """Whether somebody ended the run meanwhile, and that stays."""
    return isinstance(error, Conflict) and not isinstance(error, Busy)


def _told(error: MlwrightError) -> dict[str, str | None]:
    return {"message": error.message, "where": error.where, "hint": error.hint}
