"""Group commit: many clients' changes share one flush of the disk, and each is acknowledged after its own.

What waits while one batch is committed is the next batch. The SQL of a change runs in the one thread that
writes, so that the event loop never waits for the database.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any, NamedTuple, TypeVar

from mlwright.kernel.database import Database, Transaction
from mlwright.kernel.errors import FateUnknown, Unavailable

MOST_WAITING = 10_000
"""Changes that may wait for a commit; a client of one more is told to come again."""

T = TypeVar("T")


class _Waiting(NamedTuple):
    """A change, who waits for it, and what it was asked in: the thread that writes knows of no request."""

    change: Callable[[Transaction], Any]
    done: asyncio.Future[Any]
    context: Context

    def make(self, tx: Transaction) -> Any:
        """Make the change as whoever asked for it."""
        return self.context.run(self.change, tx)


class _Result(NamedTuple):
    """What a change answered, or raised."""

    done: asyncio.Future[Any]
    value: Any
    error: BaseException | None


class Commits:
    """Writes changes in the order they come.

    A change that raises leaves nothing behind and fails alone; the others of its batch are committed.

    Args:
        database: what they change.
        loop: where those who wait are told.
    """

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop
        self._waiting: list[_Waiting] = []
        self._closed = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="mlwright-commits", daemon=True)
        self._thread.start()

    async def write(self, change: Callable[[Transaction], T]) -> T:
        """Make a change; it is on disk on return.

        Args:
            change: what a transaction does. It may be called again after a rollback: it changes nothing but
                the database.

        Returns:
            What the change answered.

        Raises:
            Unavailable: too many changes wait already, or the server ends.
            FateUnknown: the database went away during the commit; the change may be there.
            MlwrightError: what the change raised (or whatever it raised, as it was).
        """
        done: asyncio.Future[T] = self._loop.create_future()
        with self._news:
            if self._closed:
                raise Unavailable("the server is ending", hint="try again when it is back")
            if len(self._waiting) >= MOST_WAITING:
                raise Unavailable(
                    f"{MOST_WAITING:,} changes wait to be written already", hint="try again soon"
                )
            self._waiting.append(_Waiting(change, done, copy_context()))
            self._news.notify()
        return await done

    def close(self) -> None:
        """Commit what was taken, and end the thread. Those who wait are told by the loop, as ever."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            results = self._written(batch)
            self._loop.call_soon_threadsafe(_settle, results)

    def _next(self) -> list[_Waiting]:
        """All that waits, as soon as something does; nothing when no more comes."""
        with self._news:
            while not self._waiting and not self._closed:
                self._news.wait()
            batch, self._waiting = self._waiting, []
            return batch

    def _written(self, batch: Sequence[_Waiting]) -> list[_Result]:
        """Commit a batch: all at once if nothing raises, else each change apart within one transaction."""
        try:
            with self._database.transaction() as tx:
                return [_Result(each.done, each.make(tx), None) for each in batch]
        except Exception as error:
            if len(batch) == 1 or isinstance(error, FateUnknown):  # it may be there: once more would be twice
                return [_Result(each.done, None, error) for each in batch]
        try:
            with self._database.transaction() as tx:
                return [_apart(tx, each) for each in batch]
        except Exception as error:  # of the transaction itself, as on a full disk: nobody's change is there
            return [_Result(each.done, None, error) for each in batch]


def _apart(tx: Transaction, waiting: _Waiting) -> _Result:
    """Make a change that can be taken back alone."""
    tx.execute("SAVEPOINT apart")
    try:
        result = _Result(waiting.done, waiting.make(tx), None)
    except Exception as error:
        try:
            tx.execute("ROLLBACK TO SAVEPOINT apart")
        except Exception:  # the engine has ended all of it, as on a full disk: then this is why
            raise error from None
        result = _Result(waiting.done, None, error)
    tx.execute("RELEASE SAVEPOINT apart")
    return result


def _settle(results: Sequence[_Result]) -> None:
    """Tell those who still wait; runs in the loop."""
    for each in results:
        if each.done.done():  # the request was given up
            continue
        if each.error is None:
            each.done.set_result(each.value)
        else:
            each.done.set_exception(each.error)
