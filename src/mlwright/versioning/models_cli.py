"""Doors: `models`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from mlwright.kernel.errors import Corrupt, Unavailable
from mlwright.terminal import HELP, command, progress, say, say_json, say_plan
from mlwright.versioning.models_printed import (
    conversion_told,
    say_comparison,
    say_model,
    say_models,
    say_newest,
    say_verified,
)
from mlwright.versioning.printed import alias_options, removal_options

if TYPE_CHECKING:
    from mlwright.app import Project


@click.group(epilog="Example: mlwright models show diagnosis@champion", context_settings=HELP)
def models() -> None:
    """Register, show, compare, export and verify models."""


@models.add_command
@command("list", example="mlwright models list")
@click.argument("name", default="")
def list_models(project: Project, name: str, as_json: bool) -> None:
    """Show the newest version of each model, or every version of NAME."""
    from mlwright.kernel.pages import all_pages
    from mlwright.versioning.models_api import list_models as operation

    found = all_pages(lambda limit, token: operation(project, name=name, limit=limit, token=token))
    if as_json:
        say_json([each.version for each in found])
    elif name:
        say_models(found)
    else:
        say_newest(found)


@models.add_command
@command("show", example="mlwright models show diagnosis@champion")
@click.argument("reference", metavar="REF")
def show_model(project: Project, reference: str, as_json: bool) -> None:
    """Show one version: metrics, signature, what it was made from, and where aliases have pointed."""
    from mlwright.versioning.models_api import show_model as operation

    shown = operation(project, reference)
    if as_json:
        say_json({**msgspec.structs.asdict(shown.detail), "card": shown.card})
    else:
        say_model(shown.detail, shown.card)


@models.add_command
@command(
    "register", example='mlwright models register latest/train --name diagnosis -m "by hand"', changes=True
)
@click.argument("source", metavar="RUN/STEP[:OUTPUT]|FILE")
@click.option("--name", required=True, help="The model's name.")
@click.option("-m", "--message", default="", help="Why this version exists.")
@click.option(
    "--example",
    default="",
    metavar="FILE|RUN/STEP:OUTPUT",
    help="What to ask the model with: a table; what a predictor takes, or that by name as JSON."
    " By default, what its step was given.",
)
@click.option(
    "--predictor", default="", metavar="MODULE:CLASS", help="The class of the project that answers with it."
)
@click.option(
    "--licence", "--license", default="", help="Its licence; by default the project's, in pyproject.toml."
)
@click.option(
    "--environment", default="", metavar="NAME", help="Of a FILE: the project's environment it is loaded in."
)
@click.option("--format", "form", default="", help="Of a FILE: what it is, if its bytes do not tell.")
def register_model(
    project: Project,
    source: str,
    name: str,
    message: str,
    example: str,
    licence: str,
    environment: str,
    form: str,
    predictor: str,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Make a model a version: what a step of a run made, or a FILE that was made elsewhere.

    FILE is a skops file, XGBoost's UBJSON or JSON, LightGBM's text, CatBoost's .cbm, .safetensors or .onnx; a
    pickle is recorded, and never loaded. Without --example a FILE has no signature, and cannot be served.
    """
    options = {
        "message": message,
        "example": example,
        "licence": licence,
        "environment": environment,
        "format": form,
        "predictor": predictor,
    }
    if dry_run:
        say_plan(project.models.plan_register(source, name, **options), as_json)
        return
    version, told = project.models.register(source, name, say=_aside, **options)
    if as_json:
        say_json({"version": version, "note": told})
    else:
        say(told)


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
    from mlwright.versioning.models_api import alias_model, unalias_model

    operation = unalias_model if delete else alias_model
    plan = operation(project, reference, alias, reason=message, dry_run=dry_run)
    say_plan(plan, as_json, done=not dry_run)


@models.add_command
@command("compare", example="mlwright models compare diagnosis@1 diagnosis@champion --on patients@1")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--on", default="", metavar="DATASET", help="Evaluate both on this dataset, in a run.")
@click.option("--all", "every", is_flag=True, help="Show every file and package that differs.")
def compare_models(project: Project, first: str, second: str, on: str, every: bool, as_json: bool) -> None:
    """Show two versions side by side: metrics, parameters, data, code, packages, signature.

    With --on, the step that evaluated A (or B, if no pipeline made A) evaluates both on the same data, each
    in its own environment; what was evaluated before is reused.
    """
    from mlwright.versioning.models_api import compare_models as operation
    from mlwright.workflow.screen import watching

    if on:
        with watching(quiet=as_json) as watcher:
            found = project.models.compare(first, second, on=on, watcher=watcher)
    else:
        found = operation(project, first, second)
    if as_json:
        say_json(found)
    else:
        say_comparison(found, every=every)


@models.add_command
@command("export", example="mlwright models export diagnosis@champion diagnosis-model", changes=True)
@click.argument("reference", metavar="NAME@V")
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--format", "form", default="", help="`mlflow` for a folder that MLflow loads.")
@click.option("--force", is_flag=True, help="Replace an export that is there.")
def export_model(
    project: Project, reference: str, dest: Path, form: str, force: bool, as_json: bool, dry_run: bool
) -> None:
    """Write a version into the folder DEST, where its library alone can load it.

    The folder holds the model in its own format, signature.json, example.json, pylock.toml, the card as
    README.md, and model.json, which names every file with its digests.
    """
    plan = project.models.plan_export(reference, dest, form=form, force=force)
    if dry_run:
        say_plan(plan, as_json)
        return
    with progress() as bar:
        manifest = project.models.export(reference, dest, form=form, force=force, progress=bar)
    if as_json:
        say_json(manifest)
    else:
        say_plan(plan, as_json, done=True)


@models.add_command
@command("convert", example="mlwright models convert diagnosis@champion", changes=True)
@click.argument("reference", metavar="REF")
@click.option("--again", is_flag=True, help="Convert also what was converted before.")
def convert_model(project: Project, reference: str, again: bool, as_json: bool, dry_run: bool) -> None:
    """Convert a version to ONNX, so that servers answer with that, which is faster and takes less memory.

    It is used only if it answers as the model does on the table of its training. `mlwright serve` converts a
    version beside its first server.
    """
    if dry_run:
        say_plan(project.models.plan_convert(reference, again=again), as_json)
        return
    found = project.models.convert(reference, again=again, say=_aside)
    if as_json:
        say_json(found)
    else:
        say(conversion_told(found))


@models.add_command
@command("verify", example="mlwright models verify diagnosis@champion")
@click.argument("references", metavar="[REF]...", nargs=-1)
def verify_models(project: Project, references: tuple[str, ...], as_json: bool) -> None:
    """Look whether versions are what their records say; by default every one.

    All bytes are read; each model is loaded in its own environment and asked about its example.
    """
    with progress() as bar:
        found = project.models.verify(references, say=_aside, progress=bar)
    if as_json:
        say_json(found)
    else:
        say_verified(found)
    if broken := [each.reference for each in found if not each.sound]:
        raise Corrupt(f"not as it is on record: {', '.join(broken)}")


@models.add_command
@command("card", example="mlwright models card diagnosis@champion", changes=True)
@click.argument("reference", metavar="NAME@V")
@click.option("--edit-from", metavar="FILE", help="Make FILE the card; `-` reads standard input.")
@click.option("-m", "--message", default="", help="Why it is written anew.")
@click.option("--generated", is_flag=True, help="Show what the records have, whatever was written.")
def card(
    project: Project,
    reference: str,
    edit_from: str | None,
    message: str,
    generated: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Print the model card, in Markdown; or write it: the texts before stay, with who, when and why."""
    from mlwright.versioning.models_api import model_card, write_model_card

    if edit_from is None:
        found = model_card(project, reference, written=not generated)
        if as_json:
            say_json(found)
        else:
            say(found.card.rstrip("\n"))
        return
    plan = write_model_card(project, reference, _read(edit_from), reason=message, dry_run=dry_run)
    say_plan(plan, as_json, done=not dry_run)


@models.add_command
@command("rm", example='mlwright models rm diagnosis@1 -m "trained on wrong units"', changes=True)
@removal_options
def remove_models(
    project: Project, references: tuple[str, ...], every: bool, message: str, as_json: bool, dry_run: bool
) -> None:
    """Take versions away that no alias, deployment or gate refers to. Their numbers are not given again.

    The bytes go with the next garbage collection, unless the run that made them still names them.
    """
    from mlwright.versioning.models_api import remove_models as operation

    plan = operation(project, references, every=every, reason=message, dry_run=dry_run)
    say_plan(plan, as_json, done=not dry_run)


def _aside(what: str) -> None:
    click.echo(what, err=True)


def _read(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise Unavailable(f"the card cannot be read: {error.strerror}", where=name) from error
    return data.decode("utf-8", "surrogateescape")
