"""Doors: `environments export|restore|verify|prune`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlwright.kernel.errors import Corrupt, Invalid
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import counted
from mlwright.terminal import command, progress, say, say_json, say_plan, say_table, show_size

if TYPE_CHECKING:
    from mlwright.app import Project

_UNITS_US = {"h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
_SHOWN = 20


@command("export", example="mlwright environments export --format requirements -o requirements.lock.txt")
@click.argument("environment", default="", metavar="[NAME|DIGEST|RUN]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["requirements", "pylock", "conda", "dockerfile"]),
    default="pylock",
    show_default=True,
    help="What to write.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write to a file."
)
def export(project: Project, environment: str, form: str, output: Path | None, as_json: bool) -> None:
    """Write an environment as others read it: by default the project's own, as a pylock (PEP 751).

    `requirements` has the hash of each file, for pip's --require-hashes; a `pylock` is what `environments
    restore` takes; `conda` is an environment.yml; a `dockerfile` needs the pylock that is written beside it.
    """
    lock = project.environment(environment)
    exported = project.environments.export(lock, form, project.rooms.project.name)
    if output is None and exported.beside:
        names = ", ".join(exported.beside)
        if form != "dockerfile" or len(exported.beside) > 1:
            raise Invalid(f"{names} must lie beside it", hint="write it to a file: -o FILE")
    if output is not None:
        project.environments.write_export(exported, output)
    if as_json:
        say_json({"lock": lock, "format": form, "file": output, "text": None if output else exported.text})
    elif output is None:
        click.echo(exported.text, nl=False)
    else:
        beside = f", with {', '.join(exported.beside)} beside it" if exported.beside else ""
        say(f"{lock.label} is in {output}{beside}")


@command("restore", example="mlwright environments restore pylock.toml --dry-run", changes=True)
@click.argument("environment", metavar="FILE|DIGEST|RUN")
@click.option(
    "--in",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Make it in a new folder of yours, for use without mlwright.",
)
def restore(project: Project, environment: str, folder: Path | None, as_json: bool, dry_run: bool) -> None:
    """Build the environment of a pylock FILE that `environments export` has written, or of a recorded one.

    It has the same digest as where it was exported. For steps, name the file in pyproject.toml:
    [tool.mlwright.environments] NAME = "FILE".
    """
    found = project.environments
    file = Path(environment)
    lock = found.take(file) if file.is_file() or file.suffix == ".toml" else project.environment(environment)
    plan = found.plan_restore(lock, folder)
    if not dry_run:
        found.restore(lock, folder)
    if as_json:
        say_json({"lock": lock, "plan": plan})
    else:
        say_plan(plan, as_json, done=not dry_run)


@command("verify", example="mlwright environments verify")
@click.argument("environment", default="", metavar="[NAME|DIGEST]")
@click.option("--all", "everything", is_flag=True, help="Every environment that is built.")
def verify(project: Project, environment: str, everything: bool, as_json: bool) -> None:
    """Read every file of a built environment: is it what its package installed, and are all there?

    What is damaged is made anew by the next run, or by `mlwright environments sync`.
    """
    with progress() as bar:
        if everything:
            found = project.environments.builds.verify_all(bar)
        else:
            lock = project.environment(environment)
            found = {lock.digest[:12]: project.environments.builds.verify(lock, bar)}
    damaged = {digest: damage for digest, damage in found.items() if damage}
    if as_json:
        say_json({"verified": list(found), "damaged": damaged})
    else:
        for digest, damage in damaged.items():
            say(f"environment b3:{digest}: {counted(len(damage), 'damage')}")
            rows = [(each.what, each.path, each.package) for each in damage[:_SHOWN]]
            say_table(rows, indent="  ")
            if len(damage) > _SHOWN:
                say(f"  and {len(damage) - _SHOWN} more: --json")
        if not damaged:
            say(f"{counted(len(found), 'environment')} verified: every file is as it was installed")
    if damaged:
        raise Corrupt(
            f"{len(damaged)} of {counted(len(found), 'environment')} {'is' if len(damaged) == 1 else 'are'}"
            " damaged",
            hint="make it anew: mlwright environments sync; the next run does so too",
        )


@command("prune", example="mlwright environments prune --dry-run", changes=True)
@click.option(
    "--older-than",
    "older",
    default="30d",
    show_default=True,
    metavar="AGE",
    help="Only what no run has used for so long: 12h, 30d, 8w; 0d for all.",
)
def prune(project: Project, older: str, as_json: bool, dry_run: bool) -> None:
    """Take away built environments that are not the project's, and that no run has used of late.

    Whatever is in use now stays. Locks stay too: a later run builds what it needs again.
    """
    found = project.environments.unneeded(_microseconds(older))
    if not dry_run:
        found = project.environments.builds.prune(found)
    free, shared = sum(each.bytes for each in found), sum(each.shared_bytes for each in found)
    if as_json:
        say_json({"plan" if dry_run else "pruned": found, "bytes": free, "shared_bytes": shared})
        return
    from mlwright.kernel.clock import show

    changes = []
    for each in found:
        why = f"{each.why}, last used {show(each.used_us)}, {show_size(each.bytes)}"
        changes.append(Change("remove", f"b3:{each.place.name[:12]}", why))
    say_plan(Plan("prune", tuple(changes)), as_json, done=not dry_run)
    say(f"{'would free' if dry_run else 'freed'} {show_size(free)}")
    if shared:
        say(f"{show_size(shared)} more are links to what uv's cache keeps: uv cache prune")


def _microseconds(age: str) -> int:
    parsed = re.fullmatch(r"(\d{1,6})([hdw])", age)
    if parsed is None:
        raise Invalid(f"{age!r} is no age", hint="write 12h, 30d or 8w")
    return int(parsed[1]) * _UNITS_US[parsed[2]]
