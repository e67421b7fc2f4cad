"""Doors: `predictions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlwright.terminal import HELP, command, say, say_json, say_plan, say_table

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.versioning.predictions import PredictionRecord

_MODEL = click.option("--model", default="", metavar="MODEL", help="A model, or one of its versions.")


@click.group(epilog="Example: mlwright predictions list --model diagnosis", context_settings=HELP)
def predictions() -> None:
    """Look at the sample that is kept of what models have answered."""


@predictions.add_command
@command("list", example="mlwright predictions list --model diagnosis@3")
@_MODEL
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
def list_predictions(project: Project, model: str, limit: int, as_json: bool) -> None:
    """List recorded predictions, the newest first: when, which model, how many rows, how long it took."""
    from mlwright.kernel.clock import show
    from mlwright.kernel.pages import all_pages
    from mlwright.versioning.predictions_api import list_predictions as operation

    found = all_pages(lambda most, token: operation(project, model=model, limit=most, token=token), limit)
    if as_json:
        say_json(found)
        return
    if not found:
        say("no predictions are recorded: mlwright serve MODEL keeps a sample of what it answers")
        return
    rows = [
        (show(each.at_us), each.model, each.id, str(each.rows), f"{each.took_us / 1000:.1f} ms", _alike(each))
        for each in found
    ]
    shadows = any(each.shadow_of for each in found)
    heads = ("when", "model", "prediction", "rows", "took", "as shadow alike")
    say_table([row if shadows else row[:-1] for row in rows], heads if shadows else heads[:-1])


def _alike(record: PredictionRecord) -> str:
    return f"{record.agreed} of {record.rows}" if record.shadow_of else ""


@predictions.add_command
@command("show", example="mlwright predictions show 01JD8K3V9Q5W7X2Y4Z6A8B0C1D-0123456789AB")
@click.argument("prediction")
def show_prediction(project: Project, prediction: str, as_json: bool) -> None:
    """Show what was kept of one prediction. `mlwright lineage` tells what it was made from."""
    from mlwright.kernel.clock import show
    from mlwright.versioning.predictions_api import show_prediction as operation

    found = operation(project, prediction)
    if as_json:
        say_json(found)
        return
    say(f"{found.id} of {found.model}, {show(found.at_us)}, took {found.took_us / 1000:.1f} ms")
    if found.shadow_of:
        say(f"in the shadow of {found.shadow_of}: {found.agreed} of {found.rows} rows answered alike")
    say(f"asked about {found.rows} rows; outside of what training saw: {found.warnings} columns")
    if found.inputs:
        rows = [(name, ", ".join(map(str, values))) for name, values in found.inputs.items()]
        say_table(rows, indent="  ")
    else:
        say("values are not kept: `record_values` of [tool.mlwright] names the columns whose values may be")
    if found.predictions:
        say(f"answered {', '.join(map(str, found.predictions))}")


@predictions.add_command
@command("rm", example="mlwright predictions rm --before 30d", changes=True)
@_MODEL
@click.option("--before", required=True, metavar="WHEN", help="Given before: 12h, 30d ago; 2026-11-20.")
def remove_predictions(project: Project, model: str, before: str, as_json: bool, dry_run: bool) -> None:
    """Take recorded predictions away. The bytes go with the next garbage collection."""
    from mlwright.versioning.predictions_api import remove_predictions as operation

    plan = operation(project, model=model, before=before, dry_run=dry_run)
    say_plan(plan, as_json, done=not dry_run)
