"""Doors: `init`, `events`, `workspace` and `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlwright.kernel.words import are_counted, counted, printable
from mlwright.terminal import (
    HELP,
    command,
    opened,
    progress,
    say,
    say_json,
    say_json_line,
    say_plan,
    say_table,
    show_size,
)

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.kernel.chain import Chain
    from mlwright.workspace.api import ToldEvent
    from mlwright.workspace.verify import Verified


@command("init", example="mlwright init demo", changes=True, project=False)
@click.argument("folder", type=click.Path(path_type=Path), default=Path(), metavar="[DIR]")
@click.option("--name", help="The project's name; by default the folder's.")
def init(base: Path, folder: Path, name: str | None, as_json: bool, dry_run: bool) -> None:
    """Make a project in DIR: a pipeline that works, its packages locked, its data written."""
    from mlwright.folders import create
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


@command("gc", example="mlwright gc --dry-run", changes=True)
def gc(project: Project, as_json: bool, dry_run: bool) -> None:
    """Free the room of what nothing names any more: objects, packs, temporary files, unused snapshots.

    What is younger than a day, or than the oldest run that goes on, is spared.
    """
    with progress() as bar:
        found = project.plan_collect() if dry_run else project.collect(bar)
    if as_json:
        say_json({"plan" if dry_run else "collected": found, "bytes": found.bytes})
        return
    sweep = found.sweep
    rows = [
        ("objects", len(sweep.dead), sum(held.size_bytes for held in sweep.dead)),
        ("small values", len(sweep.rows), sweep.row_bytes),
        ("files of interrupted writes", len(sweep.temporary), sum(size for _, size in sweep.temporary)),
        ("unused files of this machine", len(found.local), sum(size for _, size in found.local)),
    ]
    say("plan: collect" if dry_run else "collected")
    say_table([(what, f"{count:,}", show_size(size)) for what, count, size in rows if count], indent="  ")
    say(f"{'would free' if dry_run else 'freed'} {show_size(found.bytes)}")
    if sweep.thin:
        packs = f"{are_counted(len(sweep.thin), 'pack')} more than half empty"
        say(f"{packs}: what is needed moves, and {show_size(sweep.thin_bytes)} are free a day later")
    if sweep.young[0]:
        young = f"{counted(sweep.young[0], 'object')}, {show_size(sweep.young[1])}"
        say(f"spared {young}: younger than a day, or than a run that goes on")
    say(f"kept {counted(sweep.kept[0], 'object')}, {show_size(sweep.kept[1])}, for")
    say_table([(kind, counted(count, "reference")) for kind, count in found.kept.items()], indent="  ")


@command("events", example="mlwright events --verb alias --since 7d")
@click.option("--verb", default="", help="Only these: alias.moved; or a noun for all of its verbs, alias.")
@click.option("--subject", default="", metavar="REF", help="Only of this: NAME@3, a run, KIND:ID.")
@click.option("--actor", default="", metavar="NAME", help="Only of who did it.")
@click.option("--since", metavar="WHEN", help="None that happened before: 30m, 2h, 3d, 2026-11-20.")
@click.option("--until", metavar="WHEN", help="None that happened then or later; a date is its beginning.")
@click.option("--after", type=click.IntRange(0), help="The next ones after this number, not the newest.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="At most so many.")
@click.option("--follow", "-f", "following", is_flag=True, help="Go on as new ones come, until Ctrl-C.")
@click.option("--verify", "verifying", is_flag=True, help="Say whether all are as they were recorded.")
@click.option("--head", default="", metavar="DIGEST", help="A head that --verify told, to compare with.")
def events(
    project: Project,
    subject: str,
    following: bool,
    verifying: bool,
    head: str,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Show what happened in the workspace, oldest first; or whether anybody has tampered with that."""
    from mlwright.kernel.pages import MOST_AT_ONCE, all_pages
    from mlwright.workspace.api import follow_events, list_events, verify_events

    if verifying or head:
        _say_chain(verify_events(project, head=head), as_json)
    elif following:
        wanted["limit"] = min(wanted["limit"], MOST_AT_ONCE)
        for each in follow_events(project, subject=subject, **wanted):
            if as_json:
                say_json_line(each.event)
            else:
                say("  ".join(map(str, _in_cells(each))))
    else:
        limit = wanted.pop("limit")
        found = all_pages(
            lambda most, token: list_events(project, subject=subject, **wanted, limit=most, token=token),
            limit,
        )
        found = found if wanted["after"] is not None else found[::-1]
        if as_json:
            say_json([each.event for each in found])
        else:
            say_table([_in_cells(each) for each in found], _HEAD)


def _in_cells(told: ToldEvent) -> tuple[object, ...]:
    from mlwright.kernel.clock import show

    event = told.event
    return (event.id, show(event.at_us), event.verb, told.label, printable(event.actor))


def _say_chain(found: Chain, as_json: bool) -> None:
    if as_json:
        say_json(found)
    else:
        if found.uncovered:
            before = f"{counted(found.uncovered, 'event')} from before events had digests"
            say(f"{before}: nothing tells whether they were changed")
        if found.fault:
            say(found.fault)
        else:
            verdict = f"{are_counted(found.covered, 'event')} as recorded"
            say(f"{verdict}, {found.noted} of them up to the head that was noted" if found.noted else verdict)
        say(f"head {found.head or 'none: nothing was recorded'}")
    if found.fault:
        raise click.exceptions.Exit(5)


_SHOWN_FAULTS = 20
_HEAD = ("number", "at", "event", "subject", "by")


@click.group(epilog="Example: mlwright workspace show", context_settings=HELP)
def workspace() -> None:
    """Show, verify, back up and restore the workspace: all records, and all bytes that they name."""


@workspace.add_command
@command("show", example="mlwright workspace show")
def show_workspace(project: Project, as_json: bool) -> None:
    """Show where the workspace lies, what is recorded in it, and how much room it takes."""
    from mlwright.workspace.api import show_workspace as operation

    found = operation(project)
    if as_json:
        say_json(found)
        return
    say(f"workspace {found.id}")
    places = [("records", f"{found.database} (schema {found.schema})"), ("objects", found.objects)]
    say_table([*places, ("local state", found.local)], indent="  ")
    say("recorded")
    say_table([(name, f"{count:,}") for name, count in found.counts.items()], indent="  ")
    say_table([("head of the events", found.head or "none")], indent="  ")
    say("room")
    parts = [
        (name, counted(part.count, "file"), show_size(part.size_bytes)) for name, part in found.parts.items()
    ]
    parts[1] = ("rows", counted(found.parts["rows"].count, "value"), parts[1][2])
    say_table(
        [*parts, ("free", "", f"{show_size(found.free_bytes)} of {show_size(found.disk_bytes)}")], indent="  "
    )


@workspace.add_command
@command("verify", example="mlwright workspace verify /mnt/disk/backup", project=False)
@click.argument("source", type=click.Path(path_type=Path), required=False, metavar="[BACKUP]")
def verify_workspace(base: Path, source: Path | None, as_json: bool) -> None:
    """Read every record and every byte that a record names, and say what is damaged or missing.

    Of the workspace; or of BACKUP, a folder that `workspace backup` made.
    """
    if source is None:
        with opened(base) as project, progress() as bar:
            found = project.verify(bar)
    else:
        from mlwright.folders import verify_backup

        with progress() as bar:
            found = verify_backup(source, bar)
    if as_json:
        say_json(found)
    else:
        _say_verified(found)
    if found.faults:
        raise click.exceptions.Exit(5)


def _say_verified(found: Verified) -> None:
    for fault in found.faults[:_SHOWN_FAULTS]:
        name = fault.subject if fault.kind in {"records", "events", "edge"} else f"b3:{fault.subject[:12]}"
        say(f"{fault.kind} {name}: {fault.fault}")
        for owner in fault.named_by:
            say(f"  {owner}")
        say(f"  hint: {fault.hint}")
    if (more := len(found.faults) - _SHOWN_FAULTS) > 0:
        say(f"and {counted(more, 'fault')} more: --json has all of them")
    objects = f"{counted(found.objects, 'object')} ({show_size(found.object_bytes)})"
    rows = f"{counted(found.rows, 'small value')} ({show_size(found.row_bytes)})"
    verdict = f"{counted(len(found.faults), 'fault')} found" if found.faults else "all is well"
    edges, events = counted(found.edges, "edge"), counted(found.events, "event")
    say(f"{verdict}: read {objects}, {rows}, {edges} and {events}")


@workspace.add_command
@command("backup", example="mlwright workspace backup /mnt/disk/backup", changes=True)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def backup(project: Project, folder: Path, as_json: bool, dry_run: bool) -> None:
    """Copy the workspace and the project's code into DIR: a new folder, or one with an earlier backup.

    Runs may go on meanwhile. Of what an earlier backup has, only what is new is copied.
    """
    if dry_run:
        from mlwright.workspace.backup import plan_backup

        say_plan(plan_backup(project.rooms.workspace, project.root, folder), as_json)
        return
    with progress() as bar:
        made, left_out = project.backup(folder, bar)
    if as_json:
        say_json(made)
    else:
        size = show_size(made.object_bytes + made.database_bytes)
        say(f"backed up into {folder}: the records and {counted(made.objects, 'object')}, {size}")
        for each in left_out:
            why = (
                "a submodule that is not checked out"
                if each.endswith("/")
                else "which is too large to be code"
            )
            say(f"  left out: {each}, {why}")
    if made.lacking:
        from mlwright.kernel.errors import Corrupt

        raise Corrupt(
            f"{counted(len(made.lacking), 'object')} could not be read, and the backup lacks them",
            hint="mlwright workspace verify names what they belong to",
        )


@workspace.add_command
@command(
    "restore", example="mlwright workspace restore /mnt/disk/backup restored", changes=True, project=False
)
@click.argument("source", type=click.Path(path_type=Path), metavar="BACKUP")
@click.argument("folder", type=click.Path(path_type=Path), required=False, metavar="[DIR]")
@click.option(
    "--force", is_flag=True, help="Replace the records of the same workspace; they are moved aside."
)
@click.option("--partial", is_flag=True, help="Bring back what is whole of a damaged backup.")
def restore(
    base: Path, source: Path, folder: Path | None, force: bool, partial: bool, as_json: bool, dry_run: bool
) -> None:
    """Bring BACKUP back into DIR, which becomes a project, or into the project that you are in.

    A project that has records already is refused.
    """
    from mlwright.workspace.restore import plan_restore
    from mlwright.workspace.restore import restore as bring_back

    target, here = (base, True) if folder is None else (base / folder, False)
    if dry_run:
        say_plan(plan_restore(source, target, here=here, force=force), as_json)
        return
    with progress() as bar:
        done = bring_back(source, target, here=here, force=force, partial=partial, progress=bar)
    if as_json:
        say_json(done)
        return
    size = show_size(done.manifest.object_bytes + done.manifest.database_bytes)
    say(f"restored into {done.folder}: the records and {counted(done.manifest.objects, 'object')}, {size}")
    if done.files:
        say(f"  {counted(done.files, 'file')} of the project's code")
    if done.aside is not None:
        say(f"  what was there lies in {done.aside}")
    if done.bucket:
        say(f"  the objects are in this folder, and stay there; {done.bucket} is as it was")
        say("  hint: to go on with a bucket, see Moving, below Objects in a bucket, in docs/architecture.md")
    if done.filled:
        say(f"  the records are in {done.server}")
    elif done.server:
        say(f"  the records are in this folder, and stay there; {done.server} is as it was")
        say("  hint: to go on with it, see Moving, below Records in PostgreSQL, in docs/architecture.md")
    if done.lacking:
        say(f"  {counted(len(done.lacking), 'object')} could not be brought back: mlwright workspace verify")


@command("doctor", example="mlwright doctor", project=False)
def doctor(base: Path, as_json: bool) -> None:
    """Look whether all is well with this machine and, inside of one, with the project and its workspace."""
    from mlwright.folders import doctor as examine

    found = examine(base)
    if as_json:
        say_json(found)
    else:
        rows = [
            (each.state, each.name, f"{each.found}{f'; hint: {each.hint}' if each.hint else ''}")
            for each in found
        ]
        say_table(rows)
    if any(each.state == "problem" for each in found):
        raise click.exceptions.Exit(6)
