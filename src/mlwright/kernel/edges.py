"""Edges tie every later thing to what it was made from; lineage is a walk over them.

An edge is written in the same transaction as its later end (`from`), by whoever makes that.
`docs/architecture.md` lists every kind and role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from mlwright.kernel.database import Queries, Source, Transaction

_SQL = Queries.beside(__file__)
_PAGE_ROWS = 1000


class End(Struct, frozen=True):
    """A thing that edges meet in: `End("run", "01JD8...")`."""

    kind: str
    id: str


class Edge(Struct, frozen=True):
    """`later` was made from, or with, `earlier`, in the role `role`."""

    later: End
    role: str
    earlier: End


def add(tx: Transaction, edges: Iterable[Edge]) -> None:
    """Write edges; one that is there already stays."""
    tx.execute_many(
        _SQL["add_edge"],
        [
            {
                "from_kind": edge.later.kind,
                "from_id": edge.later.id,
                "role": edge.role,
                "to_kind": edge.earlier.kind,
                "to_id": edge.earlier.id,
            }
            for edge in edges
        ],
    )


def remove(tx: Transaction, later: End) -> None:
    """Take away the edges of a thing that is gone; those that arrive at it are not its own."""
    tx.execute(_SQL["remove_edges"], kind=later.kind, id=later.id)


def roles_towards(source: Source, kinds: Sequence[str]) -> dict[tuple[str, str], int]:
    """How many edges lead to things of these kinds, by the kind of their later end and their role."""
    counts: dict[tuple[str, str], int] = {}
    for kind in kinds:
        for row in source.read(_SQL["roles_towards"], kind=kind):
            key = (row["from_kind"], row["role"].partition(":")[0])
            counts[key] = counts.get(key, 0) + row["edges"]
    return counts


def made_from(database: Source, end: End, role: str | None = None) -> list[Edge]:
    """The edges that leave `end`, towards what it was made from."""
    rows = database.read(_SQL["edges_from"], kind=end.kind, id=end.id, role=role)
    return [_edge(row) for row in rows]


def made_into(database: Source, end: End, role: str | None = None) -> list[Edge]:
    """The edges that arrive at `end`, from what was made from it."""
    rows = database.read(_SQL["edges_to"], kind=end.kind, id=end.id, role=role)
    return [_edge(row) for row in rows]


def ends(source: Source, kind: str) -> Iterator[str]:
    """What edges of any role lead to, of one kind, each id once and in order; a thousand rows at a time."""
    after = ""
    while rows := source.read(_SQL["bytes_named"], kind=kind, after=after, limit=_PAGE_ROWS):
        for row in rows:
            yield row["to_id"]
        after = rows[-1]["to_id"]


def count(source: Source) -> int:
    """How many edges there are."""
    return int(source.read(_SQL["count_edges"])[0]["edges"])


def loose(source: Source, query: str) -> list[Edge]:
    """The edges that a room's query finds: to or from things of it that are not there."""
    return [_edge(row) for row in source.read(query)]


def walk(database: Source, start: End, *, down: bool = False) -> list[Edge]:
    """Every edge that can be reached from `start`: up to its origins, or down to what came of it."""
    query = _SQL["walk_down" if down else "walk_up"]
    return [_edge(row) for row in database.read(query, kind=start.kind, id=start.id)]


def _edge(row: dict[str, object]) -> Edge:
    return Edge(
        End(str(row["from_kind"]), str(row["from_id"])),
        str(row["role"]),
        End(str(row["to_kind"]), str(row["to_id"])),
    )
