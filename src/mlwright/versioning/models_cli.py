"""Doors: `models`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlwright.terminal import HELP, command, say, say_json, say_plan, say_table
from mlwright.versioning.printed import alias_options, change_alias, say_newest, say_version

if TYPE_CHECKING:
    from mlwright.app import Project


@click.group(epilog="Example: mlwright models show diagnosis@champion", context_settings=HELP)
def models() -> None:
    """List, show and alias models."""


@models.add_command
@command("list", example="mlwright models list")
def list_models(project: Project, as_json: bool) -> None:
    """Show the newest version of each model."""
    say_newest(project.models.versions, as_json)


@models.add_command
@command("show", example="mlwright models show diagnosis@champion")
@click.argument("reference")
def show_model(project: Project, reference: str, as_json: bool) -> None:
    """Show one version: metrics, signature, and the four versions behind it."""
    detail = project.models.detail(reference)
    if as_json:
        say_json(detail)
        return
    say_version(detail.version, project.models.versions)
    say("metrics")
    say_table([(name, f"{value:.6g}") for name, value in detail.metrics.items()], indent="  ")
    signature = detail.signature
    classes = f", one of {', '.join(map(str, signature.output.classes))}" if signature.output.classes else ""
    say(f"signature  {len(signature.inputs)} inputs -> {signature.output.type}{classes}")
    say_table(
        [
            (each.name, each.type, "" if each.minimum is None else f"{each.minimum:g} to {each.maximum:g}")
            for each in signature.inputs
        ],
        indent="  ",
    )
    say("made from")
    label = project.lineage.label
    behind = project.lineage.find(detail.run)
    say_table(
        [
            ("code", project.lineage.label(type(behind)("snapshot", detail.code))),
            *(("data", f"{reference} as `{name}`") for name, reference in detail.data.items()),
            ("environment", label(type(behind)("lock", detail.environment))),
            ("parameters", ", ".join(f"{name}={value}" for name, value in detail.parameters.items())),
            ("run", label(behind)),
        ],
        indent="  ",
    )


@models.add_command
@command(
    "alias", example='mlwright models alias diagnosis@2 champion -m "better on the new data"', changes=True
)
@alias_options
def alias_model(
    project: Project,
    reference: str,
    alias: str,
    message: str,
    delete: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Point ALIAS at a version; the move is kept with who, when, from, to and why."""
    plan = change_alias(project.models.versions, reference, alias, message, delete=delete, dry_run=dry_run)
    say_plan(plan, as_json, done=not dry_run)
