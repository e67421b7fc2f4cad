"""Which nodes of a graph may start, the longest way to the end first. Pure; each edge is looked at once."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from mlwright.workflow.graph import Graph, Node


class Frontier:
    """The nodes that wait, and those that are ready: first what most work stands behind, then as written.

    Args:
        graph: each node stands behind all that it needs.
        met: names that are needed and met from the beginning, nodes or not.
        seconds: how long steps are known to take, by address.
    """

    def __init__(self, graph: Graph, met: Iterable[str] = (), seconds: Mapping[str, float] = {}) -> None:
        met = frozenset(met)
        self._unmet: dict[str, int] = {}
        self._nodes = {node.name: node for node in graph.nodes}
        self._behind: dict[str, list[str]] = {}
        self._ready: list[tuple[float, int, str]] = []
        for node in graph.nodes:
            for need in node.needs:
                self._behind.setdefault(need, []).append(node.name)
        ranks = self._ranks(graph, seconds)
        self._place = {name: (-ranks[name], order, name) for order, name in enumerate(self._nodes)}
        for node in graph.nodes:
            needs = node.needs - met
            self._unmet[node.name] = len(needs)
            if not needs:
                heapq.heappush(self._ready, self._place[node.name])

    def take(self) -> Node | None:
        """The next node that may start; each is given once."""
        while self._ready:
            name = heapq.heappop(self._ready)[2]
            if self._unmet.pop(name, None) is not None:
                return self._nodes[name]
        return None

    def meet(self, name: str) -> None:
        """A node has given its outputs: what waited for nothing else is ready."""
        for behind in self._behind.get(name, ()):
            if behind in self._unmet:
                self._unmet[behind] -= 1
                if not self._unmet[behind]:
                    heapq.heappush(self._ready, self._place[behind])

    def drop(self, names: Iterable[str]) -> list[Node]:
        """These will never start; returns those that had not yet."""
        return [self._nodes[name] for name in names if self._unmet.pop(name, None) is not None]

    def goes_before(self, node: Node) -> bool:
        """Whether what is ready should start before more of a node that has begun does."""
        while self._ready and self._ready[0][2] not in self._unmet:
            heapq.heappop(self._ready)
        return bool(self._ready) and self._ready[0] < self._place[node.name]

    def _ranks(self, graph: Graph, seconds: Mapping[str, float]) -> dict[str, float]:
        """For each node, the seconds of the longest way from it to the end, itself included."""
        ranks: dict[str, float] = {}
        for node in reversed(graph.nodes):
            behind = max((ranks[name] for name in self._behind.get(node.name, ())), default=0.0)
            ranks[node.name] = seconds.get(node.step, 0.0) + behind
        return ranks
