"""What datasets and models have in common on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from mlwright.kernel.clock import show as show_time
from mlwright.kernel.words import printable
from mlwright.terminal import say, show_size

if TYPE_CHECKING:
    from mlwright.versioning.versions import Version


def say_version(version: Version, aliases: Sequence[str]) -> None:
    """What every version has."""
    say(f"{version.kind} {version.reference}{'  (' + ', '.join(aliases) + ')' if aliases else ''}")
    say(f"digest     b3:{version.digest}")
    say(f"size       {show_size(version.size_bytes)}")
    say(f"made       {show_time(version.created_us)}")
    if version.message:
        say(f"message    {printable(version.message)}")


def alias_options(door: Callable[..., Any]) -> Callable[..., Any]:
    """What `alias` is told, for either kind."""
    for option in (
        click.option("--delete", is_flag=True, help="Take the alias away; REF is a name."),
        click.option("-m", "--message", default="", help="Why the alias moves, or goes."),
        click.argument("alias"),
        click.argument("reference", metavar="REF"),
    ):
        option(door)
    return door


def removal_options(door: Callable[..., Any]) -> Callable[..., Any]:
    """What `rm` is told, for either kind."""
    for option in (
        click.option("-m", "--message", default="", help="Why they go."),
        click.option("--all", "every", is_flag=True, help="Every version; REF is a name."),
        click.argument("references", metavar="REF...", nargs=-1, required=True),
    ):
        option(door)
    return door
