"""How a run ends when its end is hard to record."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from mlwright.kernel.database import Transaction
from mlwright.kernel.errors import Busy, MlwrightError
from mlwright.kernel.ids import RunId
from mlwright.kernel.interrupts import Interrupts
from mlwright.tracking import Run, RunState
from mlwright.workflow.execution import Execution
from mlwright.workflow.rooms import Rooms
from tests.workflow import test_scheduler_model as model

rooms = model.rooms
NOTHING = model.Case((), {}, {}, {}, {}, frozenset(), 1)


def journal(rooms: Rooms, run: Run) -> Path:
    """What a step of the run has reported."""
    return rooms.workspace.scratch / run.id / "attempt.jsonl"


def executed(rooms: Rooms) -> None:
    """Execute a run of no step."""
    executor = model.Shuffled(NOTHING, model.expected(NOTHING), random.Random(0))
    model.execute(rooms, NOTHING, model.Keys(), executor)


def busy(monkeypatch: pytest.MonkeyPatch, rooms: Rooms, times: int) -> None:
    """Let others be writing the first times that the end of a run is to be recorded.

    A step has left its journal where the run works.
    """
    finish, left = rooms.runs.finish, [Busy("another process has been writing")] * times

    def waiting(tx: Transaction, run: Run, *given: Any) -> None:
        journal(rooms, run).parent.mkdir(parents=True, exist_ok=True)
        journal(rooms, run).touch()
        if left:
            raise left.pop()
        finish(tx, run, *given)

    monkeypatch.setattr(rooms.runs, "finish", waiting)


def test_a_success_is_recorded_although_others_were_writing(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited for too long is no run that was declared lost: its end is written once more."""
    busy(monkeypatch, rooms, 1)

    executed(rooms)

    assert rooms.runs.list()[0].state is RunState.SUCCEEDED
    assert not journal(rooms, rooms.runs.list()[0]).parent.exists()


def test_a_success_that_cannot_be_recorded_is_told(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """When others write on and on, the run does not end in silence, and keeps what its steps reported."""
    busy(monkeypatch, rooms, 2)

    with pytest.raises(Busy):
        executed(rooms)

    assert rooms.runs.list()[0].state is RunState.RUNNING
    assert journal(rooms, rooms.runs.list()[0]).exists()


def test_the_end_is_recorded_before_the_reports_go(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that end with their run are read from where it worked: that is there until then."""
    lose, seen = rooms.lose_attempts, []

    def losing(self: Rooms, tx: Transaction, run: RunId) -> None:
        seen.append((self.workspace.scratch / run).exists())
        lose(tx, run)

    monkeypatch.setattr(Rooms, "lose_attempts", losing)
    go = Execution.go

    def going(self: Execution, interrupts: Interrupts) -> MlwrightError | None:
        (rooms.workspace.scratch / self.run.id).mkdir(parents=True)
        return go(self, interrupts)

    monkeypatch.setattr(Execution, "go", going)

    executed(rooms)

    assert seen == [True]
    assert not journal(rooms, rooms.runs.list()[0]).parent.exists()
