"""Workspaces from before versions could be searched and removed: nothing is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.kernel.database import all_migrations
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.versioning import search
from mlwright.versioning.versions import Versions
from tests.versioning.conftest import SIGNATURE

NAME = "datasets"


@pytest.fixture
def old(tmp_path: Path) -> Iterator[SqliteDatabase]:
    """A database as it was, with two versions of a dataset, a model, and an alias that moved."""
    database = SqliteDatabase(tmp_path / "metadata.db")
    before = [each for each in all_migrations() if each.number < ours()]
    database.migrate(before)
    abouts = [
        ("dataset", {"files": 1, "columns": ["age", "mean radius"]}),
        ("dataset", {"files": 3, "columns": None}),
        ("model", {"signature": SIGNATURE}),
    ]
    with database.transaction() as tx:
        tx.execute("INSERT INTO artifact VALUES ('a', 'tree', 't', 'd', 1, '{}', 0, 1)")
        for number, (kind, about) in enumerate(abouts):
            tx.execute(
                "INSERT INTO version"
                " VALUES (:id, :kind, 'patients', :number, 'a', 'first export', :about, 1)",
                id=f"v{number}",
                kind=kind,
                number=number + 1,
                about=json.dumps(about),
            )
        for source, target in ((None, "v0"), ("v0", "v1")):
            tx.execute(
                "INSERT INTO alias_move (kind, name, alias, from_id, to_id, actor, reason, at_us)"
                " VALUES ('dataset', 'patients', 'golden', :source, :target, 'ann', 'why', 7)",
                source=source,
                target=target,
            )
    yield database
    database.close()


def ours() -> int:
    """The number of the migration; the sequence is one over all rooms."""
    (migration,) = [each for each in all_migrations() if each.name == NAME]
    return migration.number


def test_what_was_there_is_found_by_its_words(old: SqliteDatabase) -> None:
    """Names, messages and columns of versions from before, models' inputs among them, are searched."""
    old.migrate(all_migrations())

    by_column = search.find(old, "dataset", "radius", 9)
    by_message = search.find(old, "dataset", "export", 9)
    models = search.find(old, "model", "age", 9)

    assert [each.version_id for each in by_column] == ["v0"]
    assert {each.version_id for each in by_message} == {"v0", "v1"}
    assert [each.version_id for each in models] == ["v2"]


def test_moves_of_aliases_keep_their_numbers(old: SqliteDatabase) -> None:
    """The history names numbers, by which it outlives the versions."""
    old.migrate(all_migrations())

    moves = Versions(old, "dataset").alias_moves("patients")

    assert [(move.from_number, move.to_number) for move in moves] == [(1, 2), (None, 1)]
    assert {(move.actor, move.reason, move.at_us) for move in moves} == {("ann", "why", 7)}
