"""Watching a run in a terminal: a table that lives, or a line for each change where nobody watches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from mlwright.kernel.clock import show_seconds
from mlwright.kernel.ids import short
from mlwright.kernel.words import counted, printable
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


_NAMED = 5
"""So many files that are not in the code are named when a run begins; `runs show` names more."""


@contextmanager
def watching(quiet: bool, *, alive: bool = True) -> Iterator[Watcher]:
    """A watcher for the block.

    Args:
        quiet: for answers in JSON.
        alive: whether a table may be drawn again and again: not where steps use the terminal themselves.
    """
    if quiet:
        yield Quiet()
    elif interactive() and alive:
        from rich.live import Live

        screen = LiveTable()
        with Live(get_renderable=screen.draw, refresh_per_second=10) as screen.live:
            yield screen
    else:
        yield Lines()


class Quiet(Unwatched):
    """Standard output is for a program: only what went wrong beside the run is told."""

    def warned(self, what: str) -> None:
        """Say it where errors go."""
        _warn(what)


class Lines:
    """A line for each node that ends."""

    def __init__(self) -> None:
        self._what = ""

    def _say(self, text: str) -> None:
        """Nobody may be listening any more (`| head`): the run goes on."""
        with contextlib.suppress(OSError):
            click.echo(text)

    def preparing(self, what: str) -> None:
        """Say it, once."""
        if what != self._what:
            self._say(what)
        self._what = what

    def began(self, run: RunView) -> None:
        """Name the run."""
        self._say(_title(run))

    def changed(self, run: RunView, node: NodeView) -> None:
        """Say how a node ended, or that it is tried again."""
        if node.state is AttemptState.RUNNING and not node.note:
            return
        note = "; ".join(part for part in (node.note, _items(node)) if part)
        width = max(map(len, run.nodes))
        took = "" if node.seconds is None else show_seconds(node.seconds)
        self._say(f"  {node.name.ljust(width)}  {(node.state or '').ljust(9)}  {took:>8}  {note}".rstrip())

    def warned(self, what: str) -> None:
        """Say it where errors go."""
        _warn(what)


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

    def warned(self, what: str) -> None:
        """Say it above the table."""
        self.live.console.print(f"warning: {what}", highlight=False, markup=False, soft_wrap=True)

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
                Text(node.worker if node.state is AttemptState.RUNNING else "", style="dim"),
                _note(node),
            )
        return table


def _warn(what: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(f"warning: {what}", err=True)


def _note(node: NodeView) -> RenderableType:
    """What there is to say of a node: the bar of its loop while it runs, else words."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    tries = f"try {node.number}" if node.number > 1 else ""
    words = "; ".join(part for part in (node.note or tries, _items(node)) if part)
    running = node.state is AttemptState.RUNNING
    total, done, what = node.items, node.done + node.failed, ""
    if running and node.progress is not None:
        total, done = node.progress.total, node.progress.done
        what = f"{node.progress.what} {done:,}" + (f"/{total:,}" if total else "")
    if not running or not (total or what):
        return Text(words)
    row = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=total, completed=done, width=20) if total else Text("")
    row.add_row(bar, Text(" ".join(part for part in (what.strip(), words) if part)))
    return row


def _items(node: NodeView) -> str:
    """How far the elements of a mapped node are."""
    if node.items is None:
        return ""
    told = [f"{node.done:,} of {node.items:,}" if node.done < node.items else counted(node.items, "element")]
    if node.reused:
        told.append(f"{node.reused:,} reused")
    if node.failed:
        told.append(f"{node.failed:,} failed")
    return ", ".join(told)


def _took(node: NodeView) -> str:
    seconds = node.seconds
    if node.state is AttemptState.RUNNING and node.began is not None:
        seconds = time.monotonic() - node.began
    return "" if seconds is None else show_seconds(seconds)


def _title(run: RunView) -> str:
    """Which run begins, and what of the project its steps will not find."""
    title = f"run {short(run.run.id)} of {run.run.pipeline}"
    left_out = run.run.about.get("left_out", ())
    if not left_out:
        return title
    more = len(left_out) - _NAMED
    named = ", ".join(map(printable, left_out[:_NAMED])) + (f" and {more} more" if more > 0 else "")
    why = "untracked and over 10 MiB, or a submodule that is not checked out"
    return f"{title}\nnot in its code ({why}): {named}"
