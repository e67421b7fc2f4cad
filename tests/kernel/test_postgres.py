"""PostgreSQL: the exam, restarts in the middle of everything, addresses without a password."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from mlwright.kernel.database import Database
from mlwright.kernel.postgres import PostgresDatabase
from mlwright.kernel.postgres_place import parse_place
from tests.exams.database import DatabaseExam, Opener
from tests.postgres import Postgres, postgres

__all__ = ["postgres"]

DANGLING = "INSERT INTO thing (name, of) VALUES ('two', 'nobody')"


class TestPostgres(DatabaseExam):
    """What many machines share."""

    holds_nul = False

    @pytest.fixture
    def url(self, postgres: Postgres) -> str:
        """An empty database."""
        return postgres.make(schema=False)

    @pytest.fixture
    def open_database(self, url: str) -> Iterator[Opener]:
        """Other connections to the same database."""
        opened: list[PostgresDatabase] = []

        def open_one() -> Database:
            opened.append(PostgresDatabase(parse_place(url)))
            return opened[-1]

        yield open_one
        for each in opened:
            each.close()

    @pytest.fixture
    def break_reference(self, url: str) -> Callable[[Database], None]:
        """As one who replicates, for whom references are not looked at."""

        def break_it(database: Database) -> None:
            with psycopg.connect(url) as connection:
                connection.execute("SET session_replication_role = replica")
                connection.execute(DANGLING)

        return break_it
