"""Every room's SQL: it prepares against the schema, says what it is for, and is used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlwright
from mlwright.kernel.database import Queries, all_migrations
from mlwright.kernel.sqlite import SqliteDatabase

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


@ROOMS
def test_every_query_has_a_name_of_its_own_and_a_sentence(file: Path) -> None:
    """What looks like a query is one: a missing sentence would hide it in the query before."""
    text = file.read_text()

    heads = re.findall(r"^-- name: *(\w+)\n-- ([A-Z].*\.)\n(?!--)", text, re.MULTILINE)

    assert len(heads) == text.count("-- name:") == len(Queries(file).texts())
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
    )

    queries = Queries.beside(str(tmp_path / "module.py"))

    assert queries["one"] == "SELECT 1;"
    assert queries["two"] == "SELECT\n    2;"
    with pytest.raises(KeyError):
        queries["three"]
