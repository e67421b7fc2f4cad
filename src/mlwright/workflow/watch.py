"""What a watcher of a run sees: a value for each change, whoever draws it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

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


class Watcher(Protocol):
    """Is told what happens, as it happens; must not raise."""

    def preparing(self, what: str) -> None:
        """Something begins, before the run does, that may take seconds: `installing 17 packages`."""

    def began(self, run: RunView) -> None:
        """The run is recorded."""

    def changed(self, run: RunView, node: NodeView) -> None:
        """A node stands differently."""


class Unwatched:
    """For who does not look."""

    def preparing(self, what: str) -> None:
        """Nobody looks."""

    def began(self, run: RunView) -> None:
        """Nobody looks."""

    def changed(self, run: RunView, node: NodeView) -> None:
        """Nobody looks."""
