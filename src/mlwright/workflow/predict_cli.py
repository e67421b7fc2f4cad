"""Door: `predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlwright.kernel.clock import show_seconds
from mlwright.kernel.ids import short
from mlwright.kernel.words import counted
from mlwright.sdk.parts import ROWS
from mlwright.terminal import command, say, say_json, say_plan
from mlwright.workflow.cli import NO_WAIT, follow_run, refuse_no_wait, refuse_there

if TYPE_CHECKING:
    from mlwright.app import Project


@command("predict", example="mlwright predict diagnosis@champion patients@1 --to scores", changes=True)
@click.argument("model")
@click.argument("dataset")
@click.option("--to", default="", metavar="NAME", help="The dataset that gets a version: MODEL-predictions.")
@click.option("--proba", is_flag=True, help="Add the probability of each class, as probability_CLASS.")
@click.option("--only-predictions", is_flag=True, help="Keep no column of DATASET.")
@click.option("--rows", type=click.IntRange(1), default=ROWS, show_default=True, help="Of a part, at most.")
@click.option(
    "--runtime",
    type=click.Choice(["auto", "native", "onnx"]),
    default="auto",
    show_default=True,
    help="What answers: the model as ONNX, if that was found to answer the same; or as it is.",
)
@click.option("--no-cache", is_flag=True, help="Predict every part again.")
@click.option("--executor", default="", metavar="NAME", help="Where it runs: `local` or `inline`.")
@NO_WAIT
def predict(
    project: Project,
    model: str,
    dataset: str,
    no_cache: bool,
    executor: str,
    wait: bool,
    as_json: bool,
    dry_run: bool,
    **asked: Any,
) -> None:
    """Predict over a table, in parallel; what comes out is a version of a dataset, in the table's format.

    It is a run: parts of DATASET are predicted each by itself, with what `mlwright serve` answers with. A row
    that does not fit the model is named, and no version is made. The same model and the same version of
    DATASET again are reused. With MLWRIGHT_URL the server runs it.

    A model that was converted to ONNX (`models convert`, or beside its first server) answers as that, in an
    environment without its own library.
    """
    from mlwright.workflow.predicting import predicted_by
    from mlwright.workflow.screen import watching

    asked |= {"cache": not no_cache, "executor": executor}
    if not project.is_here:
        from mlwright.workflow.runs_api import start_prediction

        refuse_there("--dry-run", given=dry_run)
        follow_run(project, start_prediction(project, model, dataset, **asked), wait, as_json)
        return
    refuse_no_wait(wait)
    quiet = as_json or dry_run
    request = project.prediction(model, dataset, preparing=None if quiet else say, **asked)
    if dry_run:
        say_plan(project.pipelines.plan(request), as_json)
        return
    with watching(quiet=as_json, alive=executor != "inline") as watcher:
        run, error = project.pipelines.run(request, watcher)
    if error is not None:
        if not as_json:
            say(f"run {short(run.id)} {run.state} in {show_seconds(run.seconds)}")
        raise error
    made = predicted_by(project.rooms, run)
    if as_json:
        say_json(made)
    else:
        say(f"run {short(run.id)} {run.state} in {show_seconds(run.seconds)}")
        say(f"{made.note}: {counted(made.rows, 'row')}")
