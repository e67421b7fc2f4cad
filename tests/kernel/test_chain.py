"""The chain of events: whoever tampers with one is found, and whoever does not is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from mlwright.kernel import chain, events
from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Invalid
from mlwright.kernel.postgres_copy import copy_into_file, filling
from mlwright.kernel.sqlite import SqliteDatabase
from tests.happened import happened
from tests.postgres import Postgres, open_database
from tests.processes import run_python

Opener = Callable[[], Database]
RUN = End("run", "01JD8")


@pytest.fixture(params=["sqlite", "postgres"])
def open_one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the one database of the test once more, as another process would; of each engine."""
    opened: list[Database] = []
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").make()

    def open_it() -> Database:
        if url:
            opened.append(open_database(url))
        else:
            file = SqliteDatabase(tmp_path / "metadata.db")
            file.migrate(all_migrations())
            opened.append(file)
        return opened[-1]

    yield open_it
    for each in opened:
        each.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    """A file in which ten things happened."""
    opened = SqliteDatabase(tmp_path / "metadata.db")
    opened.migrate(all_migrations())
    record(opened, 10)
    yield opened
    opened.close()


def record(database: Database, times: int) -> None:
    for number in range(times):
        with database.transaction() as tx:
            events.record(tx, "alias.moved", RUN, before=number, after=number + 1)


def tamper(database: SqliteDatabase, sql: str) -> None:
    """As anybody can who has the file."""
    with sqlite3.connect(database.path) as file:
        file.executescript(sql)
    file.close()


def test_what_was_recorded_fits(open_one: Opener) -> None:
    """All events are covered, from the first of a new workspace on, and the last has the head."""
    database = open_one()
    record(database, 12)

    found = chain.verify(database)

    newest = happened(database)[-1]
    assert (found.covered, found.uncovered, found.fault, found.at) == (12, 0, "", None)
    assert (found.head, found.newest) == (newest.digest, newest.id) == (chain.head(database), 12)


def test_nothing_recorded_fits_too(open_one: Opener) -> None:
    """An empty workspace has no head, and no fault."""
    assert chain.verify(open_one()) == chain.Chain()


def test_many_writers_make_one_chain(open_one: Opener) -> None:
    """Eight write at once, and some of them give up: ids and digests have one order, without a hole."""
    databases = [open_one() for _ in range(8)]

    def write(database: Database, name: str) -> None:
        for number in range(15):
            try:
                with database.transaction() as tx:
                    events.record(tx, "alias.moved", End("run", name), after=number)
                    events.record(tx, "alias.moved", End("run", name), after=-number)
                    if number % 3 == 0:
                        raise KeyError
            except KeyError:
                pass

    threads = [Thread(target=write, args=(each, str(at))) for at, each in enumerate(databases)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = chain.verify(databases[0])
    assert (found.covered, found.newest, found.fault) == (160, 160, "")


def test_a_change_taken_back_within_a_transaction_leaves_no_hole(open_one: Opener) -> None:
    """As the server does with one of many changes that share a commit."""
    database = open_one()
    with database.transaction() as tx:
        events.record(tx, "alias.moved", RUN, after=1)
        tx.execute("SAVEPOINT apart")
        events.record(tx, "alias.moved", RUN, after=2)
        tx.execute("ROLLBACK TO SAVEPOINT apart")
        tx.execute("RELEASE SAVEPOINT apart")
        events.record(tx, "alias.moved", RUN, after=3)

    found = chain.verify(database)

    assert (found.covered, found.fault) == (2, "")


def test_a_writer_that_is_killed_leaves_no_hole(tmp_path: Path, database: SqliteDatabase) -> None:
    """What was not committed never happened, and what comes next goes on from what did."""
    run_python(
        f"""
        import os, signal
        from pathlib import Path
        from mlwright.kernel import events
        from mlwright.kernel.edges import End
        from mlwright.kernel.sqlite import SqliteDatabase
        with SqliteDatabase(Path({str(database.path)!r})).transaction() as tx:
            events.record(tx, "run.started", End("run", "1"))
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )

    record(database, 1)

    assert (chain.verify(database).covered, chain.verify(database).fault) == (11, "")


@pytest.mark.parametrize(
    ("sql", "at"),
    [
        ('UPDATE event SET detail = \'{"before": 3, "after": 9}\' WHERE id = 4', 4),
        ("UPDATE event SET actor = 'nobody' WHERE id = 7", 7),
        ("UPDATE event SET at_us = at_us + 1 WHERE id = 10", 10),
        ("UPDATE event SET verb = 'alias.removed' WHERE id = 1", 1),
        ("UPDATE event SET subject_id = '02' WHERE id = 2", 2),
        ("UPDATE event SET subject_kind = 'model' WHERE id = 2", 2),
        ("UPDATE event SET digest = NULL WHERE id = 5", 5),
        ("UPDATE event SET digest = NULL", 1),
        ("DELETE FROM event WHERE id = 6", 6),
        ("DELETE FROM event WHERE id < 4", 1),
        ("DELETE FROM event WHERE id > 8", 9),
        ("DELETE FROM event", 1),
        ("DELETE FROM event WHERE id = 6; UPDATE event SET id = id - 1 WHERE id > 6", 6),
        ("UPDATE event SET id = -id; UPDATE event SET id = 11 + id", 1),
        (
            "UPDATE event SET id = 99 WHERE id = 3; UPDATE event SET id = 3 WHERE id = 4;"
            "UPDATE event SET id = 4 WHERE id = 99",
            3,
        ),
        (
            "INSERT INTO event (at_us, verb, subject_kind, subject_id, actor, detail, digest)"
            " SELECT at_us, verb, subject_kind, subject_id, actor, detail, digest FROM event WHERE id = 10",
            11,
        ),
        (
            "INSERT INTO event (at_us, verb, subject_kind, subject_id, actor, detail)"
            " VALUES (1, 'a.b', 'run', '1', 'x', '{}')",
            11,
        ),
        ("DELETE FROM event_chain", 1),
    ],
)
def test_whoever_tampers_is_found_at_the_first_event_that_does_not_fit(
    sql: str, at: int, database: SqliteDatabase
) -> None:
    """Changed, taken away, put in or reordered by other means than ours: the first event is named."""
    tamper(database, sql)

    found = chain.verify(database)

    assert found.at == at and found.fault


def test_what_was_cut_off_is_found_after_more_has_happened_too(database: SqliteDatabase) -> None:
    """The numbers of what is gone are not given again."""
    tamper(database, "DELETE FROM event WHERE id > 8")
    record(database, 3)

    found = chain.verify(database)

    assert (found.at, found.covered) == (9, 8)


def test_a_head_that_was_noted_finds_what_is_hidden_well(database: SqliteDatabase) -> None:
    """Whoever cuts off the newest events and the counter too leaves a chain that fits, but not that head."""
    head = chain.verify(database).head or ""
    tamper(
        database, "DELETE FROM event WHERE id > 8; UPDATE sqlite_sequence SET seq = 8 WHERE name = 'event'"
    )

    without, with_head = chain.verify(database), chain.verify(database, head)
    record(database, 3)
    later = chain.verify(database, head)

    assert (without.fault, without.covered) == ("", 8)
    assert with_head.fault and later.fault
    assert (with_head.noted, later.noted) == (None, None)


def test_a_head_that_was_noted_holds_while_more_happens(database: SqliteDatabase) -> None:
    """It vouches for all up to the event that it is of."""
    head = chain.verify(database).head or ""
    record(database, 2)

    found = chain.verify(database, f"b3:{head.upper()}")

    assert (found.fault, found.noted, found.covered) == ("", 10, 12)


@pytest.mark.parametrize("head", ["ab12", "g" * 64, "0" * 63])
def test_a_head_that_is_no_digest_is_refused(head: str, database: SqliteDatabase) -> None:
    """A piece of one is not enough to compare with."""
    with pytest.raises(Invalid, match="64 hexadecimal"):
        chain.verify(database, head)


def test_events_from_before_are_told_as_not_covered(tmp_path: Path) -> None:
    """A workspace that is brought forward has its old events as they are, and a chain from there on."""
    database = SqliteDatabase(tmp_path / "old.db")
    known = all_migrations()
    database.migrate(known[: next(at for at, each in enumerate(known) if each.name == "event_chain")])
    with database.transaction() as tx:
        for _ in range(3):
            tx.execute(
                "INSERT INTO event (at_us, verb, subject_kind, subject_id, actor, detail)"
                " VALUES (1, 'a.b', 'run', '1', 'x', '{}')"
            )

    database.migrate(known)
    before = chain.verify(database)
    record(database, 2)
    after = chain.verify(database)
    tamper(database, "UPDATE event SET digest = NULL WHERE id = 4")

    assert (before.covered, before.uncovered, before.head, before.fault) == (0, 3, None, "")
    assert (after.covered, after.uncovered, after.newest, after.fault) == (2, 3, 5, "")
    assert chain.verify(database).at == 4
    database.close()


def test_the_chain_survives_the_way_to_another_engine_and_back(tmp_path: Path, postgres: Postgres) -> None:
    """A copy of the records in PostgreSQL is a file whose chain fits, and that fills another database."""
    first, second = open_database(postgres.make()), open_database(postgres.make())
    record(first, 4)

    copy_into_file(first, tmp_path / "copy.db")
    with filling(second, tmp_path / "copy.db"):
        pass
    record(second, 1)
    file = SqliteDatabase(tmp_path / "copy.db")

    assert chain.verify(first).head == chain.verify(file).head
    assert (chain.verify(second).covered, chain.verify(second).fault) == (5, "")
    for each in (first, second, file):
        each.close()
