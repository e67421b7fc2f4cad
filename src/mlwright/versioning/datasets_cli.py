"""Doors: `datasets`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlwright.terminal import HELP, command, progress, say, say_json, say_plan, say_table, show_size
from mlwright.versioning.printed import say_changes, say_newest, say_version

if TYPE_CHECKING:
    from mlwright.app import Project


@click.group(epilog="Example: mlwright datasets list", context_settings=HELP)
def datasets() -> None:
    """Version data."""


@datasets.add_command
@command(
    "add", example='mlwright datasets add data/patients.csv --name patients -m "first export"', changes=True
)
@click.argument("path", metavar="PATH|URL")
@click.option("--name", required=True, help="The dataset's name.")
@click.option("-m", "--message", default="", help="Why this version exists.")
@click.option("--verify", is_flag=True, help="Read unchanged files too, and what is stored of them.")
def add(
    project: Project, path: str, name: str, message: str, verify: bool, as_json: bool, dry_run: bool
) -> None:
    """Make a file or a folder the next version of a dataset: of this disk, of the web, or of a bucket.

    URL is https://..., s3://BUCKET/KEY, or s3://BUCKET/FOLDER/; what was read there is recorded.
    """
    from mlwright.versioning.imports import add_from, plan_add_from

    with progress() as bar:
        if dry_run:
            say_plan(plan_add_from(project.datasets, path, name, progress=bar), as_json)
            return
        version, new = add_from(project.datasets, path, name, message=message, verify=verify, progress=bar)
    if as_json:
        say_json({"version": version, "new": new})
        return
    what = "added" if new else "the same bytes are there already:"
    say(f"{what} {version.reference}  b3:{version.digest[:12]}  {show_size(version.size_bytes)}")


@datasets.add_command
@command("status", example="mlwright datasets status")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def status(project: Project, names: tuple[str, ...], as_json: bool) -> None:
    """Show what has changed on this machine's disk since it was added, or checked out."""
    with progress() as bar:
        found = project.datasets.status(names, progress=bar)
    if as_json:
        say_json(found)
        return
    for each in found:
        say(f"{each.reference}  {each.where}  {each.summary}")
        say_changes("added", each.added)
        say_changes("removed", each.removed)
        say_changes("changed", each.changed)
    if not found:
        say("no dataset was added or checked out on this machine")


@datasets.add_command
@command("checkout", example="mlwright datasets checkout patients@1 data/patients.csv", changes=True)
@click.argument("reference", metavar="NAME[@V]")
@click.argument("dest", required=False)
@click.option("--force", is_flag=True, help="Write over files that were edited.")
@click.option("--link", is_flag=True, help="Make hard links: who edits such a file edits the store.")
def checkout(
    project: Project,
    reference: str,
    dest: str | None,
    force: bool,
    link: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Write the files of a version to DEST, by default to where it was added from.

    What is there already is left alone, an edited file is not written over without --force.
    """
    with progress() as bar:
        if dry_run:
            found = project.datasets.plan_checkout(reference, dest, progress=bar)
        else:
            found = project.datasets.checkout(reference, dest, force=force, link=link, progress=bar)
    say_plan(found.plan, as_json, done=not dry_run)


@datasets.add_command
@command("verify", example="mlwright datasets verify patients@1")
@click.argument("references", nargs=-1, metavar="[NAME[@V]]...")
def verify(project: Project, references: tuple[str, ...], as_json: bool) -> None:
    """Read every stored file of versions in full; by default of the newest of each dataset."""
    versions = project.datasets.versions
    found = [versions.resolve(each) for each in references] or versions.newest()
    with progress() as bar:
        for version in found:
            project.datasets.verify(version, progress=bar)
    if as_json:
        say_json(found)
        return
    say_table(
        [(each.reference, f"b3:{each.digest[:12]}", show_size(each.size_bytes), "ok") for each in found]
    )


@datasets.add_command
@command("push", example="mlwright datasets push patients@3 origin", changes=True)
@click.argument("reference", metavar="NAME[@V]")
@click.argument("remote", required=False)
def push(project: Project, reference: str, remote: str | None, as_json: bool, dry_run: bool) -> None:
    """Send a version to a remote, with its records; only what is missing there is sent.

    REMOTE is a name of `remotes` in the settings, by default `origin` or the only one.
    """
    exchange = project.exchange(remote)
    with progress() as bar:
        found = exchange.plan_push(reference) if dry_run else exchange.push(reference, progress=bar)
    say_plan(found.plan, as_json, done=not dry_run)


@datasets.add_command
@command("pull", example="mlwright datasets pull patients@3 origin", changes=True)
@click.argument("reference", metavar="NAME[@V]")
@click.argument("remote", required=False)
def pull(project: Project, reference: str, remote: str | None, as_json: bool, dry_run: bool) -> None:
    """Fetch a version from a remote, by default the newest there; it keeps its number.

    Only what is missing here is fetched, and every byte is verified.
    """
    exchange = project.exchange(remote)
    with progress() as bar:
        found = exchange.plan_pull(reference) if dry_run else exchange.pull(reference, progress=bar)
    say_plan(found.plan, as_json, done=not dry_run)


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
    if source := version.about.get("source"):
        say(f"source     {source['url']}{'  ' if source['etag'] else ''}{source['etag']}")
    if columns := version.about.get("columns"):
        say(f"columns    {len(columns)}: {', '.join(columns[:6])}{', ...' if len(columns) > 6 else ''}")
    say("files")
    say_table(
        [(each.path, show_size(each.size_bytes), f"b3:{each.digest[:12]}") for each in tree.entries],
        indent="  ",
    )
