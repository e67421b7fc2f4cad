"""What happened, as it is asked for: by filter, page by page, and as it comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlwright.kernel import events
from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Invalid
from mlwright.kernel.events import acting_as
from mlwright.kernel.history import EventFilter, follow, history
from mlwright.kernel.sqlite import SqliteDatabase
from tests.postgres import Postgres, open_database

MODEL, OTHER = End("version", "01A"), End("run", "01A")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database at the newest schema, of each engine."""
    opened: Database
    if request.param == "sqlite":
        opened = SqliteDatabase(":memory:")
        opened.migrate(all_migrations())
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        opened = open_database(postgres.lend())
    yield opened
    opened.close()


def tell(database: Database, verb: str, subject: End = MODEL, who: str = "ann") -> None:
    with database.transaction() as tx, acting_as(who):
        events.record(tx, verb, subject)


def verbs(database: Database, wanted: EventFilter) -> list[str]:
    return [event.verb for event in history(database, wanted).found]


def test_events_are_read_in_order_from_a_cursor(database: Database) -> None:
    """Oldest first, after an id, at most so many: who remembers an id misses none and sees none twice."""
    for number in range(10):
        tell(database, f"count.{number}")
    read, cursor = [], 0

    while page := history(database, EventFilter(after=cursor, limit=3)).found:
        read += [event.verb for event in page]
        cursor = page[-1].id

    assert read == [f"count.{number}" for number in range(10)]


def test_the_newest_come_first_page_by_page(database: Database) -> None:
    """A token leads on to older ones, whatever happens meanwhile."""
    for number in range(5):
        tell(database, f"count.{number}")
    first = history(database, EventFilter(limit=3))

    tell(database, "count.5")
    second = history(database, EventFilter(limit=3, token=first.token))

    assert [event.verb for event in first.found] == ["count.4", "count.3", "count.2"]
    assert [event.verb for event in second.found] == ["count.1", "count.0"]
    assert second.token == ""


def test_a_filter_keeps_to_verb_subject_actor_and_time(database: Database) -> None:
    """Each of its words leaves out what is otherwise; a noun stands for all of its verbs."""
    tell(database, "alias.moved")
    tell(database, "alias.removed", who="bob")
    tell(database, "aliased.moved", OTHER)

    def wanted(**words: object) -> list[str]:
        return sorted(verbs(database, EventFilter(**words)))  # type: ignore[arg-type]

    assert wanted(verb="alias.moved") == ["alias.moved"]
    assert wanted(verb="alias") == ["alias.moved", "alias.removed"]
    assert wanted(subject=MODEL) == ["alias.moved", "alias.removed"]
    assert wanted(subject=OTHER) == ["aliased.moved"]
    assert wanted(actor="bob") == ["alias.removed"]
    assert wanted(actor="ann", verb="alias") == ["alias.moved"]
    assert wanted(since="1h") == ["alias.moved", "alias.removed", "aliased.moved"]
    assert wanted(until="1h") == []
    assert wanted(since="2999-01-01") == []


@pytest.mark.parametrize(
    "words",
    [
        {"limit": 0},
        {"limit": 10_001},
        {"since": "soon"},
        {"verb": "a\0.b"},
        {"verb": "alia_"},
        {"actor": "\0"},
        {"token": "x"},
    ],
)
def test_what_cannot_be_a_filter_is_refused(words: dict[str, object], database: Database) -> None:
    """A word that means nothing is said, not passed over."""
    with pytest.raises(Invalid):
        history(database, EventFilter(**words))  # type: ignore[arg-type]


def test_events_are_followed_as_they_come(database: Database) -> None:
    """First what is there after a number, then what is new after each pause, and nothing twice."""
    tell(database, "run.started")
    tell(database, "run.lost")
    news = iter([[("run.succeeded", "bob")], [("run.failed", "ann"), ("model.added", "ann")]])

    def pause() -> None:
        for verb, who in next(news):
            tell(database, verb, who=who)

    coming = follow(database, 1, pause, EventFilter(verb="run", actor="ann"))
    seen = [next(coming).verb, next(coming).verb]

    assert seen == ["run.lost", "run.failed"]
    with pytest.raises(RuntimeError):  # nothing else came: it paused for the third time
        next(coming)
