"""Migrations: one sequence, replayed to one schema, applied whole or not at all."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from mlwright.kernel.database import Migration, all_migrations
from mlwright.kernel.errors import Incompatible
from mlwright.kernel.sqlite import SqliteDatabase

FLOORS = [
    {"kernel"},
    {"sdk"},
    {"storage", "compute"},
    {"workspace", "tracking", "versioning", "environments"},
    {"workflow", "containers", "serving"},
    {"orchestration", "monitoring", "tuning"},
    {"delivery"},
    {"server", "web"},
]

Open = Callable[[], SqliteDatabase]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database lies."""
    return tmp_path / "metadata.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    """Opens the database; it is closed after the test."""
    made: list[SqliteDatabase] = []

    def open_one() -> SqliteDatabase:
        made.append(SqliteDatabase(path))
        return made[-1]

    yield open_one
    for each in made:
        each.close()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Migration]:
    """Makes a migration of SQL text."""

    def migration(number: int, sql: str) -> Migration:
        file = tmp_path / f"{number:04}_made.sql"
        file.write_text(sql)
        return Migration(file)

    return migration


def schema_of(database: SqliteDatabase) -> list[tuple[str, str, str]]:
    """Type, name and SQL of everything in it."""
    return [(row["type"], row["name"], row["sql"]) for row in database.schema()]


def content(folder: Path) -> dict[str, str]:
    """The digest of each file of a folder."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.is_file()
    }


def test_migrations_are_one_sequence_with_a_sentence_each() -> None:
    """Numbers run from 1 without gaps over all rooms, and each file begins with what it is for."""
    migrations = all_migrations()

    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    for migration in migrations:
        assert re.match(r"-- \w.+\.\n", migration.sql), migration.path


def test_a_replay_from_nothing_gives_one_schema(tmp_path: Path) -> None:
    """All at once, or one after the other: the schema is the same, and every migration is on record."""
    at_once, one_by_one = SqliteDatabase(tmp_path / "one.db"), SqliteDatabase(tmp_path / "two.db")
    migrations = all_migrations()

    at_once.migrate(migrations)
    for end in range(1, len(migrations) + 1):
        one_by_one.migrate(migrations[:end])

    assert schema_of(at_once) == schema_of(one_by_one)
    for database in (at_once, one_by_one):
        recorded = database.read("SELECT number, name FROM migration ORDER BY number")
        assert [(row["number"], row["name"]) for row in recorded] == [(m.number, m.name) for m in migrations]
        database.close()


def test_every_table_is_strict() -> None:
    """A column holds what its type says; but for the index of words, of which the engine says what it is."""
    database = SqliteDatabase(":memory:")
    database.migrate(all_migrations())

    listed = database.read("PRAGMA table_list")
    loose = [row["name"] for row in listed if not row["strict"] and row["type"] == "table"]

    assert {name for name in loose if not name.startswith("sqlite_")} == set()
    assert [row["name"] for row in listed if row["type"] == "virtual"] == ["search"]


def test_foreign_keys_point_down_the_floors() -> None:
    """A table references tables of its own room, or of a room on a lower floor."""
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    database = SqliteDatabase(":memory:")
    owners: dict[str, str] = {}
    for end, migration in enumerate(all_migrations(), start=1):
        database.migrate(all_migrations()[:end])
        for row in database.read("PRAGMA table_list"):
            owners.setdefault(row["name"], migration.path.parents[1].name)

    upward = [
        (table, key["table"])
        for table, room in owners.items()
        for key in database.read(f"PRAGMA foreign_key_list({table})")
        if room != owners[key["table"]] and floor[owners[key["table"]]] >= floor[room]
    ]

    assert upward == []


def test_a_newer_schema_is_refused_and_not_a_byte_is_changed(
    path: Path, opened: Open, make: Callable[..., Migration]
) -> None:
    """Whoever updated first does not lose a workspace to one who did not: its files stay as they are."""
    newer = [*all_migrations(), make(len(all_migrations()) + 1, "CREATE TABLE later (id TEXT) STRICT;")]
    ahead = opened()
    ahead.migrate(newer)
    ahead.close()
    before = content(path.parent)

    older = opened()
    with pytest.raises(Incompatible, match="newer mlwright"):
        older.migrate(all_migrations())
    older.close()

    assert content(path.parent) == before


def test_a_newer_process_that_was_faster_is_not_undone(
    path: Path, opened: Open, make: Callable[..., Migration], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another process migrates further between the look and the lock, the schema's number stays its."""
    newer = [*all_migrations(), make(len(all_migrations()) + 1, "CREATE TABLE later (id TEXT) STRICT;")]
    slow, fast = opened(), opened()
    begin = slow.transaction

    def begin_late() -> object:
        fast.migrate(newer)
        return begin()

    monkeypatch.setattr(slow, "transaction", begin_late)
    with pytest.raises(Incompatible):
        slow.migrate(all_migrations())

    fast.migrate(newer)
    assert fast.read("PRAGMA user_version") == [{"user_version": len(newer)}]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE half (id TEXT) STRICT; CREATE TABLE run (id TEXT) STRICT;",
        "CREATE TABLE half (id TEXT) STRICT; SELEC 1;",
        "CREATE TABLE half (id TEXT) STRICT; INSERT INTO half VALUES (1, 2, 3);",
    ],
)
def test_a_migration_that_fails_leaves_the_old_schema(
    path: Path, opened: Open, make: Callable[..., Migration], sql: str
) -> None:
    """Half of a migration is never there, its number is not taken, and the next try works."""
    database = opened()
    database.migrate(all_migrations())
    before = schema_of(database)
    number = len(all_migrations()) + 1

    with pytest.raises(apsw.Error):
        database.migrate([*all_migrations(), make(number, sql)])

    assert schema_of(database) == before
    assert database.read("PRAGMA user_version") == [{"user_version": number - 1}]
    database.migrate([*all_migrations(), make(number, "CREATE TABLE whole (id TEXT) STRICT;")])
    assert "whole" in {name for _, name, _ in schema_of(database)}


def test_a_migration_keeps_a_copy_of_what_was_there(
    path: Path, opened: Open, make: Callable[..., Migration]
) -> None:
    """Beside the file lies a database at the old schema, with every row that was committed before."""
    database = opened()
    database.migrate(all_migrations())
    with database.transaction() as tx:
        tx.execute("INSERT INTO project (name, created_us) VALUES ('kept', 1)")
    before, number = schema_of(database), len(all_migrations()) + 1

    database.migrate([*all_migrations(), make(number, "DELETE FROM project;")])

    copy = SqliteDatabase(path.with_name(f"metadata.db.before-{number:04}"))
    assert schema_of(copy) == before
    assert copy.read("SELECT name FROM project") == [{"name": "kept"}]
    assert copy.read("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert database.read("SELECT name FROM project") == []
    copy.close()


def test_a_new_database_needs_no_copy(path: Path, opened: Open) -> None:
    """Nothing was there before the first migration."""
    opened().migrate(all_migrations())

    assert [file.name for file in path.parent.glob("*before*")] == []
