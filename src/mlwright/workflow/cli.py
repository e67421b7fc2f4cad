"""Doors: `run`, `pipelines`, `runs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlwright.kernel.clock import show as show_time
from mlwright.kernel.clock import show_seconds
from mlwright.kernel.errors import Invalid
from mlwright.kernel.ids import short
from mlwright.terminal import HELP, command, say, say_json, say_plan, say_table

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.workflow.pipelines import Request
    from mlwright.workflow.reproduce import Reproduction

_PARAMETERS = click.option(
    "-p",
    "--parameter",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter; may be repeated.",
)
_SEED = click.option("--seed", type=int, default=0, help="The run's seed.")
_NO_CACHE = click.option("--no-cache", is_flag=True, help="Run every step again.")


@command("run", example="mlwright run diagnosis -p trees=200", changes=True)
@click.argument("pipeline")
@_PARAMETERS
@_SEED
@_NO_CACHE
def run(
    project: Project,
    pipeline: str,
    given: tuple[str, ...],
    seed: int,
    no_cache: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Run PIPELINE; steps whose code, packages, parameters and inputs are the same are reused."""
    from mlwright.workflow import Request

    request = Request(pipeline, _pairs(given), seed, cache=not no_cache)
    if dry_run:
        say_plan(project.pipelines.plan(request), as_json)
    else:
        _run(project, request, as_json)


def _run(project: Project, request: Request, as_json: bool) -> None:
    from mlwright.workflow.detail import run_detail
    from mlwright.workflow.screen import watching

    with watching(quiet=as_json) as watcher:
        done, error = project.pipelines.run(request, watcher)
    if as_json:
        say_json(run_detail(project.rooms, done.id))
    else:
        say(f"run {short(done.id)} {done.state} in {show_seconds(done.seconds)}")
    if error is not None:
        raise error


@click.group(epilog="Example: mlwright pipelines list", context_settings=HELP)
def pipelines() -> None:
    """List and plan pipelines."""


@pipelines.add_command
@command("list", example="mlwright pipelines list")
def list_pipelines(project: Project, as_json: bool) -> None:
    """Show the project's pipelines and where they stand."""
    found = project.pipelines.list()
    if as_json:
        say_json(found)
        return
    say_table(
        [(each.name, f"{each.file}:{each.line}", each.summary) for each in found], ["name", "at", "summary"]
    )


@pipelines.add_command
@command("plan", example="mlwright pipelines plan diagnosis -p trees=200")
@click.argument("pipeline")
@_PARAMETERS
@_SEED
@_NO_CACHE
def plan(
    project: Project, pipeline: str, given: tuple[str, ...], seed: int, no_cache: bool, as_json: bool
) -> None:
    """Show, for each step, whether it would be reused or run, and why."""
    from mlwright.workflow import Request

    say_plan(project.pipelines.plan(Request(pipeline, _pairs(given), seed, cache=not no_cache)), as_json)


@click.group(epilog="Example: mlwright runs list", context_settings=HELP)
def runs() -> None:
    """List, show, continue and reproduce runs."""


@runs.add_command
@command("list", example="mlwright runs list --state failed")
@click.option("--pipeline", help="Only of this pipeline.")
@click.option("--state", help="Only in this state: running, succeeded, failed, cancelled, lost.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, help="At most so many.")
def list_runs(project: Project, pipeline: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """Show the newest runs."""
    found = project.runs.list(pipeline=pipeline, state=state, limit=limit)
    if as_json:
        say_json(found)
        return
    say_table(
        [
            (
                short(each.id),
                each.pipeline,
                each.state,
                show_time(each.created_us),
                show_seconds(each.seconds),
            )
            for each in found
        ],
        ["run", "pipeline", "state", "began", "took"],
    )


@runs.add_command
@command("show", example="mlwright runs show latest")
@click.argument("run_id", metavar="RUN")
def show_run(project: Project, run_id: str, as_json: bool) -> None:
    """Show one run: parameters, steps, metrics, and what it was made with."""
    from mlwright.workflow.detail import run_detail

    detail = run_detail(project.rooms, run_id)
    if as_json:
        say_json(detail)
        return
    found = detail.run
    took = f"{show_time(found.created_us)}, {show_seconds(found.seconds)}"
    say(f"run {found.id} of {found.pipeline}: {found.state}, {took}")
    say("parameters")
    say_table([*detail.parameters.items(), ("seed", found.seed)], indent="  ")
    say("made with")
    say_table([(role, project.lineage.label(end)) for role, end in detail.made_with.items()], indent="  ")
    say("steps")
    say_table(
        [
            (
                each.attempt.node,
                each.attempt.state,
                "" if each.attempt.wall_s is None else show_seconds(each.attempt.wall_s),
                ", ".join(f"{name}=b3:{made.digest[:12]}" for name, made in each.outputs.items())
                or _note(each.attempt.detail),
            )
            for each in detail.attempts
        ],
        indent="  ",
    )
    if detail.metrics:
        say("metrics")
        say_table([(each.name, f"{each.value:.6g}") for each in detail.metrics], indent="  ")
    if found.error:
        say(f"error      {found.error['message']}")


@runs.add_command
@command("logs", example="mlwright runs logs latest train")
@click.argument("run_id", metavar="RUN")
@click.argument("step", required=False)
def show_logs(project: Project, run_id: str, step: str | None, as_json: bool) -> None:
    """Show what the steps of a run printed."""
    from mlwright.workflow.detail import logs

    told = logs(project.rooms, run_id, step)
    if as_json:
        say_json([{"step": attempt.node, "number": attempt.number, "text": text} for attempt, text in told])
        return
    if not told:
        say("nothing was printed")
    for attempt, text in told:
        source = attempt.node if attempt.number == 1 else f"{attempt.node} (try {attempt.number})"
        for line in text.splitlines():
            say(f"{source} | {line}")


@runs.add_command
@command("why", example="mlwright runs why latest train --diff")
@click.argument("run_id", metavar="RUN")
@click.argument("step")
@click.option("--diff", "with_diff", is_flag=True, help="Show how the code differs.")
def show_why(project: Project, run_id: str, step: str, with_diff: bool, as_json: bool) -> None:
    """Say why STEP ran or was reused: what differs from the closest earlier success."""
    from mlwright.workflow.why import why

    found = why(project.rooms, run_id, step)
    if as_json:
        say_json(found)
        return
    say(f"{found.attempt.node}: {found.summary}")
    for difference in found.differences:
        say(f"  {difference.text}")
        if with_diff and difference.diff:
            say("\n".join(f"    {line}" for line in difference.diff.splitlines()))


@runs.add_command
@command("resume", example="mlwright runs resume latest", changes=True)
@click.argument("run_id", metavar="RUN")
def resume(project: Project, run_id: str, as_json: bool, dry_run: bool) -> None:
    """Continue a run that failed, was cancelled or lost, with today's code: what succeeded is reused."""
    request = project.pipelines.resume(run_id)
    if dry_run:
        say_plan(project.pipelines.plan(request), as_json)
    else:
        _run(project, request, as_json)


@runs.add_command
@command("reproduce", example="mlwright runs reproduce latest", changes=True)
@click.argument("run_id", metavar="RUN")
@click.option("--in", "folder", type=click.Path(path_type=Path), help="A new folder to do it in.")
def reproduce(project: Project, run_id: str, folder: Path | None, as_json: bool, dry_run: bool) -> None:
    """Make RUN again from what was recorded, without the cache, and compare every output to the bit."""
    from mlwright.workflow.reproduce import plan_reproduction
    from mlwright.workflow.screen import watching

    if dry_run:
        say_plan(plan_reproduction(project.rooms, run_id), as_json)
        return
    with watching(quiet=as_json) as watcher:
        done = project.reproduce(run_id, folder, watcher)
    if as_json:
        say_json(done)
    else:
        _say_reproduction(done)
    if done.error is not None:
        raise done.error
    if not done.identical:
        raise click.exceptions.Exit(1)


def _say_reproduction(done: Reproduction) -> None:
    say(f"run {short(done.original.id)} made again in {done.folder}")
    say_table(
        [
            (each.node, each.output, f"b3:{each.then[:16]}", f"b3:{each.now[:16]}", each.verdict)
            for each in done.comparisons
        ],
        ["step", "output", "then", "now", "verdict"],
    )
    first = done.first_different
    same = sum(each.verdict == "identical" for each in done.comparisons)
    say(f"{same} of {len(done.comparisons)} outputs are identical")
    if first is not None:
        say(f"the first that differs is `{first.output}` of step `{first.node}`")


def _note(detail: dict[str, Any]) -> str:
    """How an attempt without outputs ended: a note, what a gate found, or an error."""
    if "findings" in detail:
        return "; ".join(each["text"] for each in detail["findings"])
    return str(detail.get("note") or detail.get("error", {}).get("message", ""))


def _pairs(given: tuple[str, ...]) -> dict[str, Any]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Invalid(f"{text!r} is not a parameter", hint="write -p NAME=VALUE")
        if name in pairs:
            raise Invalid(f"the parameter `{name}` is given twice")
        pairs[name] = value
    return pairs
