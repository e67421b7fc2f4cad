"""Lineage: the walk from anything back to what it was made from, or down to what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from mlwright.kernel import edges
from mlwright.kernel.database import Database, Queries, Source
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.versioning.lineage_mermaid import mermaid

_SQL = Queries.beside(__file__)

_CANDIDATES = 8
"""How many things a reference is said to fit."""

Labeller = Callable[[str], str]
"""How one room names one of its things, by id."""

BYTES = {"object", "tree"}
"""Kinds that are only bytes: they are shown when asked for."""


class Start(Struct, frozen=True):
    """Where a walk starts.

    Args:
        holders: of a thing without edges of its own, what is on record in its place: the datasets that hold a
            file's bytes, the snapshots of a commit. The walk goes on from these.
        role: how it stands to them.
    """

    end: End
    holders: tuple[End, ...] = ()
    role: str = "bytes"


class Finder(Struct, frozen=True):
    """How one room finds what a reference means.

    Args:
        word: what may stand before the reference so that only this finder is asked, as in `run:01JD8`.
        find: answers each thing that the text fits, and nothing for a text that it does not know.
        late: asked only when no other finder knows the text.
    """

    word: str
    find: Callable[[str], Sequence[Start]]
    late: bool = False


def loose_edges(source: Source) -> list[Edge]:
    """The edges that lead to artifacts, versions or snapshots, or come from them, which are not there."""
    return [
        *edges.loose(source, _SQL["loose_edges_of_artifacts"]),
        *edges.loose(source, _SQL["loose_edges_of_versions"]),
        *edges.loose(source, _SQL["loose_edges_of_snapshots"]),
        *edges.loose(source, _SQL["loose_edges_of_prediction_batches"]),
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


class Named(Struct, frozen=True):
    """A thing, and how it is named to people."""

    end: End
    label: str


class Walk(Struct, frozen=True):
    """A walk from a thing: the edges that were passed, and every thing on the way."""

    start: End
    edges: list[Edge]
    things: list[Named]
    down: bool

    def tree(self) -> LineageNode:
        """What the thing was made from, or what came of it, each thing spelled out once."""
        steps: dict[End, list[tuple[str, End]]] = {}
        for edge in self.edges:
            here, there = (edge.earlier, edge.later) if self.down else (edge.later, edge.earlier)
            steps.setdefault(here, []).append((edge.role, there))
        return _unfold(self.start, steps, self._labels)

    def mermaid(self) -> str:
        """The walk as a flowchart for Mermaid, each thing drawn once."""
        return mermaid(self.start, self.edges, self._labels.__getitem__)

    @property
    def _labels(self) -> dict[End, str]:
        return {each.end: each.label for each in self.things}


class Lineage:
    """Walks over the edges of every room.

    Args:
        finders: what may know a reference.
        labellers: by kind of thing; one of another kind is named by its kind and id.
    """

    def __init__(
        self, database: Database, finders: Sequence[Finder], labellers: Mapping[str, Labeller]
    ) -> None:
        self._database = database
        self._finders = finders
        self._labellers = labellers

    def find(self, text: str) -> End:
        """The thing a reference names: a version, a run, a prediction, a step's output, a digest, a file.

        Raises:
            NotFound: no room knows it.
            Invalid: it fits several things.
        """
        return self.start(text).end

    def start(self, text: str) -> Start:
        """The thing a reference names, and what holds it.

        Raises:
            NotFound, Invalid: as `find`.
        """
        found = self._found(text)
        if not found:
            raise NotFound(
                f"nothing is named {text!r}",
                hint="give a dataset or model (NAME@3), a run, RUN/STEP, a prediction id, a digest (b3:...),"
                " a Git commit or a file",
            )
        if len(found) > 1:
            told = [self.label(start.end) for _, start in found]
            more = f", and {len(told) - _CANDIDATES} more" if len(told) > _CANDIDATES else ""
            word = found[0][0]
            raise Invalid(
                f"{text!r} fits several things: {', '.join(told[:_CANDIDATES])}{more}",
                hint=f"type more of it, or say which kind: mlwright lineage {word}:{text}"
                if len({each for each, _ in found}) > 1
                else "type more of it",
            )
        return found[0][1]

    def walk(self, text: str, *, down: bool = False, with_bytes: bool = False) -> Walk:
        """The way from a thing to what it was made from, or to what came of it.

        Args:
            text: what it is called.
            down: what came of it.
            with_bytes: objects and trees too.

        Raises:
            NotFound, Invalid: as `find`.
        """
        start = self.start(text)
        walked = self._walk(start, down=down)
        if not with_bytes:
            walked = [edge for edge in walked if not _is_bytes(edge, start.end, down=down)]
        ends = dict.fromkeys([start.end, *(end for edge in walked for end in (edge.later, edge.earlier))])
        return Walk(start.end, walked, [Named(end, self.label(end)) for end in ends], down)

    def tree(self, text: str, *, down: bool = False, with_bytes: bool = False) -> LineageNode:
        """The same, each thing spelled out once."""
        return self.walk(text, down=down, with_bytes=with_bytes).tree()

    def edges(self, text: str, *, down: bool = False) -> list[Edge]:
        """The same walk as a list of edges, bytes included."""
        return self._walk(self.start(text), down=down)

    def label(self, end: End) -> str:
        """How a thing is named to people."""
        labeller = self._labellers.get(end.kind)
        return labeller(end.id) if labeller else f"{end.kind} {end.id[:12]}"

    def _found(self, text: str) -> list[tuple[str, Start]]:
        word, colon, rest = text.partition(":")
        named = [finder for finder in self._finders if colon and finder.word == word]
        for late in (False, True):
            asked = [finder for finder in named or self._finders if finder.late is late]
            wanted = rest if named else text
            found = {start.end: (finder.word, start) for finder in asked for start in finder.find(wanted)}
            if found:
                return list(found.values())
        return []

    def _walk(self, start: Start, *, down: bool) -> list[Edge]:
        if not start.holders:
            return edges.walk(self._database, start.end, down=down)
        found: dict[Edge, None] = {}
        reached: set[End] = set()
        # Holders stand with the later first: that way a walk takes in those that need none of their own.
        for holder in reversed(start.holders) if down else start.holders:
            if holder not in reached:
                walked = edges.walk(self._database, holder, down=down)
                reached |= {edge.later if down else edge.earlier for edge in walked}
                found |= dict.fromkeys(walked)
        # A file on disk may be what a dataset was made of, or a copy of it: it stands before the walk.
        role = start.role
        first = [holder for holder in start.holders if holder not in reached]
        before = [
            Edge(holder, role, start.end) if down else Edge(start.end, role, holder) for holder in first
        ]
        return [*before, *found]


def _unfold(start: End, steps: Mapping[End, list[tuple[str, End]]], labels: Mapping[End, str]) -> LineageNode:
    """Depth first, with a stack of our own: what a year of nightly runs made is thousands deep."""
    seen = {start}
    open_nodes = [_Open(start, "", iter(steps.get(start, ())))]
    while True:
        top = open_nodes[-1]
        role, end = next(top.waiting, ("", None))
        if end is None:
            open_nodes.pop()
            node = LineageNode(top.end, labels[top.end], top.role, tuple(top.children))
            if not open_nodes:
                return node
            open_nodes[-1].children.append(node)
        elif end in seen and steps.get(end):
            top.children.append(LineageNode(end, labels[end], role, (), again=True))
        else:
            seen.add(end)
            open_nodes.append(_Open(end, role, iter(steps.get(end, ()))))


def _is_bytes(edge: Edge, start: End, *, down: bool) -> bool:
    """Whether an edge leads to bytes, or from bytes that nobody started from."""
    here, there = (edge.earlier, edge.later) if down else (edge.later, edge.earlier)
    return there.kind in BYTES or (here.kind in BYTES and here != start)


class _Open(Struct):
    """A node whose children are being collected."""

    end: End
    role: str
    waiting: Iterator[tuple[str, End]]
    children: list[LineageNode] = field(default_factory=list)
