"""What running attempts have printed so far, at one moment; `follow` tells it as it comes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from mlwright.kernel.ids import AttemptId, RunId
from mlwright.sdk.workplace import LOG
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.rooms import Rooms

_PAUSE_S = 0.25
_READ_BYTES = 1 << 20
"""Of what was printed so far, the end counts most."""


def printed_so_far(
    rooms: Rooms, run: RunId, attempts: Iterable[Attempt], pause: Callable[[float], object] = time.sleep
) -> dict[AttemptId, bytes]:
    """What those of some attempts have printed that still run; nothing of one that has printed nothing.

    The records lag a little behind: what stands in a worker's file may already be the next attempt's. So it
    is told only if the attempt is recorded as running a moment later, too.

    Args:
        rooms: where the run is recorded.
        run: whose.
        attempts: of the run.
        pause: waits a moment; not called when none of the attempts runs.
    """
    scratch = rooms.workspace.scratch / run
    read = {
        attempt.id: (attempt.worker, data)
        for attempt in attempts
        if attempt.state is AttemptState.RUNNING and attempt.worker
        if (data := _end_of(scratch / attempt.worker / LOG))
    }
    if not read:
        return {}
    pause(_PAUSE_S)
    running = {
        each.id: each.worker for each in rooms.attempts.of_run(run) if each.state is AttemptState.RUNNING
    }
    return {identity: data for identity, (worker, data) in read.items() if running.get(identity) == worker}


def _end_of(file: Path) -> bytes:
    """The end of a file, from the begin of a line; nothing when it is not there."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - _READ_BYTES))
            data = opened.read(_READ_BYTES)
    except OSError:
        return b""
    return data if size <= _READ_BYTES else data.partition(b"\n")[2]
