"""What datasets and models have in common on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mlwright.kernel.clock import show as show_time
from mlwright.kernel.words import printable
from mlwright.terminal import say, say_json, say_table, show_size

if TYPE_CHECKING:
    from mlwright.kernel.plan import Plan
    from mlwright.versioning.datasets import Datasets
    from mlwright.versioning.models import Models
    from mlwright.versioning.versions import Version, Versions


def say_newest(versions: Versions, as_json: bool) -> None:
    """The newest version under each name."""
    newest = versions.newest()
    if as_json:
        say_json(newest)
        return
    rows = []
    for version in newest:
        aliases = ", ".join(
            f"{alias}=@{target.number}" for alias, target in versions.aliases(version.name).items()
        )
        rows.append(
            (
                version.reference,
                f"b3:{version.digest[:12]}",
                show_size(version.size_bytes),
                aliases or "-",
                show_time(version.created_us),
                version.message,
            )
        )
    say_table(rows, ["newest", "digest", "size", "aliases", "made", "message"])


def say_version(version: Version, versions: Versions) -> None:
    """What every version has."""
    aliases = versions.aliases_of(version)
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


def change_alias(
    versions: Versions, reference: str, alias: str, reason: str, *, delete: bool, dry_run: bool
) -> Plan:
    """Point an alias at a version, or take it away; or only plan that."""
    if delete and dry_run:
        return versions.plan_alias_removal(reference, alias)
    if delete:
        return versions.remove_alias(reference, alias, reason=reason)
    if dry_run:
        return versions.plan_alias(reference, alias)
    return versions.set_alias(reference, alias, reason=reason)


def remove_versions(
    room: Datasets | Models, references: tuple[str, ...], reason: str, *, every: bool, dry_run: bool
) -> Plan:
    """Take versions away; or only plan that."""
    if dry_run:
        return room.plan_remove(*references, every=every)
    return room.remove(*references, every=every, reason=reason)
