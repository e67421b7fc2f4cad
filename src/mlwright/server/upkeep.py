"""What the server does while nobody asks: runs whose process is gone are declared lost, and what replicas of
this machine have recorded is brought in.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from mlwright.kernel.database import Source
from mlwright.kernel.errors import MlwrightError
from mlwright.server.tracker import Tracker

EVERY_S = 5.0


async def look_after(tracker: Tracker) -> None:
    """Look again and again, until cancelled. What cannot be written now is tried the next time."""

    def bury(_: Source) -> None:
        tracker.rooms.runs.bury_lost()

    while True:
        with suppress(MlwrightError):  # another process writes for long, the disk is full: requests say so
            await tracker.readers.read(bury)
            await asyncio.to_thread(tracker.project.collect_predictions)
        await asyncio.sleep(EVERY_S)
