"""Watching a run in a terminal: a table that lives, or a line for each change where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from mlwright.kernel.clock import show_seconds
from mlwright.kernel.ids import short
from mlwright.terminal import interactive
from mlwright.workflow.attempts import AttemptState
from mlwright.workflow.watch import NodeView, RunView, Unwatched, Watcher

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_COLOURS = {
    AttemptState.RUNNING: "cyan",
    AttemptState.SUCCEEDED: "green",
    AttemptState.REUSED: "blue",
    AttemptState.CHECKED: "green",
    AttemptState.FAILED: "red",
    AttemptState.CANCELLED: "yellow",
    AttemptState.SKIPPED: "dim",
}


@contextmanager
def watching(quiet: bool) -> Iterator[Watcher]:
    """A watcher for the block; `quiet` for answers in JSON."""
    if quiet:
        yield Unwatched()
    elif interactive():
        from rich.live import Live

        screen = LiveTable()
        with Live(get_renderable=screen.draw, refresh_per_second=10) as screen.live:
            yield screen
    else:
        yield Lines()


class Lines:
    """A line for each node that ends."""

    def __init__(self) -> None:
        self._what = ""

    def preparing(self, what: str) -> None:
        """Say it, once."""
        if what != self._what:
            click.echo(what)
        self._what = what

    def began(self, run: RunView) -> None:
        """Name the run."""
        click.echo(_title(run))

    def changed(self, run: RunView, node: NodeView) -> None:
        """Say how a node ended, or that it is tried again."""
        if node.state is AttemptState.RUNNING and not node.note:
            return
        width = max(map(len, run.nodes))
        took = "" if node.seconds is None else show_seconds(node.seconds)
        click.echo(
            f"  {node.name.ljust(width)}  {(node.state or '').ljust(9)}  {took:>8}  {node.note}".rstrip()
        )


class LiveTable:
    """A table of the nodes that is drawn again as they change, and stays when the run has ended."""

    live: Live

    def __init__(self) -> None:
        self._what = ""
        self._run: RunView | None = None

    def preparing(self, what: str) -> None:
        """Show it until the next thing begins."""
        self._what = what

    def began(self, run: RunView) -> None:
        """Name the run above the table."""
        self.live.console.print(_title(run), highlight=False)
        self._run = run

    def changed(self, run: RunView, node: NodeView) -> None:
        """The next drawing shows it."""

    def draw(self) -> RenderableType:
        """The table as it stands now."""
        from rich.table import Table
        from rich.text import Text

        if self._run is None:
            return Text(self._what, style="dim")
        table = Table(box=None, pad_edge=False, show_header=False)
        for node in self._run.nodes.values():
            style = _COLOURS[node.state] if node.state else "dim"
            table.add_row(
                Text(f"  {node.name}"),
                Text(node.state or "waiting", style=style),
                _took(node),
                Text(node.note),
            )
        return table


def _took(node: NodeView) -> str:
    seconds = node.seconds
    if node.state is AttemptState.RUNNING and node.began is not None:
        seconds = time.monotonic() - node.began
    return "" if seconds is None else show_seconds(seconds)


def _title(run: RunView) -> str:
    return f"run {short(run.run.id)} of {run.run.pipeline}"
