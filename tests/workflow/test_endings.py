"""How a run ends when its end is hard to record."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mlwright.kernel.errors import Busy
from mlwright.tracking import RunState
from mlwright.workflow.rooms import Rooms
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
