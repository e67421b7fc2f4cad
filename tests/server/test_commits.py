"""Group commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlwright.kernel.database import Database, Transaction, all_migrations
from mlwright.kernel.errors import Conflict, FateUnknown, Unavailable
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.server import commits
from mlwright.server.commits import Commits

ADD = "INSERT INTO experiment (name, created_us, updated_us) VALUES (:name, 0, 0)"
NAMES = "SELECT name FROM experiment WHERE id <> 0 ORDER BY id"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database in a file."""
    made = SqliteDatabase(tmp_path / "metadata.db")
    made.migrate(all_migrations())
    yield made
    made.close()


def names(database: Database) -> list[str]:
    return [row["name"] for row in database.read(NAMES)]


def add(name: str) -> Callable[[Transaction], str]:
    """A change that adds an experiment."""

    def change(tx: Transaction) -> str:
        tx.execute(ADD, name=name)
        return name

    return change


def run(database: Database, body: Callable[[Commits], Awaitable[Any]]) -> Any:
    """Run something with commits, which are closed in the end."""

    async def main() -> Any:
        commits = Commits(database, asyncio.get_running_loop())
        try:
            return await body(commits)
        finally:
            commits.close()

    return asyncio.run(main())


async def in_one_batch(commits: Commits, changes: list[Callable[[Transaction], Any]]) -> list[Any]:
    """What changes answer or raise, that wait together while an earlier one is written."""
    entered, leave = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        entered.set()
        leave.wait(30)

    first = asyncio.create_task(commits.write(hold))
    await asyncio.to_thread(entered.wait, 30)
    waiting = [asyncio.create_task(commits.write(change)) for change in changes]
    await asyncio.sleep(0)  # all of them wait now
    leave.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


def test_a_change_is_committed_when_it_is_acknowledged(database: Database) -> None:
    """What a change answers comes back after its commit, in the order of the changes."""

    async def body(commits: Commits) -> list[str]:
        answers = await asyncio.gather(*(commits.write(add(f"e{n}")) for n in range(100)))
        assert names(database) == answers
        return answers

    assert run(database, body) == [f"e{n}" for n in range(100)]


def test_many_changes_share_one_transaction(database: Database) -> None:
    """What waits while a batch is written is the next batch: none of it is there before all of it."""
    committed: list[list[str]] = []

    def look(name: str) -> Callable[[Transaction], None]:
        def change(tx: Transaction) -> None:
            committed.append(names(database))
            tx.execute(ADD, name=name)

        return change

    async def body(commits: Commits) -> None:
        await in_one_batch(commits, [look("a"), look("b"), look("c")])

    run(database, body)

    assert committed == [[], [], []]
    assert names(database) == ["a", "b", "c"]


def test_a_change_that_fails_fails_alone(database: Database) -> None:
    """One that raises leaves nothing; those before and behind it in the batch are committed, each once."""

    def half(tx: Transaction) -> None:
        tx.execute(ADD, name="half")
        raise Conflict("not this one")

    def twice(tx: Transaction) -> None:
        tx.execute(ADD, name="before")

    async def body(commits: Commits) -> list[Any]:
        return await in_one_batch(commits, [add("before"), half, twice, add("behind")])

    answers = run(database, body)

    assert answers[0] == "before"
    assert str(answers[1]) == "not this one"
    assert isinstance(answers[2], Conflict)  # the name is taken by a change of the same batch
    assert answers[3] == "behind"
    assert names(database) == ["before", "behind"]


def test_a_commit_that_fails_fails_for_all_of_it(database: Database) -> None:
    """When the transaction itself cannot end, nobody is told that their change is there."""

    class Failing:
        def transaction(self) -> Any:
            raise Unavailable("the disk is full")

    async def body(commits: Commits) -> list[Any]:
        return await asyncio.gather(*(commits.write(add(f"e{n}")) for n in range(3)), return_exceptions=True)

    answers = run(Failing(), body)  # type: ignore[arg-type]

    assert [str(each) for each in answers] == ["the disk is full"] * 3


def test_a_batch_whose_fate_is_unknown_is_not_written_again(database: Database) -> None:
    """What may be committed is not committed once more: all of the batch are told so."""

    begun: list[None] = []

    class Cut:
        @contextmanager
        def transaction(self) -> Iterator[Transaction]:
            begun.append(None)
            with database.transaction() as tx:
                yield tx
            if names(database):
                raise FateUnknown("the answer is lost")

    async def body(commits: Commits) -> list[Any]:
        return await in_one_batch(commits, [add("a"), add("b")])

    answers = run(Cut(), body)  # type: ignore[arg-type]

    assert [type(each) for each in answers] == [FateUnknown] * 2
    assert len(begun) == 2
    assert names(database) == ["a", "b"]


def test_a_transaction_that_the_engine_has_ended_fails_for_all_of_it(database: Database) -> None:
    """When the engine itself takes a transaction back, everybody is told why, and it goes on."""

    def full(tx: Transaction) -> None:
        tx.execute("ROLLBACK")
        raise Unavailable("the disk is full")

    async def body(commits: Commits) -> list[Any]:
        return [*await in_one_batch(commits, [add("a"), full, add("b")]), await commits.write(add("c"))]

    answers = run(database, body)

    assert [str(each) for each in answers] == ["the disk is full"] * 3 + ["c"]
    assert names(database) == ["c"]


def test_who_no_longer_waits_disturbs_nobody(database: Database) -> None:
    """A request that was given up is committed all the same, and the others are answered."""

    async def body(commits: Commits) -> str:
        given_up = asyncio.create_task(commits.write(add("given up")))
        await asyncio.sleep(0)
        given_up.cancel()
        return await commits.write(add("other"))

    assert run(database, body) == "other"
    assert names(database) == ["given up", "other"]


def test_no_more_wait_than_may(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of one change too many is told to come again; the others are not touched."""
    monkeypatch.setattr(commits, "MOST_WAITING", 3)

    async def body(made: Commits) -> list[Any]:
        return await in_one_batch(made, [add(f"e{n}") for n in range(5)])

    answers = run(database, body)

    assert answers[:3] == ["e0", "e1", "e2"]
    assert [type(each) for each in answers[3:]] == [Unavailable, Unavailable]
    assert names(database) == ["e0", "e1", "e2"]


def test_what_was_taken_is_committed_at_the_end(database: Database) -> None:
    """Closing writes all that waits, and takes nothing more."""

    async def main() -> list[Any]:
        commits = Commits(database, asyncio.get_running_loop())
        waiting = [asyncio.create_task(commits.write(add(f"e{n}"))) for n in range(10)]
        await asyncio.sleep(0)
        commits.close()
        with pytest.raises(Unavailable, match="ending"):
            await commits.write(add("late"))
        return await asyncio.gather(*waiting)

    assert asyncio.run(main()) == names(database) == [f"e{n}" for n in range(10)]
