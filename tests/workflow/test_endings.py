"""How a run ends when its end is hard to record."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mlwright.app import Project
from mlwright.kernel import leases
from mlwright.kernel.database import Transaction
from mlwright.kernel.errors import Busy, Conflict
from mlwright.kernel.ids import short
from mlwright.kernel.writer import Writer
from mlwright.tracking import Run, RunState
from mlwright.workflow import execution
from mlwright.workflow.rooms import Rooms
from tests.conftest import COMMAND, Maker, mlwright
from tests.processes import environment, until
from tests.workflow import test_scheduler_model as model

rooms = model.rooms
NOTHING = model.Case((), {}, {}, {}, {}, frozenset(), 1)


def executed(rooms: Rooms) -> None:
    """Execute a run of no step."""
    executor = model.Shuffled(NOTHING, model.expected(NOTHING), random.Random(0))
    model.execute(rooms, NOTHING, model.Keys(), executor)


def busy(monkeypatch: pytest.MonkeyPatch, rooms: Rooms, times: int) -> None:
    """Let others be writing the first times that the end of a run is to be recorded."""
    finish, left = rooms.runs.finish, [Busy("another process has been writing")] * times

    def waiting(*given: Any) -> None:
        if left:
            raise left.pop()
        finish(*given)

    monkeypatch.setattr(rooms.runs, "finish", waiting)


def test_a_success_is_recorded_although_others_were_writing(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited for too long is no run that was declared lost: its end is written once more."""
    busy(monkeypatch, rooms, 1)

    executed(rooms)

    assert rooms.runs.list()[0].state is RunState.SUCCEEDED


def test_a_success_that_cannot_be_recorded_is_told(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """When others write on and on, the run does not end in silence."""
    busy(monkeypatch, rooms, 2)

    with pytest.raises(Busy):
        executed(rooms)

    assert rooms.runs.list()[0].state is RunState.RUNNING


WAITING = """
    import time
    from mlwright import pipeline, step

    @step
    def waits() -> int:
        while True:
            time.sleep(0.01)

    @pipeline
    def waiting():
        waits()
"""


def test_a_run_that_others_gave_up_ends(make_project: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its engine is heard while a step says nothing; told that the run is lost, it ends, and that stays."""
    root = make_project({"pipelines/p.py": WAITING})
    monkeypatch.setattr(execution, "Writer", partial(Writer, every_s=0.01))
    heard: list[int] = []

    def give_up() -> None:
        with Project.open(root) as other:
            database = other.rooms.database

            def beat_us() -> int:
                return int(next((row["beat_us"] for row in database.read("SELECT beat_us FROM lease")), 0))

            until(beat_us)
            heard.append(beat_us())
            until(lambda: beat_us() > heard[0])
            with database.transaction() as tx:
                tx.execute("UPDATE lease SET boot = 'of another machine', beat_us = 0")
            until(lambda: other.runs.list()[0].state is RunState.LOST)

    # Between the update and the look a heartbeat may come: then it is not lost yet.
    monkeypatch.setattr(leases, "EXPIRES_US", -1)
    observer = threading.Thread(target=give_up)
    observer.start()
    with Project.open(root) as project, pytest.raises(Conflict, match="was declared lost meanwhile"):
        project.run("waiting")
    observer.join()

    with Project.open(root) as project:
        assert project.runs.list()[0].state is RunState.LOST
        assert list((root / ".mlwright/local/scratch").iterdir()) == []


STOPPED = """
    import time
    from pathlib import Path
    from mlwright import pipeline, step

    @step
    def waits(mark: str) -> int:
        Path(mark).touch()
        while not Path(mark + ".go").exists():
            time.sleep(0.01)
        return 1

    @pipeline
    def waiting(mark: str):
        waits(mark)
"""


def test_a_run_that_comes_to_its_end_after_it_was_given_up_is_no_success(
    make_project: Maker, tmp_path: Path
) -> None:
    """Its engine was stopped, the run declared lost, and then all its steps ended well: that is told."""
    root, mark = make_project({"pipelines/p.py": STOPPED}), tmp_path / "mark"
    engine = subprocess.Popen(
        [str(COMMAND), "run", "waiting", "-p", f"mark={mark}"],
        cwd=root,
        env=environment({"CI": "true"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with Project.open(root) as project:
        until(mark.exists)
        run = project.runs.list()[0]
        until(lambda: project.rooms.attempts.of_run(run.id))

        engine.send_signal(signal.SIGSTOP)
        with project.rooms.database.transaction() as tx:
            tx.execute("UPDATE lease SET boot = 'of another machine', beat_us = 0")
        project.runs.bury_lost()
        mark.with_name("mark.go").touch()
        engine.send_signal(signal.SIGCONT)
        _, said = engine.communicate(timeout=60)
        resumed = mlwright("runs", "resume", run.id, cwd=root)

        assert engine.returncode == Conflict.exit_code, said
        assert f"run {short(run.id)} was declared lost meanwhile" in said
        assert f"mlwright runs resume {short(run.id)}" in said
        assert project.runs.get(run.id).state is RunState.LOST
        assert resumed.returncode == 0, resumed.stderr
        assert list((root / ".mlwright/local/scratch").iterdir()) == []


@pytest.mark.parametrize("times", [0, 1])
def test_an_end_that_another_has_recorded_is_told(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """A run that was given up just before its end is no success, whether others were writing or not."""
    busy(monkeypatch, rooms, times)
    finish = rooms.runs.finish

    def late(tx: Transaction, run: Run, *given: Any) -> None:
        tx.execute("UPDATE run SET state = 'lost' WHERE id = :id", id=run.id)
        finish(tx, run, *given)

    monkeypatch.setattr(rooms.runs, "finish", late)

    with pytest.raises(Conflict):
        executed(rooms)
