"""What a watcher of a run sees: a value for each change, whoever draws it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct, field

from mlwright.tracking import Progress, Run
from mlwright.workflow.attempts import AttemptState


class NodeView(Struct):
    """A node as it stands: waiting (None), or the state of its newest attempt.

    Args:
        began: by the monotonic clock.
        number: which try it is.
        items: of a mapped node, how many elements there are; None before that is known.
        done: how many of them have succeeded.
        reused: how many of those were not run again.
        failed: how many have failed.
        progress: what the step last told of itself.
    """

    name: str
    state: AttemptState | None = None
    began: float | None = None
    seconds: float | None = None
    note: str = ""
    number: int = 1
    worker: str = ""
    items: int | None = None
    done: int = 0
    reused: int = 0
    failed: int = 0
    progress: Progress | None = None


class RunView(Struct):
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

    def warned(self, what: str) -> None:
        """Something beside the run did not work, which changes nothing of it."""


class Unwatched:
    """For who does not look."""

    def preparing(self, what: str) -> None:
        """Nobody looks."""

    def began(self, run: RunView) -> None:
        """Nobody looks."""

    def changed(self, run: RunView, node: NodeView) -> None:
        """Nobody looks."""

    def warned(self, what: str) -> None:
        """Nobody looks."""
