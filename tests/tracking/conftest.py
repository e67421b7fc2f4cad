"""A database and the runs in it, once on SQLite and once on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.leases import Lease
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.tracking import Run, Runs
from tests.postgres import open_database

__all__ = ["begin"]


def begin(database: Database, *, pipeline: str = "p", **parameters: Any) -> tuple[Run, Lease]:
    """A run of this process begins."""
    with database.transaction() as tx:
        return Runs(database).begin(
            tx, project="small", pipeline=pipeline, seed=0, parameters=parameters, pins={}
        )


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """What keeps the records: whoever asks for it, or for a database, is tested with each."""
    return str(request.param)


@pytest.fixture
def database(engine: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database."""
    made = _sqlite() if engine == "sqlite" else open_database(request.getfixturevalue("postgres").lend())
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(engine: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database that the properties of one module share."""
    made = _sqlite() if engine == "sqlite" else open_database(request.getfixturevalue("postgres").make())
    yield made
    made.close()


@pytest.fixture
def make_database(engine: str, request: pytest.FixtureRequest) -> Iterator[Callable[[], Database]]:
    """Makes one empty database after the other: each ends the one before."""
    made: list[Database] = []

    def make() -> Database:
        for before in made:
            before.close()
        made[:] = [
            _sqlite() if engine == "sqlite" else open_database(request.getfixturevalue("postgres").lend())
        ]
        return made[0]

    yield make
    for last in made:
        last.close()


def _sqlite() -> SqliteDatabase:
    database = SqliteDatabase(":memory:")
    database.migrate(all_migrations())
    return database


@pytest.fixture
def runs(database: Database) -> Runs:
    """The runs in it."""
    return Runs(database)
