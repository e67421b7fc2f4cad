"""Where runs work on this machine. What attempts have reported there goes only when it is on record.

An attempt's journal, and the points beside it, are all that is kept of what it has reported until the engine
has read them and committed that. Once the record of its end is there, so is what it reported: both are one
transaction.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from mlwright.kernel import edges
from mlwright.kernel.database import Database, Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import MlwrightError
from mlwright.kernel.ids import AttemptId, RunId, looks_like_id
from mlwright.sdk.workplace import LOG, shorten
from mlwright.storage import InlineObjects
from mlwright.tracking import Runs, node_of, read_journal, record_metrics, record_params
from mlwright.workflow.attempts import Attempts, AttemptState, finish

_REPORTS = {".jsonl", ".points"}
_NOT_ON_RECORD = {None, AttemptState.RUNNING, AttemptState.LOST}


class Scratch:
    """Where all runs of a workspace work that are executed on this machine."""

    def __init__(self, place: Path, database: Database, attempts: Attempts, objects: InlineObjects) -> None:
        self._place = place
        self._database = database
        self._attempts = attempts
        self._objects = objects

    def lose(self, tx: Transaction, run: RunId, logs: Mapping[str, Digest]) -> None:
        """End whatever attempt of a run is recorded as running, with what it had printed; and record what was
        reported by those too that the records know nothing of. The same again changes nothing.

        Args:
            logs: as `logs` gives them.
        """
        known = {attempt.id: attempt for attempt in self._attempts.of_run(run, tx)}
        for identity in _reported(self._place / run):
            attempt = known.get(identity)
            if (attempt and attempt.state) in _NOT_ON_RECORD:
                journal = self._place / run / f"{identity}.jsonl"
                entries = read_journal(journal)
                record_metrics(tx, run, entries)
                record_params(tx, run, attempt.node if attempt else node_of(journal), entries)
        self.end(tx, run, logs)

    def end(self, tx: Transaction, run: RunId, logs: Mapping[str, Digest]) -> None:
        """End whatever attempt of a run is recorded as running, and leave for later what it has reported."""
        for attempt in self._attempts.of_run(run, tx):
            if attempt.state is AttemptState.RUNNING:
                log = logs.get(attempt.worker)
                if log is not None:
                    edges.add(tx, [Edge(attempt.end, "log", End("object", log))])
                self._attempts.end(tx, [finish(attempt, AttemptState.LOST, log=log)])

    def logs(self, run: RunId) -> dict[str, Digest]:
        """What the attempts in hand have printed, stored; by worker.

        Raises:
            MlwrightError: it cannot be stored.
        """
        found = {}
        for log in (self._place / run).glob(f"*/{LOG}"):
            if log.stat().st_size:
                shorten(log)
                found[log.parent.name] = self._objects.put(log).digest
        return found

    def make_room(self, run: RunId) -> None:
        """Take away all of a run that has ended but what it has reported and printed."""
        for path in _listed(self._place / run):
            if path.is_dir():
                for each in _listed(path):
                    if each.name != LOG:
                        _remove(each)
            elif path.suffix not in _REPORTS:
                _remove(path)

    def remove(self, run: RunId) -> None:
        """Take away where a run worked: all that is wanted of it is on record."""
        shutil.rmtree(self._place / run, ignore_errors=True)

    def clear(self, runs: Runs) -> None:
        """Record what runs that have ended left to be recorded, and take away where they worked.

        What cannot be recorded now stays.
        """
        # The folders first: a run is recorded before it makes its own.
        folders = [path for path in _listed(self._place) if looks_like_id(path.name)]
        unfinished = runs.unfinished() if folders else set()
        for folder in folders:
            run = RunId(folder.name)
            if run not in unfinished:
                with suppress(MlwrightError):
                    if any(_reported(folder)) and runs.knows(run):
                        with self._database.transaction() as tx:
                            self.lose(tx, run, {})
                    self.remove(run)


def _reported(folder: Path) -> Iterator[AttemptId]:
    """The attempts that have reported anything, those that began first at the front."""
    found = {AttemptId(path.name.partition(".")[0]) for path in _listed(folder) if path.suffix in _REPORTS}
    yield from sorted(found)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # somebody else has taken it away
        return []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
