"""Every room's SQL: it prepares against the schema, says what it is for, and is used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlwright
from mlwright.kernel.database import Queries, Query, all_migrations
from mlwright.kernel.dialect import placed
from mlwright.kernel.postgres_connection import PostgresConnection
from mlwright.kernel.postgres_place import parse_place
from mlwright.kernel.sqlite import SqliteDatabase
from tests.postgres import Postgres

HOUSE = Path(mlwright.__file__).parent
FILES = sorted(HOUSE.glob("*/queries.sql"))
ROOMS = pytest.mark.parametrize("file", FILES, ids=[file.parent.name for file in FILES])


@pytest.fixture(scope="module")
def database() -> Iterator[SqliteDatabase]:
    """A database at the newest schema."""
    opened = SqliteDatabase(":memory:")
    opened.migrate(all_migrations())
    yield opened
    opened.close()


def used_in(folder: Path) -> set[str]:
    """The names in `_SQL[...]`, also of both branches of a choice."""
    names = set()
    for source in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if (
                isinstance(node, ast.Subscript)
                and isinstance(node.value, ast.Name)
                and node.value.id == "_SQL"
            ):
                choice = node.slice
                branches = [choice.body, choice.orelse] if isinstance(choice, ast.IfExp) else [choice]
                for branch in branches:
                    assert isinstance(branch, ast.Constant), f"{source}: a query's name is written out"
                    names.add(branch.value)
    return names


@ROOMS
def test_every_query_prepares(file: Path, database: SqliteDatabase) -> None:
    """Each named query is one statement that the migrated schema can run."""
    for sql in Queries(file).texts().values():
        parameters = dict.fromkeys(re.findall(r":(\w+)", sql))

        plan = database.read(f"EXPLAIN {sql}", **parameters)

        assert plan
        assert sql.count(";") == 1
        assert sql.endswith(";")


@pytest.fixture(scope="module")
def connection(postgres: Postgres) -> Iterator[PostgresConnection]:
    """A connection to a database of PostgreSQL at the newest schema."""
    opened = PostgresConnection(parse_place(postgres.make()), reading=False)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "file", [*FILES, HOUSE / "kernel" / "postgres.sql"], ids=lambda file: f"{file.parent.name}/{file.stem}"
)
def test_every_query_prepares_on_postgresql(file: Path, connection: PostgresConnection) -> None:
    """Each named query, or its variant, is one statement that the same schema can run there."""
    for number, sql in enumerate(Queries(file).texts().values()):
        text, _ = placed(sql.postgres if isinstance(sql, Query) else sql)

        connection.run(f"PREPARE q{number} AS {text} DEALLOCATE q{number}")


@pytest.mark.parametrize(
    ("room", "name"),
    [
        ("kernel", "walk_up"),
        ("kernel", "walk_down"),
        ("versioning", "remove_version"),
        ("versioning", "remove_artifact"),
    ],
)
def test_what_is_asked_of_one_thing_reads_no_whole_table(
    room: str, name: str, database: SqliteDatabase
) -> None:
    """A walk over edges, and what is done for each version that is removed, find their rows by indexes."""
    sql = Queries(HOUSE / room / "queries.sql")[name]
    parameters = dict.fromkeys(re.findall(r":(\w+)", sql))

    steps = [row["detail"] for row in database.read(f"EXPLAIN QUERY PLAN {sql}", **parameters)]

    assert {step for step in steps if step.startswith("SCAN")} <= {"SCAN CONSTANT ROW", "SCAN reached"}
    assert any(step.startswith("SEARCH") for step in steps)


def test_every_query_of_the_engines_own_is_used() -> None:
    """What only one engine is asked is asked by its module."""
    for engine in ("postgres", "sqlite"):
        told = set(Queries(HOUSE / "kernel" / f"{engine}.sql").texts())
        sources = "".join(source.read_text() for source in (HOUSE / "kernel").glob("*.py"))
        assert set(re.findall(rf'_{engine.upper()}\["(\w+)"\]', sources)) == told


@ROOMS
def test_every_query_has_a_name_of_its_own_and_a_sentence(file: Path) -> None:
    """What looks like a query is one: a missing sentence would hide it in the query before."""
    text = file.read_text()

    heads = re.findall(r"^-- name: *(\w+(?: \(postgres\))?)\n-- ([A-Z].*\.)\n(?!--)", text, re.MULTILINE)

    plain = [name for name, _ in heads if not name.endswith(")")]
    assert len(heads) == text.count("-- name:")
    assert plain == list(Queries(file).texts())
    assert len({name for name, _ in heads}) == len(heads)


@ROOMS
def test_every_query_is_used_and_every_used_one_exists(file: Path) -> None:
    """The room's code and its SQL name the same queries."""
    assert used_in(file.parent) == set(Queries(file).texts())


def test_queries_are_read_by_name(tmp_path: Path) -> None:
    """A name gives the statement without its comments; an unknown one is our own mistake."""
    file = tmp_path / "queries.sql"
    file.write_text(
        "-- name: one\n-- The first.\nSELECT 1;\n\n-- name: two\n-- The second.\nSELECT\n    2;\n"
        "-- name: two (postgres)\n-- Likewise.\nSELECT 3;\n"
    )

    queries = Queries.beside(str(tmp_path / "module.py"))

    assert queries["one"] == "SELECT 1;"
    assert queries["two"] == "SELECT\n    2;"
    assert isinstance(queries["two"], Query)
    assert queries["two"].postgres == "SELECT 3;"
    with pytest.raises(KeyError):
        queries["three"]
