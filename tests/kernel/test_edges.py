"""Edges: what was made from what, walked both ways over everything that meets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlwright.kernel import edges
from mlwright.kernel.database import all_migrations
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.sqlite import SqliteDatabase


@pytest.fixture
def database() -> Iterator[SqliteDatabase]:
    """A database at the newest schema."""
    opened = SqliteDatabase(":memory:")
    opened.migrate(all_migrations())
    yield opened
    opened.close()


def thing(name: str) -> End:
    """An end of an edge."""
    return End("thing", name)


def edge(later: str, earlier: str, role: str = "input") -> Edge:
    """`later` was made from `earlier`."""
    return Edge(thing(later), role, thing(earlier))


DIAMOND = [edge("table", "data"), edge("train", "table"), edge("test", "table"), edge("model", "train")]
DIAMOND += [edge("scores", "model", "model"), edge("scores", "test"), edge("other", "elsewhere")]


def add(database: SqliteDatabase, found: list[Edge]) -> None:
    """Write edges."""
    with database.transaction() as tx:
        edges.add(tx, found)


def test_neighbours_are_found_both_ways_and_by_role(database: SqliteDatabase) -> None:
    """What a thing was made from and what it was made into, in all roles or in one."""
    add(database, DIAMOND)

    assert edges.made_from(database, thing("scores")) == [
        edge("scores", "test"),
        edge("scores", "model", "model"),
    ]
    assert edges.made_from(database, thing("scores"), "model") == [edge("scores", "model", "model")]
    assert edges.made_into(database, thing("table")) == [edge("test", "table"), edge("train", "table")]
    assert edges.made_into(database, thing("table"), "model") == []


def test_a_walk_up_reaches_every_origin_once(database: SqliteDatabase) -> None:
    """Where paths part and meet again, each edge is there once, and nothing beside the way."""
    add(database, DIAMOND)

    found = edges.walk(database, thing("scores"))

    assert len(found) == len(set(found)) == 6
    assert set(found) == set(DIAMOND[:6])


def test_a_walk_down_reaches_all_that_came_of_a_thing(database: SqliteDatabase) -> None:
    """From the middle: what follows, not what was before."""
    add(database, DIAMOND)

    found = edges.walk(database, thing("train"), down=True)

    assert set(found) == {edge("model", "train"), edge("scores", "model", "model")}


def test_kinds_with_the_same_id_are_apart(database: SqliteDatabase) -> None:
    """An id is an id of its kind only."""
    add(
        database,
        [Edge(End("run", "1"), "of", End("model", "1")), Edge(End("model", "1"), "of", End("data", "1"))],
    )

    assert len(edges.walk(database, End("run", "1"))) == 2
    assert edges.walk(database, End("data", "1")) == []


def test_the_same_edge_twice_is_one(database: SqliteDatabase) -> None:
    """Writing again changes nothing; another role is another edge."""
    add(database, [edge("a", "b"), edge("a", "b")])
    add(database, [edge("a", "b"), edge("a", "b", "other")])

    assert len(edges.made_from(database, thing("a"))) == 2


def test_a_thing_without_edges_has_none(database: SqliteDatabase) -> None:
    """Unknown things are walked to the end at once."""
    assert edges.walk(database, thing("nobody")) == edges.walk(database, thing("nobody"), down=True) == []


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=15))
def test_walks_end_and_find_what_can_be_reached(
    database: SqliteDatabase, pairs: list[tuple[int, int]]
) -> None:
    """In any graph, one with circles too, a walk finds exactly the edges that can be reached."""
    with database.transaction() as tx:
        tx.execute("DELETE FROM edge")
    add(database, [edge(str(later), str(earlier)) for later, earlier in pairs])

    def reached(start: int, down: bool) -> set[tuple[int, int]]:
        seen, waiting = {start}, [start]
        while waiting:
            at = waiting.pop()
            for later, earlier in pairs:
                here, there = (earlier, later) if down else (later, earlier)
                if here == at and there not in seen:
                    seen.add(there)
                    waiting.append(there)
        return {(later, earlier) for later, earlier in pairs if (earlier if down else later) in seen}

    for start in range(7):
        for down in (False, True):
            found = edges.walk(database, thing(str(start)), down=down)
            assert {(int(each.later.id), int(each.earlier.id)) for each in found} == reached(start, down)
            assert len(found) == len(set(found))
