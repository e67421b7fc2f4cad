"""Ending a run that somebody else executes: it is asked for, and whoever executes the run does it."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlwright.kernel.errors import Conflict, TimedOut
from mlwright.kernel.ids import short
from mlwright.kernel.plan import Change, Plan
from mlwright.tracking import Run, RunState
from mlwright.workflow.rooms import Rooms

_PAUSE_S = 0.1


def plan_end(run: Run) -> Plan:
    """What cancelling this run would do.

    Raises:
        Conflict: it has ended.
        Invalid: it was reported from outside.
    """
    _refuse_ended(run)
    why = "asked for already" if run.wanted else "its steps are stopped; what succeeded can be resumed"
    if run.state is RunState.SCHEDULED:
        why = "it has not begun"
    return Plan(f"end of run {short(run.id)}", (Change("cancel", f"run {short(run.id)}", why),))


def cancel(
    rooms: Rooms,
    reference: str,
    *,
    within_s: float | None = 15.0,
    pause: Callable[[float], object] = time.sleep,
) -> Run:
    """Ask for the end of a run; one that waits for its begin has ended at once.

    Args:
        rooms: where it is recorded.
        reference: the run.
        within_s: how long to wait for its end; None not to wait.
        pause: waits between two looks.

    Returns:
        The run as it stands then: it may also have ended by itself meanwhile.

    Raises:
        NotFound: there is no such run.
        Conflict: it has ended.
        Invalid: it was reported from outside.
        TimedOut: it has not ended in time.
    """
    run = rooms.runs.get(reference)
    _refuse_ended(run)
    rooms.runs.cancel(run)
    if within_s is None:
        return rooms.runs.get(run.id)
    return until_ended(lambda: rooms.runs.get(run.id), within_s, pause)


def until_ended(
    look: Callable[[], Run], within_s: float = 15.0, pause: Callable[[float], object] = time.sleep
) -> Run:
    """Wait for the end of a run.

    Args:
        look: how it stands.

    Raises:
        TimedOut: it has not ended in time.
    """
    deadline = time.monotonic() + within_s
    while not (run := look()).state.ended:
        if time.monotonic() >= deadline:
            raise TimedOut(
                f"run {short(run.id)} has not ended within {within_s:g} s, though that was asked for",
                hint=f"look again: mlwright runs show {short(run.id)}",
            )
        pause(_PAUSE_S)
    return run


def _refuse_ended(run: Run) -> None:
    run.refuse_reported("cancelled")
    if run.state.ended:
        raise Conflict(
            f"run {short(run.id)} has ended already: {run.state}",
            hint=f"mlwright runs show {short(run.id)}",
        )
