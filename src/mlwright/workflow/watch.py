"""What a watcher of a run sees: a value for each change, whoever draws it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from mlwright.kernel.words import is_or_are
from mlwright.tracking import Progress, Run
from mlwright.workflow.attempts import AttemptState

if TYPE_CHECKING:
    from mlwright.versioning import Artifact


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


class Shown:
    """A run as it is shown to a watcher.

    Args:
        nodes: their names, in the graph's order.
    """

    def __init__(self, run: Run, nodes: Iterable[str], watcher: Watcher) -> None:
        self._run = RunView(run, {name: NodeView(name) for name in nodes})
        self._watcher = watcher
        self.nodes: Mapping[str, NodeView] = self._run.nodes

    def begin(self) -> None:
        """The run is recorded."""
        self._watcher.began(self._run)

    def changed(self, name: str) -> None:
        """Something else is told of a node now."""
        self._watcher.changed(self._run, self.nodes[name])

    def stands(
        self,
        name: str,
        state: AttemptState,
        *,
        seconds: float | None = None,
        note: str = "",
        number: int | None = None,
    ) -> None:
        """A node stands differently; which try it is stays, unless it is said."""
        node = self.nodes[name]
        if state is AttemptState.RUNNING and node.began is None:
            node.began = time.monotonic()
        node.state, node.seconds, node.note = state, seconds, note
        node.number = number or node.number
        self.changed(name)


def unsafe_note(outputs: Mapping[str, Artifact]) -> str:
    """What is noted of a step whose output is a pickle; why, the step's log says."""
    names = [name for name, each in outputs.items() if each.unsafe]
    if not names:
        return ""
    what = "its output" if len(outputs) == 1 else ", ".join(f"`{name}`" for name in names)
    return f"{what} {is_or_are(len(names))} stored as pickle (unsafe)"


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
