"""The writer: a thread that writes changes in order, while the one that makes them goes on.

What waits while one batch is committed is the next batch: nobody waits for a timer, and under load many
changes share one flush of the disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from types import TracebackType

from mlwright.kernel.database import Database, Transaction
from mlwright.kernel.errors import Busy, FateUnknown, Unavailable
from mlwright.kernel.leases import BEAT_S

_MOST_WAITING = 5_000  # and as many at most in the batch that is being written

Change = Callable[[Transaction], object]
"""What a transaction does. It may be called again after a rollback: it changes nothing but the database."""


class Writer:
    """Writes changes in order, in a thread of its own; a batch is what arrived during the previous commit.

    A change that raises leaves nothing behind; what was written before it is kept, and everything after
    it is refused: from then on the writer is broken, and says so with that error each time.

    Whoever holds a transaction of the same database neither writes nor flushes: the writer waits for it.

    Args:
        pulse: a change that is made again and again from the first one on, also while nothing else is. Where
            it cannot be made now, it is made the next time.
        every_s: how often.
    """

    def __init__(self, database: Database, pulse: Change | None = None, every_s: float = BEAT_S) -> None:
        self._database = database
        self._pulse = pulse
        self._every_s = every_s
        self._due = time.monotonic() + every_s
        self._thread: threading.Thread | None = None
        self._waiting: list[Change] = []
        self._written = 0
        self._durable = 0
        self._idle = False
        self._closed = False
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)  # something waits, or the writer is closed
        self._room = threading.Condition(self._lock)  # less waits
        self._done = threading.Condition(self._lock)  # more is durable

    @property
    def written(self) -> int:
        """How many changes were taken."""
        return self._written

    @property
    def durable(self) -> int:
        """How many of them, from the first one on, are on disk."""
        return self._durable

    @property
    def broken(self) -> bool:
        """Whether a change has failed, and no more are taken."""
        return self._error is not None

    def check(self) -> None:
        """Return if no change has failed so far.

        Raises:
            MlwrightError: what the first change that failed raised (or whatever it raised, as it was).
        """
        with self._lock:
            self._refuse()

    def write(self, change: Change) -> int:
        """Take a change; it is written soon, after all that were taken before it.

        Returns at once, or when there is room again: no more than 10,000 changes are on their way.

        Returns:
            the change's number: it is on disk as soon as `durable` has reached it.

        Raises:
            MlwrightError: what an earlier change raised (or whatever it raised, as it was).
        """
        with self._lock:
            while self._error is None and len(self._waiting) >= _MOST_WAITING:
                self._wait(self._room)
            self._refuse()
            assert not self._closed, "a closed writer takes no changes"
            if self._idle:
                self._news.notify()
                self._idle = False
            elif self._thread is None:
                self._start()
            # In this order: an interrupt comes at the end of a call, never between these two.
            self._written += 1
            context = copy_context()  # who acts: the thread that writes knows nothing of that
            self._waiting.append(lambda tx: context.run(change, tx))
            return self._written

    def flush(self) -> None:
        """Return when all that was taken before is durable.

        Raises:
            MlwrightError: what the first change that failed raised (or whatever it raised, as it was).
        """
        with self._lock:
            taken = self._written
            while self._error is None and self._durable < taken:
                self._wait(self._done)
            self._refuse()

    def close(self) -> None:
        """Flush and end the thread; also once more, and also after an interrupt, when all is written.

        Raises:
            MlwrightError: as `flush` does.
        """
        try:
            self.flush()
        finally:
            with self._lock:
                self._closed = True
                self._news.notify()
            if self._thread is not None:
                self._thread.join()

    def _start(self) -> None:
        # Kept before it runs: an interrupt while it starts must not lead to a second one.
        self._thread = threading.Thread(target=self._run, name="mlwright-writer", daemon=True)
        self._thread.start()

    def _wait(self, event: threading.Condition) -> None:
        assert threading.current_thread() is not self._thread, "a change does not wait for itself"
        event.wait()

    def _refuse(self) -> None:
        if self._error is not None:
            # With the traceback it came with: each raise would add its own to the same object.
            raise self._error.with_traceback(self._traceback)

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            try:
                if batch:
                    self._write(batch)
                self._beat()
            except BaseException as error:
                self._break(error)
                return

    def _next(self) -> list[Change] | None:
        """All that waits, as soon as something does; nothing when the pulse is due; None at the end."""
        with self._lock:
            while not self._waiting:
                if self._closed:
                    return None
                left_s = None if self._pulse is None else self._due - time.monotonic()
                if left_s is not None and left_s <= 0:
                    break
                self._idle = True
                self._news.wait(left_s)
            self._idle = False
            batch, self._waiting = self._waiting, []
            self._room.notify_all()
            return batch

    def _beat(self) -> None:
        if self._pulse is not None and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._every_s
            with suppress(Unavailable, Busy), self._database.transaction() as tx:
                self._pulse(tx)

    def _write(self, batch: Sequence[Change]) -> None:
        if len(batch) > 1:
            try:
                self._commit(batch)
            except FateUnknown:  # it may be there: once more would be twice
                raise
            except Exception:  # noqa: S110 - told by the change that raises it again
                pass
            else:
                return
        for change in batch:  # one by one, so that what stands before the one that fails is kept
            self._commit([change])

    def _commit(self, changes: Sequence[Change]) -> None:
        with self._database.transaction() as tx:
            for change in changes:
                change(tx)
        with self._lock:
            self._durable += len(changes)
            self._done.notify_all()

    def _break(self, error: BaseException) -> None:
        with self._lock:
            self._error, self._traceback = error, error.__traceback__
            self._waiting.clear()
            self._room.notify_all()
            self._done.notify_all()
