"""Watching a run in a terminal: a table that lives, or a line for each change where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from mlwright.kernel.clock import show_seconds
from mlwright.kernel.ids import short
from mlwright.terminal import interactive
from mlwright.workflow.attempts import AttemptState
from mlwright.workflow.watch import NodeView, RunView, Watch, unwatched

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
def watching(quiet: bool) -> Iterator[Watch]:
    """A watcher for the block; `quiet` for answers in JSON."""
    if quiet:
        yield unwatched
    elif interactive():
        with _live() as watch:
            yield watch
    else:
        yield _lines


def _lines(run: RunView, node: NodeView | None) -> None:
    if node is None:
        if not any(view.state for view in run.nodes.values()):
            click.echo(f"run {short(run.run.id)} of {run.run.pipeline}")
        return
    if node.state is AttemptState.RUNNING and not node.note:
        return
    width = max(map(len, run.nodes))
    took = "" if node.seconds is None else show_seconds(node.seconds)
    click.echo(f"  {node.name.ljust(width)}  {(node.state or '').ljust(9)}  {took:>8}  {node.note}".rstrip())


@contextmanager
def _live() -> Iterator[Watch]:
    from rich.live import Live
    from rich.table import Table

    seen: list[RunView] = []

    def draw() -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for view in seen[0].nodes.values() if seen else ():
            seconds = view.seconds
            if view.state is AttemptState.RUNNING and view.began is not None:
                seconds = time.monotonic() - view.began
            colour = _COLOURS.get(view.state, "") if view.state else ""
            word = f"[{colour}]{view.state}[/]" if view.state else "[dim]waiting[/]"
            table.add_row(f"  {view.name}", word, "" if seconds is None else show_seconds(seconds), view.note)
        return table

    with Live(get_renderable=draw, refresh_per_second=10) as live:

        def watch(run: RunView, node: NodeView | None) -> None:
            if not seen:
                live.console.print(f"run {short(run.run.id)} of {run.run.pipeline}", highlight=False)
                seen.append(run)

        yield watch
