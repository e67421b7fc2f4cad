"""Events: appended with the change they tell of, read in the order they happened."""

from __future__ import annotations

import getpass
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel import events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import all_migrations
from mlwright.kernel.digest import composite
from mlwright.kernel.edges import End
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.kernel.writer import Writer
from tests.happened import happened

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

    (event,) = happened(database)

    assert (event.verb, event.subject, event.actor) == ("run.started", RUN, getpass.getuser())
    assert event.detail == {"pipeline": "diagnosis", "naïve": "ünïcode"}
    assert before <= event.at_us <= now_us()


def test_an_event_of_a_change_that_failed_did_not_happen(database: SqliteDatabase) -> None:
    """An event lives and dies with the transaction of its change."""
    with pytest.raises(RuntimeError), database.transaction() as tx:
        events.record(tx, "run.started", RUN)
        raise RuntimeError

    assert happened(database) == []


def test_an_id_is_never_given_twice(database: SqliteDatabase) -> None:
    """Even after the newest rows are gone, a cursor stays behind what is new."""
    for _ in range(2):
        with database.transaction() as tx:
            events.record(tx, "run.started", RUN)
    newest = happened(database)[-1].id
    with database.transaction() as tx:
        tx.execute("DELETE FROM event")
        events.record(tx, "run.started", RUN)

    assert happened(database)[0].id > newest


def test_who_acts_is_told_by_whoever_asks(database: SqliteDatabase) -> None:
    """What is recorded inside has that actor, also in the thread of the writer; outside it is the user."""
    writer = Writer(database)

    with events.acting_as("ann"):
        writer.write(lambda tx: events.record(tx, "run.started", RUN))
        with events.acting_as("token bob"):
            writer.write(lambda tx: events.record(tx, "run.started", RUN))
    writer.write(lambda tx: events.record(tx, "run.started", RUN))
    writer.close()

    assert [event.actor for event in happened(database)] == ["ann", "token bob", getpass.getuser()]


def test_a_long_text_is_told_by_its_beginning(database: SqliteDatabase) -> None:
    """However long what changed is, the event is not."""
    with database.transaction() as tx:
        events.record(tx, "model.described", RUN, before=None, after={"text": "x" * 100_000})

    (event,) = happened(database)

    assert event.detail == {"before": None, "after": {"text": "x" * 1000 + "... (100,000 letters)"}}


@given(st.tuples(st.none() | st.text(), st.integers(-(2**63), 2**63 - 1), st.text(), st.text()))
def test_the_digest_is_over_the_canonical_text(told: tuple[str | None, int, str, str]) -> None:
    """An event has the digest that any composite of the same content has, whatever letters are in it."""
    before, at_us, verb, detail = told
    row = {"at_us": at_us, "verb": verb, "subject_kind": "k", "subject_id": verb, "actor": detail}

    digest = events.digest_of_event({**row, "detail": detail}, before)

    assert digest == composite("event", [before, at_us, verb, "k", verb, detail, detail])
