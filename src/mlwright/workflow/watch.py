"""What a watcher of a run sees: a value for each change, whoever draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mlwright.tracking import Run
from mlwright.workflow.attempts import AttemptState


@dataclass(slots=True)
class NodeView:
    """A node as it stands: waiting (None), or the state of its newest attempt."""

    name: str
    state: AttemptState | None = None
    began: float | None = None
    seconds: float | None = None
    note: str = ""


@dataclass(slots=True)
class RunView:
    """A run as it goes, node by node in the graph's order."""

    run: Run
    nodes: dict[str, NodeView] = field(default_factory=dict)


Watch = Callable[[RunView, NodeView | None], None]
"""Called when the run begins and ends (None), and for each change of a node."""


def unwatched(run: RunView, node: NodeView | None) -> None:
    """For who does not look."""
