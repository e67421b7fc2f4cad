"""Lineage: the walk from anything back to what it was made from, or down to what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from mlwright.kernel import edges
from mlwright.kernel.database import Database, Queries, Source
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import NotFound

_SQL = Queries.beside(__file__)

Finder = Callable[[str], End | None]
"""What a reference means to one room, or None."""
Labeller = Callable[[str], str]
"""How one room names one of its things, by id."""

BYTES = {"object", "tree"}
"""Kinds that are only bytes: they are shown when asked for."""


def loose_edges(source: Source) -> list[Edge]:
    """The edges that lead to artifacts, versions or snapshots, or come from them, which are not there."""
    return [
        *edges.loose(source, _SQL["loose_edges_of_artifacts"]),
        *edges.loose(source, _SQL["loose_edges_of_versions"]),
        *edges.loose(source, _SQL["loose_edges_of_snapshots"]),
    ]


def counts(source: Source) -> dict[str, int]:
    """How many artifacts, snapshots, and versions of datasets and of models there are."""
    return source.read(_SQL["count_versioned"])[0]


class LineageNode(Struct, frozen=True):
    """A thing on the walk; `role` says how it stands to the one above it. `again`: shown in full before."""

    end: End
    label: str
    role: str
    children: tuple[LineageNode, ...]
    again: bool = False


class Lineage:
    """Walks over the edges of every room.

    Args:
        finders: asked in order what a reference means.
        labellers: by kind of thing.
    """

    def __init__(
        self, database: Database, finders: Sequence[Finder], labellers: Mapping[str, Labeller]
    ) -> None:
        self._database = database
        self._finders = finders
        self._labellers = labellers

    def find(self, text: str) -> End:
        """The thing a reference names: a version, a run, a prediction, a step's output, a digest.

        Raises:
            NotFound: no room knows it.
        """
        for finder in self._finders:
            if (end := finder(text)) is not None:
                return end
        raise NotFound(
            f"nothing is named {text!r}",
            hint="give a dataset or model (NAME@3), a run, a prediction id, or a digest (b3:...)",
        )

    def tree(self, text: str, *, down: bool = False, with_bytes: bool = False) -> LineageNode:
        """What a thing was made from, or what came of it, each thing spelled out once."""
        start = self.find(text)
        steps: dict[End, list[tuple[str, End]]] = {}
        for edge in edges.walk(self._database, start, down=down):
            here, there = (edge.earlier, edge.later) if down else (edge.later, edge.earlier)
            if with_bytes or there.kind not in BYTES:
                steps.setdefault(here, []).append((edge.role, there))
        return self._unfold(start, steps)

    def edges(self, text: str, *, down: bool = False) -> list[Edge]:
        """The same walk as a list of edges, bytes included."""
        return edges.walk(self._database, self.find(text), down=down)

    def label(self, end: End) -> str:
        """How a thing is named to people."""
        labeller = self._labellers.get(end.kind)
        return labeller(end.id) if labeller else f"{end.kind} {end.id[:12]}"

    def _unfold(self, start: End, steps: Mapping[End, list[tuple[str, End]]]) -> LineageNode:
        """Depth first, with a stack of our own: what a year of nightly runs made is thousands deep."""
        seen = {start}
        open_nodes = [_Open(start, "", iter(steps.get(start, ())))]
        while True:
            top = open_nodes[-1]
            role, end = next(top.waiting, ("", None))
            if end is None:
                open_nodes.pop()
                node = LineageNode(top.end, self.label(top.end), top.role, tuple(top.children))
                if not open_nodes:
                    return node
                open_nodes[-1].children.append(node)
            elif end in seen and steps.get(end):
                top.children.append(LineageNode(end, self.label(end), role, (), again=True))
            else:
                seen.add(end)
                open_nodes.append(_Open(end, role, iter(steps.get(end, ()))))


class _Open(Struct):
    """A node whose children are being collected."""

    end: End
    role: str
    waiting: Iterator[tuple[str, End]]
    children: list[LineageNode] = field(default_factory=list)
