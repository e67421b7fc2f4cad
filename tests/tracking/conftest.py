"""A database in memory and the runs in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.leases import Lease
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.tracking import Run, Runs


def begin(database: Database, *, pipeline: str = "p", **parameters: Any) -> tuple[Run, Lease]:
    """A run of this process begins."""
    with database.transaction() as tx:
        return Runs(database).begin(
            tx, project="small", pipeline=pipeline, seed=0, parameters=parameters, pins={}
        )


@pytest.fixture
def database() -> Iterator[Database]:
    """An empty database."""
    made = SqliteDatabase(":memory:")
    made.migrate(all_migrations())
    yield made
    made.close()


@pytest.fixture
def runs(database: Database) -> Runs:
    """The runs in it."""
    return Runs(database)
