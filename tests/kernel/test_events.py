"""Events: appended with the change they tell of, read in the order they happened."""

from __future__ import annotations

import getpass
from collections.abc import Iterator

import pytest

from mlwright.kernel import events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import all_migrations
from mlwright.kernel.edges import End
from mlwright.kernel.sqlite import SqliteDatabase

RUN = End("run", "01JD8")


@pytest.fixture
def database() -> Iterator[SqliteDatabase]:
    """A database at the newest schema."""
    opened = SqliteDatabase(":memory:")
    opened.migrate(all_migrations())
    yield opened
    opened.close()


def test_an_event_says_who_did_what_to_which_and_when(database: SqliteDatabase) -> None:
    """Verb, subject, actor, time and detail come back as they were recorded."""
    before = now_us()
    with database.transaction() as tx:
        events.record(tx, "run.started", RUN, pipeline="diagnosis", naïve="ünïcode")

    (event,) = events.history(database)

    assert (event.verb, event.subject, event.actor) == ("run.started", RUN, getpass.getuser())
    assert event.detail == {"pipeline": "diagnosis", "naïve": "ünïcode"}
    assert before <= event.at_us <= now_us()


def test_events_are_read_in_order_from_a_cursor(database: SqliteDatabase) -> None:
    """Oldest first, after an id, at most so many: who remembers an id misses none and sees none twice."""
    for number in range(10):
        with database.transaction() as tx:
            events.record(tx, f"count.{number}", RUN)
    read, cursor = [], 0

    while page := events.history(database, after=cursor, limit=3):
        read += [event.verb for event in page]
        cursor = page[-1].id

    assert read == [f"count.{number}" for number in range(10)]


def test_an_event_of_a_change_that_failed_did_not_happen(database: SqliteDatabase) -> None:
    """An event lives and dies with the transaction of its change."""
    with pytest.raises(RuntimeError), database.transaction() as tx:
        events.record(tx, "run.started", RUN)
        raise RuntimeError

    assert events.history(database) == []


def test_an_id_is_never_given_twice(database: SqliteDatabase) -> None:
    """Even after the newest rows are gone, a cursor stays behind what is new."""
    for _ in range(2):
        with database.transaction() as tx:
            events.record(tx, "run.started", RUN)
    newest = events.history(database)[-1].id
    with database.transaction() as tx:
        tx.execute("DELETE FROM event")
        events.record(tx, "run.started", RUN)

    assert events.history(database, after=newest)[0].id > newest
