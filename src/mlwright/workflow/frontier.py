"""Which nodes of a graph may start: those whose needs are met. Pure; each edge is looked at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from mlwright.workflow.graph import Graph, Node


class Frontier:
    """The nodes that wait, and those that are ready, in the order in which they became so.

    Args:
        graph: each node stands behind all that it needs.
        met: names that are needed and met from the beginning, nodes or not.
    """

    def __init__(self, graph: Graph, met: Iterable[str] = ()) -> None:
        met = frozenset(met)
        self._unmet: dict[str, int] = {}
        self._nodes = {node.name: node for node in graph.nodes}
        self._behind: dict[str, list[str]] = {}
        self._ready: deque[str] = deque()
        for node in graph.nodes:
            needs = node.needs - met
            self._unmet[node.name] = len(needs)
            for need in needs:
                self._behind.setdefault(need, []).append(node.name)
            if not needs:
                self._ready.append(node.name)

    def take(self) -> Node | None:
        """The next node that may start; each is given once."""
        while self._ready:
            name = self._ready.popleft()
            if self._unmet.pop(name, None) is not None:
                return self._nodes[name]
        return None

    def meet(self, name: str) -> None:
        """A node has given its outputs: what waited for nothing else is ready."""
        for behind in self._behind.get(name, ()):
            if behind in self._unmet:
                self._unmet[behind] -= 1
                if not self._unmet[behind]:
                    self._ready.append(behind)

    def drop(self, names: Iterable[str]) -> list[Node]:
        """These will never start; returns those that had not yet."""
        return [self._nodes[name] for name in names if self._unmet.pop(name, None) is not None]
