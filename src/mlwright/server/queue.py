"""Starts the runs that wait, each in a process of its own, which outlives the server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from typing import NamedTuple

from mlwright.compute.process import SERVER, cause_of_death
from mlwright.kernel.errors import MlwrightError
from mlwright.kernel.ids import RunId, short
from mlwright.kernel.leases import Lease
from mlwright.kernel.words import counted
from mlwright.tracking import RunState, waiting
from mlwright.workflow import Rooms
from mlwright.workflow.queued import command_of, last_words, words_of

_EVERY_S = 0.2


class _Started(NamedTuple):
    """The process of a run, and the claim that it was given."""

    run: RunId
    claim: Lease
    process: subprocess.Popen[bytes]


class Queue:
    """Looks again and again, in a thread of its own, for runs that wait.

    Args:
        rooms: of the project whose runs it starts.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._most = rooms.project.settings.runs_at_once
        self._started: list[_Started] = []
        self._ends = threading.Event()
        self._told = ""
        self._unsure = False
        self._thread = threading.Thread(target=self._run, name="mlwright-queue", daemon=True)

    def begin(self) -> None:
        """Start looking."""
        self._thread.start()

    def end(self) -> None:
        """Start no more runs. Those that go on go on."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Record which processes died before their run began, and start what may be started."""
        if self._unsure:
            waiting.drop_claims(self._rooms.database, [each.claim for each in self._started])
        self._unsure = True  # until this look has come to its end
        self._started = [each for each in self._started if not self._is_over(each)]
        for run in waiting.look(self._rooms.database, self._rooms.project.name).dead:
            waiting.fail(self._rooms.database, run, self._death(run, ""))
        while not self._ends.is_set():
            claimed = waiting.claim(self._rooms.database, self._rooms.project.name, self._most)
            if claimed is None:
                break
            self._start(*claimed)
        self._unsure = False

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                self.look()
                self._told = ""
            except MlwrightError:
                pass  # another process writes for long, the disk is full: the next look finds the same
            except Exception as error:  # a thread that ends would start nothing any more
                if str(error) != self._told:
                    traceback.print_exc(file=sys.stderr)
                self._told = str(error)
            self._ends.wait(_EVERY_S)

    def _start(self, run: RunId, claim: Lease) -> None:
        root, words = self._rooms.project.root, words_of(self._rooms.workspace.local, run)
        try:
            words.parent.mkdir(parents=True, exist_ok=True)
            with words.open("ab") as file:
                process = subprocess.Popen(
                    command_of(root, run, claim),
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    cwd=root,
                    env={name: value for name, value in os.environ.items() if name not in SERVER},
                    start_new_session=True,
                )
        except OSError as error:
            told = self._death(run, f"no process can be started: {error.strerror}")
            waiting.fail(self._rooms.database, run, told, claim)
            return
        self._started.append(_Started(run, claim, process))

    def _is_over(self, started: _Started) -> bool:
        """Whether its process has ended; if that was too early, it is recorded."""
        status = started.process.poll()
        if status is None:
            run = self._rooms.runs.recorded(started.run)
            if run.state is RunState.CANCELLED and run.started_us is None:
                started.process.terminate()
            return False
        told = self._death(started.run, cause_of_death(status))
        database = self._rooms.database
        if not waiting.fail(database, started.run, told, started.claim):
            waiting.fail(database, started.run, told)
        return True

    def _death(self, run: RunId, cause: str) -> dict[str, object]:
        file = words_of(self._rooms.workspace.local, run)
        words = last_words(file)
        message = f"run {short(run)} could not begin: {cause or 'its process ended without a word'}"
        return {
            "message": message + (f"\n{words}" if words else ""),
            "where": str(file),
            "hint": f"try again: mlwright runs resume {short(run)}",
            "exit_code": 1,
        }


def left_words(rooms: Rooms) -> str:
    """What a server leaves when it ends: runs that go on, and runs that wait for the next one."""
    seen = waiting.look(rooms.database, rooms.project.name)
    told = [f"; {counted(seen.busy, 'run')} {'goes' if seen.busy == 1 else 'go'} on"] if seen.busy else []
    if free := len(seen.free):
        told.append(f"; {counted(free, 'run')} {'waits' if free == 1 else 'wait'} for the next mlwright up")
    return "".join(told)
