"""Doors: `environments show|lock|sync`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlwright.environments.exchange_cli import export, prune, restore, verify
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import are_counted, counted
from mlwright.terminal import HELP, command, say, say_json, say_plan, say_table
from mlwright.workflow.trials_cli import bisect, try_packages

if TYPE_CHECKING:
    from mlwright.app import Project


@click.group(epilog="Example: mlwright environments show", context_settings=HELP)
def environments() -> None:
    """Lock and build environments."""


@environments.add_command
@command("show", example="mlwright environments show")
@click.argument("digest", required=False)
def show(project: Project, digest: str | None, as_json: bool) -> None:
    """Show the project's environment, or the one named by DIGEST: interpreter, platform, packages."""
    found = project.environments
    lock = found.get(digest) if digest else found.current()
    built = found.built(lock)
    pins = found.build(lock).inventory.pins if built else {}
    if as_json:
        say_json({"lock": lock, "built": built, "packages": pins})
        return
    say(lock.label)
    state = "built" if built else "not built yet: mlwright environments sync"
    say(f"locks {counted(lock.packages, 'package')}; {state}")
    say_table([(name, pin.partition(" ")[0]) for name, pin in pins.items()], indent="  ")


@environments.add_command
@command("lock", example="mlwright environments lock", changes=True)
@click.argument("environment", default="", metavar="[NAME|SCRIPT]")
def lock(project: Project, environment: str, as_json: bool, dry_run: bool) -> None:
    """Resolve what the project needs: the dependencies in pyproject.toml into uv.lock.

    A requirements.txt, or a conda environment.yml, is resolved into a pylock.toml, and what a SCRIPT says of
    itself (PEP 723) into SCRIPT.lock. Without a name, all are that the project names.
    """
    say_plan(project.plan_lock(environment, check=dry_run), as_json, done=not dry_run)


@environments.add_command
@command("sync", example="mlwright environments sync", changes=True)
@click.argument("environment", default="", metavar="[NAME|SCRIPT|DIGEST]")
@click.option("--again", is_flag=True, help="Make it anew, though it is there.")
def sync(project: Project, environment: str, again: bool, as_json: bool, dry_run: bool) -> None:
    """Build the project's environment, or another one, unless it is there and whole."""
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


for each in (try_packages, bisect, export, restore, verify, prune):
    environments.add_command(each)
