"""Doors: `datasets`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlwright.terminal import HELP, command, progress, say, say_json, say_plan, say_table, show_size
from mlwright.versioning.datasets_printed import say_detail, say_difference, say_found, say_list, say_statuses
from mlwright.versioning.printed import alias_options, removal_options, say_version
from mlwright.versioning.tags import parse_tags

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
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Keep a tag with it; repeatable.")
@click.option("--verify", is_flag=True, help="Read unchanged files too, and what is stored of them.")
@click.option("--follow", is_flag=True, help="Follow a URL of the web to where it leads.")
@click.option("--private", is_flag=True, help="Fetch from this machine and private networks, too.")
def add(
    project: Project,
    path: str,
    name: str,
    message: str,
    tags: tuple[str, ...],
    verify: bool,
    follow: bool,
    private: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Make a file or a folder the next version of a dataset: of this disk, of the web, or of a bucket.

    URL is https://..., s3://BUCKET/KEY, or s3://BUCKET/FOLDER/; what was read there is recorded.
    """
    from mlwright.storage.reach import Reach
    from mlwright.versioning.imports import add_from, plan_add_from

    given = parse_tags(tags)
    reach = Reach(private or project.rooms.project.settings.private_imports, follow)
    with progress() as bar:
        if dry_run:
            say_plan(plan_add_from(project.datasets, path, name, progress=bar, reach=reach), as_json)
            return
        version, new = add_from(
            project.datasets,
            path,
            name,
            message=message,
            tags=given,
            verify=verify,
            progress=bar,
            reach=reach,
        )
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
    say_statuses(found)


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
@click.argument("name", default="")
def list_datasets(project: Project, name: str, as_json: bool) -> None:
    """Show the newest version of each dataset, or every version of NAME.

    Rows are shown where they were counted before, by `show` or `diff`.
    """
    from mlwright.kernel.pages import all_pages
    from mlwright.versioning.datasets_api import list_datasets as operation

    found = all_pages(lambda limit, token: operation(project, name=name, limit=limit, token=token))
    if as_json:
        say_json(found)
    else:
        say_list(found)


@datasets.add_command
@command("show", example="mlwright datasets show patients@1")
@click.argument("reference", metavar="REF")
@click.option("--files", "every_file", is_flag=True, help="List every file.")
@click.option("--table", "tables", multiple=True, metavar="PATH", help="Summarise this table; repeatable.")
def show_dataset(
    project: Project, reference: str, every_file: bool, tables: tuple[str, ...], as_json: bool
) -> None:
    """Show one version: files by type; rows, columns and statistics of its tables.

    Tables are CSV, TSV, Parquet, Arrow and JSON Lines. They are read by pyarrow in the project's environment.
    """
    from mlwright.versioning.datasets_api import show_dataset as operation

    with progress() as bar:
        detail = operation(project, reference, tables=tables, progress=bar)
    if as_json:
        say_json(detail)
        return
    say_version(detail.version, detail.aliases)
    say_detail(detail, every_file=every_file)


@datasets.add_command
@command("diff", example="mlwright datasets diff patients@1 patients@2")
@click.argument("before")
@click.argument("after")
@click.option("--files", "every_file", is_flag=True, help="List every file.")
def diff_datasets(project: Project, before: str, after: str, every_file: bool, as_json: bool) -> None:
    """Show what differs between two versions: files; of tables rows, columns, and how far each has moved."""
    from mlwright.versioning.datasets_api import diff_datasets as operation

    with progress() as bar:
        difference = operation(project, before, after, progress=bar)
    if as_json:
        say_json(difference)
    else:
        say_difference(difference, every_file=every_file)


@datasets.add_command
@command("search", example="mlwright datasets search clinic age")
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", default=20, show_default=True, help="At most so many versions.")
def search_datasets(project: Project, words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find the versions that hold all WORDS in names, tags, columns or messages, best first.

    The last word may be the beginning of one.
    """
    from mlwright.versioning.datasets_api import search_datasets as operation

    answer = operation(project, " ".join(words), limit=limit)
    if as_json:
        say_json(answer.found)
    else:
        say_found(answer.found, answer.near)


@datasets.add_command
@command("alias", example='mlwright datasets alias patients@3 golden -m "checked by hand"', changes=True)
@alias_options
def alias_dataset(
    project: Project,
    reference: str,
    alias: str,
    message: str,
    delete: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Point ALIAS at a version; the move is kept with who, when, from, to and why."""
    from mlwright.versioning.datasets_api import alias_dataset, unalias_dataset

    operation = unalias_dataset if delete else alias_dataset
    plan = operation(project, reference, alias, reason=message, dry_run=dry_run)
    say_plan(plan, as_json, done=not dry_run)


@datasets.add_command
@command("rm", example='mlwright datasets rm patients@1 patients@2 -m "wrong units"', changes=True)
@removal_options
def remove_datasets(
    project: Project, references: tuple[str, ...], every: bool, message: str, as_json: bool, dry_run: bool
) -> None:
    """Take versions away that no alias, run or model refers to. Their numbers are not given again.

    The bytes go with the next garbage collection.
    """
    from mlwright.versioning.datasets_api import remove_datasets as operation

    plan = operation(project, references, every=every, reason=message, dry_run=dry_run)
    say_plan(plan, as_json, done=not dry_run)
