"""Doors: `datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlwright.terminal import HELP, command, say, say_json, say_plan, say_table, show_size
from mlwright.versioning.printed import say_newest, say_version

if TYPE_CHECKING:
    from mlwright.app import Project


@click.group(epilog="Example: mlwright datasets list", context_settings=HELP)
def datasets() -> None:
    """Version data."""


@datasets.add_command
@command(
    "add", example='mlwright datasets add data/patients.csv --name patients -m "first export"', changes=True
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The dataset's name.")
@click.option("-m", "--message", default="", help="Why this version exists.")
def add(project: Project, path: Path, name: str, message: str, as_json: bool, dry_run: bool) -> None:
    """Make the file or folder at PATH the next version of a dataset."""
    if dry_run:
        say_plan(project.datasets.plan_add(path, name), as_json)
        return
    version, new = project.datasets.add(path, name, message=message)
    if as_json:
        say_json({"version": version, "new": new})
        return
    what = "added" if new else "the same bytes are there already:"
    say(f"{what} {version.reference}  b3:{version.digest[:12]}  {show_size(version.size_bytes)}")


@datasets.add_command
@command("list", example="mlwright datasets list")
def list_datasets(project: Project, as_json: bool) -> None:
    """Show the newest version of each dataset."""
    say_newest(project.datasets.versions, as_json)


@datasets.add_command
@command("show", example="mlwright datasets show patients@1")
@click.argument("reference")
def show_dataset(project: Project, reference: str, as_json: bool) -> None:
    """Show one version: files, columns, aliases."""
    versions = project.datasets.versions
    version = versions.resolve(reference)
    tree = project.datasets.tree(version)
    if as_json:
        say_json({"version": version, "files": tree.entries})
        return
    say_version(version, versions)
    if columns := version.about.get("columns"):
        say(f"columns    {len(columns)}: {', '.join(columns[:6])}{', ...' if len(columns) > 6 else ''}")
    say("files")
    say_table(
        [(each.path, show_size(each.size_bytes), f"b3:{each.digest[:12]}") for each in tree.entries],
        indent="  ",
    )
