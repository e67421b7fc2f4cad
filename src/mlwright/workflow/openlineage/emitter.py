"""Telling a receiver of a run while it goes: a thread that reads the records and sends what is new.

The records are the queue: what the receiver has not taken is read again, and nothing is held in memory but
which events it has. The run does not wait for it, but for a moment at its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mlwright.kernel.clock import now_us
from mlwright.kernel.errors import MlwrightError, Unavailable
from mlwright.kernel.ids import short
from mlwright.kernel.words import counted
from mlwright.tracking import Run
from mlwright.workflow.openlineage.events import Event, events_of, key_of, started, steps
from mlwright.workflow.openlineage.receivers import Receiver, Refused
from mlwright.workflow.openlineage.records import read_records
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import Watcher

_EVERY_S = 1.0
_SLACK_US = 2_000_000
"""An attempt is recorded a moment after it ended: each look goes back a little."""
_TRIES = 3
_PAUSE_S = 0.2
_REST_S = 30.0
"""The longest that a receiver which does not answer is left alone while the run goes on."""
GRACE_S = 3.0
"""How long the end of a run waits for a receiver, whether it takes events slowly or none."""


@contextmanager
def emitted(rooms: Rooms, run: Run, receiver: Receiver | None, watcher: Watcher) -> Iterator[None]:
    """Tell a receiver of a run while the block runs, and of its end; what it did not take is counted.

    Args:
        receiver: None for nobody.
        watcher: is warned once, when the receiver did not take everything.
    """
    if receiver is None:
        yield
        return
    emitter = Emitter(rooms, run, receiver)
    emitter.start()
    try:
        yield
    finally:
        if warning := emitter.end():
            watcher.warned(warning)


class Emitter:
    """Tells one receiver of one run."""

    def __init__(self, rooms: Rooms, run: Run, receiver: Receiver) -> None:
        self._rooms = rooms
        self._run = run
        self._receiver = receiver
        self._over = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="openlineage")
        self._given: set[tuple[str, str]] = set()
        self._refused: set[tuple[str, str]] = set()
        self._left = 0
        self._broke = False
        self._given_up = False
        self._why = ""
        self._since_us = 0

    def start(self) -> None:
        """Begin to tell; returns at once."""
        self._thread.start()

    def end(self) -> str:
        """The run is recorded as ended: tell the rest, as long as the receiver takes it.

        Returns:
            What to warn of; empty when all was taken.
        """
        self._over.set()
        if not self._done.wait(GRACE_S):
            self._given_up = True
            self._why = self._why or f"it did not take them within {GRACE_S:g} s of the run's end"
        left = self._left + len(self._refused)
        if not (left or self._broke or self._given_up):
            return ""
        what = counted(left, "event") if left else "the last events"
        run = short(self._run.id)
        told = f"{what} of run {run} did not get to {self._receiver.shown}: {self._why}"
        return f"OpenLineage: {told}; all are in the records: mlwright lineage {run} --format openlineage"

    def _work(self) -> None:
        rest_until, rest_s = 0.0, _EVERY_S
        try:
            with self._receiver:
                while not self._over.is_set():
                    if time.monotonic() >= rest_until:
                        if self._give(self._news(), tries=1):
                            rest_s = _EVERY_S
                        else:
                            rest_until, rest_s = time.monotonic() + rest_s, min(rest_s * 2, _REST_S)
                    self._over.wait(_EVERY_S)
                if self._given_up:
                    return  # nobody waits any more, and the records may be closed
                run = self._rooms.runs.recorded(self._run.id)
                self._give(events_of(read_records(self._rooms, run, self._receiver.namespace)), tries=_TRIES)
        except Exception as error:  # whatever it is: a run does not end otherwise because nobody hears of it
            # Only the kind of what is not ours is told: its words may repeat a key.
            self._why = error.message if isinstance(error, MlwrightError) else type(error).__name__
            self._broke = True
        finally:
            self._done.set()

    def _news(self) -> list[Event]:
        """What has begun or ended since the last look."""
        attempts = self._rooms.attempts.since(self._run.id, self._since_us)
        self._since_us = now_us() - _SLACK_US
        records = read_records(self._rooms, self._run, self._receiver.namespace, attempts)
        return [started(records), *steps(records)]

    def _give(self, events: Iterable[Event], tries: int) -> bool:
        """Hand over what the receiver does not have yet; False as soon as it does not answer."""
        waiting = [event for event in events if key_of(event) not in self._given | self._refused]
        self._left = len(waiting)
        for event in waiting:
            if self._given_up:
                return False
            try:
                self._try(event, tries)
                self._given.add(key_of(event))
            except Refused as refused:
                self._refused.add(key_of(event))
                self._why = self._why or refused.message
            except Unavailable as error:
                self._why = error.message
                return False
            self._left -= 1
        return True

    def _try(self, event: Event, tries: int) -> None:
        for again in range(tries):
            try:
                return self._receiver.give(event)
            except Unavailable:
                if again == tries - 1:
                    raise
                time.sleep(_PAUSE_S * 2**again)
        return None
