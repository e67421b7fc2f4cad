"""What an execution is given: the graph, where its steps run, and what its references mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlwright.compute import Place
from mlwright.versioning import Artifact, Version
from mlwright.workflow.fingerprint import Fingerprint, Fingerprints
from mlwright.workflow.graph import Graph, Node
from mlwright.workflow.known import Known


class Ground(Struct, frozen=True):
    """An environment of the run, and the cache keys of steps in it."""

    python: Path
    fingerprints: Fingerprints


class Orders(Struct, frozen=True):
    """What an execution is given.

    Args:
        code: the materialised snapshot.
        grounds: by the name of the environment; the project's own has none.
        datasets: the version behind each dataset reference in the graph.
        models: the artifact behind each pinned model reference, by pseudo-node name.
        parameters: as they were recorded.
        cache: whether earlier successes may be reused.
        replay: judgements are made, but nothing is registered and no alias moves.
    """

    graph: Graph
    code: Path
    grounds: Mapping[str, Ground]
    datasets: Mapping[str, Version]
    models: Mapping[str, Artifact]
    parameters: Mapping[str, Any]
    cache: bool
    replay: bool

    def known(self) -> Known:
        """What arguments stand for before any step has run."""
        known = Known({name: version.digest for name, version in self.datasets.items()})
        for name, artifact in self.models.items():
            known.outputs[name, "model"] = artifact
        return known

    def place(self, node: Node) -> Place:
        """Where a node runs."""
        python = self.grounds[node.environment].python
        return Place(python, self.code, node.cpus, node.gpus, node.memory_bytes)

    def fingerprint(self, node: Node, known: Known, seed: int) -> Fingerprint | None:
        """The cache key of a step whose inputs are known; None when it is not to be cached."""
        return self.grounds[node.environment].fingerprints.of(node, known, seed)
