"""Doors: `environments show|list|add|update|remove|lock|sync|diff`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mlwright.environments.exchange_cli import export, prune, restore, verify
from mlwright.kernel.ids import short
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import are_counted, counted
from mlwright.terminal import HELP, command, say, say_json, say_plan, say_table, show_size
from mlwright.workflow.trials_cli import bisect, try_first, try_packages

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.environments import Proposal

_ENVIRONMENT = click.option(
    "--environment",
    default="",
    metavar="NAME",
    help="The dependency group or extra; by default the project's own dependencies.",
)
_ALLOW_YANKED = click.option(
    "--allow-yanked", is_flag=True, help="Also take versions that their authors took back."
)
_TRY = click.option(
    "--try",
    "trying",
    is_flag=True,
    help="First try it aside, as `environments try` does, and change nothing if something breaks.",
)


@click.group(epilog="Example: mlwright environments show", context_settings=HELP)
def environments() -> None:
    """Change, lock, build and compare environments.

    An environment is named by a dependency group or an extra, the project's own is `default`.
    """


@environments.add_command
@command("show", example="mlwright environments show torch")
@click.argument("environment", default="", metavar="[NAME|RUN[/STEP]|DIGEST]")
def show(project: Project, environment: str, as_json: bool) -> None:
    """Show an environment, by default the project's own: interpreter, platform, packages."""
    from mlwright.environments.api import show_environment as operation

    _tell_mended(project)
    found = operation(project, environment or "default")
    lock, pins = found.lock, found.packages
    if as_json:
        say_json(found)
        return
    say(lock.label)
    name = f" {environment}" if environment else ""
    state = "built" if found.built else f"not built yet: mlwright environments sync{name}"
    say(f"locks {counted(lock.packages, 'package')}; {state}")
    say_table([(name, pin.partition(" ")[0]) for name, pin in pins.items()], indent="  ")


@environments.add_command
@command("list", example="mlwright environments list")
def list_environments(project: Project, as_json: bool) -> None:
    """Show the environments that the project names, and those that are recorded or built on this machine."""
    from mlwright.environments.api import list_environments as operation

    _tell_mended(project)
    found = operation(project)
    if as_json:
        say_json(found)
        return
    rows = [
        (
            each.name or "-",
            "" if each.lock is None else f"b3:{each.lock.digest[:12]}",
            "" if each.lock is None else each.lock.python,
            "" if each.lock is None else each.lock.packages,
            "" if each.size_bytes is None else show_size(each.size_bytes),
            "" if each.last_run is None else short(each.last_run),
            each.problem
            or f"{'built' if each.built else 'not built'}{'' if each.current else ', not current'}",
        )
        for each in found
    ]
    say_table(rows, ["name", "digest", "python", "packages", "size", "last run", "state"])


@environments.add_command
@command("add", example='mlwright environments add "scikit-learn>=1.8" --environment torch', changes=True)
@click.argument("requirements", nargs=-1, required=True, metavar="REQUIREMENT...")
@_ENVIRONMENT
@_ALLOW_YANKED
@_TRY
def add(
    project: Project,
    requirements: tuple[str, ...],
    environment: str,
    allow_yanked: bool,
    trying: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Ask for packages: pyproject.toml and uv.lock are changed together, or not at all.

    A NAME that is neither a dependency group nor an extra yet becomes a group.
    """
    _tell_mended(project)
    proposal = project.environments.changes.plan_add(requirements, environment)
    _apply(project, proposal, allow_yanked, as_json, dry_run, trying)


@environments.add_command
@command("update", example="mlwright environments update pandas", changes=True)
@click.argument("packages", nargs=-1, metavar="[PACKAGE]...")
@_ALLOW_YANKED
@_TRY
def update(
    project: Project,
    packages: tuple[str, ...],
    allow_yanked: bool,
    trying: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Lock the newest versions that fit, of all packages or of these; `pandas==2.2` locks that one."""
    _tell_mended(project)
    proposal = project.environments.changes.plan_update(packages)
    _apply(project, proposal, allow_yanked, as_json, dry_run, trying)


@environments.add_command
@command("remove", example="mlwright environments remove pandas", changes=True)
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE...")
@_ENVIRONMENT
@_TRY
def remove(
    project: Project,
    packages: tuple[str, ...],
    environment: str,
    trying: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Ask for packages no more; what only they need goes with them."""
    _tell_mended(project)
    proposal = project.environments.changes.plan_remove(packages, environment)
    _apply(project, proposal, False, as_json, dry_run, trying)


@environments.add_command
@command("lock", example="mlwright environments lock", changes=True)
@click.argument("environment", default="", metavar="[NAME|SCRIPT]")
@_ALLOW_YANKED
def lock(project: Project, environment: str, allow_yanked: bool, as_json: bool, dry_run: bool) -> None:
    """Resolve the dependencies in pyproject.toml into uv.lock; what is locked and fits stays.

    A requirements.txt, or a conda environment.yml, is resolved into a pylock.toml, and what a SCRIPT says of
    itself (PEP 723) into SCRIPT.lock. Without a name, all are that the project names.
    """
    _tell_mended(project)
    if environment or project.environments.files():
        plan = project.plan_lock(environment, check=dry_run, allow_yanked=allow_yanked)
        say_plan(plan, as_json, done=not dry_run)
    else:
        _apply(project, project.environments.changes.plan_lock(), allow_yanked, as_json, dry_run)


@environments.add_command
@command("sync", example="mlwright environments sync", changes=True)
@click.argument("environment", default="", metavar="[NAME|SCRIPT|RUN[/STEP]|DIGEST]")
@click.option("--again", is_flag=True, help="Make it anew, though it is there.")
def sync(project: Project, environment: str, again: bool, as_json: bool, dry_run: bool) -> None:
    """Build an environment, by default the project's own, unless it is there and whole."""
    _tell_mended(project)
    found = project.environments
    current = project.environment(environment)
    change = (
        Change("keep", current.label, "it is built")
        if found.built(current) and not again
        else Change("write", current.label, f"{are_counted(current.packages, 'package')} locked")
    )
    if not dry_run:
        (found.builds.rebuild if again else found.build)(current)
    say_plan(Plan("sync", (change,)), as_json, done=not dry_run)


@environments.add_command
@command("diff", example="mlwright environments diff latest~1 latest")
@click.argument("then", metavar="NAME|RUN[/STEP]|DIGEST")
@click.argument("now", metavar="NAME|RUN[/STEP]|DIGEST")
def diff(project: Project, then: str, now: str, as_json: bool) -> None:
    """Show what differs between two environments: Python, platform, and package by package."""
    from mlwright.environments.api import diff_environments as operation

    _tell_mended(project)
    found = operation(project, then, now)
    if as_json:
        say_json(found)
        return
    say(f"then  {found.then.label}")
    say(f"now   {found.now.label}")
    rows = [
        (what, f"{before} -> {after}")
        for what, before, after in (
            ("python", found.then.python, found.now.python),
            ("platform", found.then.platform, found.now.platform),
        )
        if before != after
    ]
    rows += [(each.name, each.shown) for each in found.packages]
    if rows:
        say_table(rows, indent="  ")
    say(f"{are_counted(found.same, 'package')} the same" if rows else "they are the same")


def _apply(
    project: Project,
    proposal: Proposal,
    allow_yanked: bool,
    as_json: bool,
    dry_run: bool,
    trying: bool = False,
) -> None:
    """Show what a change does, and do it; if it is to be tried first, only when nothing breaks there."""
    if trying and not dry_run and not proposal.empty:
        try_first(project, proposal, quiet=as_json)
    if dry_run or not proposal.yanked or allow_yanked or as_json or not sys.stdin.isatty():
        if not dry_run:
            project.environments.changes.apply(proposal, allow_yanked=allow_yanked)
        say_plan(proposal.plan, as_json, done=not dry_run)
        return
    say_plan(proposal.plan, as_json)
    taken = click.confirm("Take what was yanked?", err=True)
    project.environments.changes.apply(proposal, allow_yanked=taken)


def _tell_mended(project: Project) -> None:
    """Say it when an interrupted change is finished first."""
    if project.is_here and (told := project.environments.changes.mend()):
        click.echo(told, err=True)


for each in (try_packages, bisect, export, restore, verify, prune):
    environments.add_command(each)
