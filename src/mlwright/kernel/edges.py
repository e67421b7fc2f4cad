"""Edges tie every later thing to what it was made from; lineage is a walk over them.

An edge is written in the same transaction as its later end (`from`), by whoever makes that.
`docs/architecture.md` lists every kind and role.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from mlwright.kernel.database import Queries, Source, Transaction

_SQL = Queries.beside(__file__)


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


def made_from(database: Source, end: End, role: str | None = None) -> list[Edge]:
    """The edges that leave `end`, towards what it was made from."""
    rows = database.read(_SQL["edges_from"], kind=end.kind, id=end.id, role=role)
    return [_edge(row) for row in rows]


def made_into(database: Source, end: End, role: str | None = None) -> list[Edge]:
    """The edges that arrive at `end`, from what was made from it."""
    rows = database.read(_SQL["edges_to"], kind=end.kind, id=end.id, role=role)
    return [_edge(row) for row in rows]


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
