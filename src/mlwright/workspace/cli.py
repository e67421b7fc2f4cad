"""Doors: `init` and `events`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlwright.terminal import command, say, say_json, say_plan, say_table

if TYPE_CHECKING:
    from mlwright.app import Project


@command("init", example="mlwright init demo", changes=True, project=False)
@click.argument("folder", type=click.Path(path_type=Path), default=Path(), metavar="[DIR]")
@click.option("--name", help="The project's name; by default the folder's.")
def init(base: Path, folder: Path, name: str | None, as_json: bool, dry_run: bool) -> None:
    """Make a project in DIR: a pipeline that works, its packages locked, its data written."""
    from mlwright.app import create
    from mlwright.workspace import plan_project

    folder = base / folder
    plan = plan_project(folder, name)
    if dry_run:
        say_plan(plan, as_json)
        return
    create(folder, name)
    if as_json:
        say_json(plan)
        return
    say_plan(plan, as_json, done=True)
    say(f"made the project {folder}: its packages are locked and installed, data/patients.csv is written")
    say("next:")
    if folder != Path():
        say(f"  cd {folder}")
    say("  mlwright datasets add data/patients.csv --name patients")
    say("  mlwright run diagnosis")


@command("events", example="mlwright events --limit 10")
@click.option("--after", type=int, help="The next ones after this number, instead of the newest.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="At most so many.")
def events(project: Project, after: int | None, limit: int, as_json: bool) -> None:
    """Show what happened in the workspace, oldest first."""
    from mlwright.kernel.clock import show

    found = project.events(after=after, limit=limit)
    if as_json:
        say_json(found)
        return
    say_table(
        [
            (event.id, show(event.at_us), event.verb, project.lineage.label(event.subject), event.actor)
            for event in found
        ],
        ["number", "at", "event", "subject", "by"],
    )
