"""A request with a key is done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.errors import Conflict, FateUnknown, Invalid, NotFound
from mlwright.kernel.events import acting_as
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.server.answered import Answer, once
from mlwright.server.problems import Refusal

MADE = Answer(202, "/api/v1/runs/1", b"{}")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = SqliteDatabase(tmp_path / "records.db")
    opened.migrate(all_migrations())
    yield opened
    opened.close()


def counted(done: list[int]) -> Callable[[], Answer]:
    def do() -> Answer:
        done.append(1)
        return MADE

    return do


def test_the_same_request_has_the_first_answer(database: Database) -> None:
    """It is done once, however often it comes."""
    done: list[int] = []

    answers = [once(database, "k", b"run", counted(done)) for _ in range(3)]

    assert answers == [MADE] * 3
    assert len(done) == 1


def test_a_key_is_of_one_request_of_one_person(database: Database) -> None:
    """Another request with the key is refused; another person's key is another."""
    done: list[int] = []
    once(database, "k", b"run", counted(done))

    with pytest.raises(Invalid, match="another request"):
        once(database, "k", b"other", counted(done))
    with acting_as("somebody else"):
        once(database, "k", b"other", counted(done))

    assert len(done) == 2


def test_a_key_is_of_one_token(database: Database) -> None:
    """Who has the name of somebody whose token was taken back has none of what they were answered."""
    done: list[int] = []

    for token in ("01A", "01B", "01A"):
        with acting_as("ana", token):
            once(database, "k", b"run", counted(done))

    assert len(done) == 2


def test_so_many_keys_are_kept_of_one(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused, and nothing is done; those that are there still have their answers."""
    monkeypatch.setattr("mlwright.server.answered.MOST_KEYS", 2)
    done: list[int] = []
    for key in ("a", "b"):
        once(database, key, b"run", counted(done))

    with pytest.raises(Refusal, match="2 requests with an Idempotency-Key within a day") as refused:
        once(database, "c", b"run", counted(done))
    again = once(database, "a", b"run", counted(done))
    with acting_as("bo", "01B"):
        once(database, "c", b"run", counted(done))

    assert refused.value.http_status == 429
    assert again == MADE
    assert len(done) == 3


def test_what_was_refused_can_be_sent_again(database: Database) -> None:
    """A refusal did nothing, and the key is free."""
    done: list[int] = []

    def refuse() -> Answer:
        raise NotFound("no such thing")

    with pytest.raises(NotFound):
        once(database, "k", b"run", refuse)
    once(database, "k", b"run", counted(done))

    assert len(done) == 1


@pytest.mark.parametrize("error", [FateUnknown("gone"), RuntimeError("killed")])
def test_what_was_cut_off_is_not_done_again(database: Database, error: Exception) -> None:
    """Nobody knows whether it was done, and so it is told."""

    def die() -> Answer:
        raise error

    with pytest.raises(type(error)):
        once(database, "k", b"run", die)

    with pytest.raises(Conflict, match="cut off"):
        once(database, "k", b"run", counted([]))
