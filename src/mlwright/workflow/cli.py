"""Doors: `run`, `pipelines`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlwright.kernel.clock import show_seconds
from mlwright.kernel.errors import Invalid
from mlwright.kernel.ids import short
from mlwright.terminal import HELP, command, say, say_json, say_plan, say_table

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.tracking import Run
    from mlwright.workflow.request import Request

_PARAMETERS = click.option(
    "-p",
    "--parameter",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter; may be repeated.",
)
_FILE = click.option(
    "-f",
    "--parameters",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Set parameters as a TOML, YAML or JSON file says; `-p` wins over it.",
)
_SEED = click.option("--seed", type=int, default=0, help="The run's seed.")
_NO_CACHE = click.option("--no-cache", is_flag=True, help="Run every step again.")
_VERIFY = click.option(
    "--verify-inputs",
    "verify",
    is_flag=True,
    help="Read all code and data again, also files that look unchanged.",
)

_EXECUTOR = click.option(
    "--executor",
    default="",
    metavar="NAME",
    help="Where steps run: `local` in worker processes, `inline` in this one, for a debugger.",
)

_SNAPSHOT = click.option(
    "--snapshot",
    default="",
    metavar="CODE",
    help="Run recorded code, with its environment: its digest, or a RUN that was made with it.",
)
NO_WAIT = click.option(
    "--wait/--no-wait", default=True, help="With MLWRIGHT_URL: follow it to its end, or only start it."
)


class ScriptCommand(click.Command):
    """A command whose first argument may be a script, and then the rest of the line is the script's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As always, with `--` put behind a script."""
        valued = {
            name
            for each in self.params
            if isinstance(each, click.Option) and not each.is_flag
            for name in each.opts
        }
        for at, text in enumerate(args):
            mine = text.endswith(".py") and not text.startswith("-") and args[at - 1 : at][:1] != ["--"]
            if mine and not (at and args[at - 1] in valued):
                rest = args[at + 1 :]
                args = [*args[: at + 1], *([] if rest[:1] == ["--"] else ["--"]), *rest]
                break
        return super().parse_args(ctx, args)


@command("run", example="mlwright run diagnosis -p trees=200", changes=True, kind=ScriptCommand)
@click.argument("pipeline", metavar="PIPELINE|SCRIPT|NOTEBOOK")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]...")
@_PARAMETERS
@_FILE
@_SEED
@_NO_CACHE
@_VERIFY
@_EXECUTOR
@_SNAPSHOT
@NO_WAIT
def run(
    project: Project,
    pipeline: str,
    arguments: tuple[str, ...],
    given: tuple[str, ...],
    file: Path | None,
    seed: int,
    no_cache: bool,
    verify: bool,
    executor: str,
    snapshot: str,
    wait: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Run PIPELINE; steps whose code, packages, parameters and inputs are the same are reused.

    A SCRIPT (.py) runs with the rest of the line as its arguments, a NOTEBOOK (.ipynb) cell by cell with its
    parameters; either has a copy of the project, and what it writes there is kept.

    With MLWRIGHT_URL the server runs it, with the code that is there. Ctrl-C cancels the run there, too.
    """
    parameters = _parameters(given, file)
    if not project.is_here:
        from mlwright.workflow.pipelines_api import plan_pipeline
        from mlwright.workflow.runs_api import start_run
        from mlwright.workflow.scripts import with_arguments

        refuse_there("--verify-inputs", given=verify)
        asked: dict[str, Any] = {
            "parameters": with_arguments(pipeline, parameters, arguments),
            "seed": seed,
            "cache": not no_cache,
            "snapshot": snapshot,
        }
        if dry_run:
            say_plan(plan_pipeline(project, pipeline, **asked), as_json)
        else:
            follow_run(project, start_run(project, pipeline, **asked, executor=executor), wait, as_json)
        return
    refuse_no_wait(wait)
    request = project.request(
        pipeline,
        parameters,
        arguments,
        seed=seed,
        cache=not no_cache,
        executor=executor,
        verify=verify,
        snapshot=snapshot,
    )
    if dry_run:
        say_plan(project.pipelines.plan(request), as_json)
    else:
        run_request(project, request, as_json)


def run_request(project: Project, request: Request, as_json: bool) -> None:
    """Run it while the terminal shows how far it is, and say how it ended."""
    from mlwright.workflow.detail import run_detail
    from mlwright.workflow.screen import watching

    with watching(quiet=as_json, alive=request.executor != "inline") as watcher:
        done, error = project.pipelines.run(request, watcher)
    if as_json:
        say_json(run_detail(project.rooms, done.id))
    else:
        say(f"run {short(done.id)} {done.state} in {show_seconds(done.seconds)}")
    if error is not None:
        raise error


def follow_run(project: Project, run: Run, wait: bool, as_json: bool) -> None:
    """Follow a run of a server's to its end, and say how it ended; or only name it."""
    from mlwright.workflow.following import follow_to_end
    from mlwright.workflow.screen import watching

    if not wait:
        if as_json:
            say_json(run)
        else:
            say(f"run {short(run.id)} {run.state}: mlwright runs show {short(run.id)}")
        return
    with watching(quiet=as_json) as watcher:
        detail, error = follow_to_end(project, run, watcher)
    if as_json:
        say_json(detail)
    else:
        say(f"run {short(run.id)} {detail.run.state} in {show_seconds(detail.run.seconds)}")
    if error is not None:
        raise error


def refuse_no_wait(wait: bool) -> None:
    """Refuse to leave a run to itself where no server executes it."""
    if not wait:
        raise Invalid(
            "--no-wait leaves a run to a server, and none is named",
            hint="start one: mlwright up, then name it: MLWRIGHT_URL=http://127.0.0.1:5000",
        )


def refuse_there(option: str, *, given: bool) -> None:
    """Refuse an option that needs the project's files."""
    if given:
        raise Invalid(
            f"{option} needs the files of a project, which are not on a server",
            hint="take MLWRIGHT_URL out of the environment, and use it in the project",
        )


@click.group(epilog="Example: mlwright pipelines list", context_settings=HELP)
def pipelines() -> None:
    """List, draw and plan pipelines."""


@pipelines.add_command
@command("list", example="mlwright pipelines list")
def list_pipelines(project: Project, as_json: bool) -> None:
    """Show the project's pipelines and where they stand."""
    from mlwright.workflow.pipelines_api import list_pipelines as operation

    found = operation(project)
    if as_json:
        say_json(found)
        return
    say_table(
        [(each.name, f"{each.file}:{each.line}", each.summary) for each in found], ["name", "at", "summary"]
    )


@pipelines.add_command
@command("show", example="mlwright pipelines show diagnosis --output diagnosis.svg")
@click.argument("pipeline")
@_PARAMETERS
@_FILE
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "mermaid", "svg", "json"]),
    help="How to draw it; by default what FILE ends with (.mmd, .svg, .json), else for the terminal.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw into a file."
)
def show_pipeline(
    project: Project,
    pipeline: str,
    given: tuple[str, ...],
    file: Path | None,
    form: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Draw the graph of PIPELINE: its steps, and what they take from each other."""
    from mlwright.workflow.drawing import draw, form_of, picture_of, rails
    from mlwright.workflow.pipelines_api import as_texts
    from mlwright.workflow.pipelines_api import show_pipeline as operation

    if as_json and form not in {None, "json"}:
        raise Invalid(f"--json and --format {form} are two answers", hint="leave out one of them")
    form = "json" if as_json else form or form_of(output)
    graph = operation(project, pipeline, parameters=as_texts(_parameters(given, file))).graph
    if output is not None:
        output.write_text(draw(graph, form), encoding="utf-8")
        if not as_json:
            say(f"the graph of `{pipeline}` is in {output}")
    elif form == "terminal":
        width = shutil.get_terminal_size().columns
        for row in rails(picture_of(graph), width=width, encoding=sys.stdout.encoding):
            say(row.text.removesuffix(row.tail) + click.style(row.tail, dim=True) if row.tail else row.text)
    else:
        # What a program reads is UTF-8, whatever the terminal speaks.
        click.echo(draw(graph, form).encode(), nl=False)


@pipelines.add_command
@command("plan", example="mlwright pipelines plan diagnosis -p trees=200")
@click.argument("pipeline")
@_PARAMETERS
@_FILE
@_SEED
@_NO_CACHE
@_VERIFY
def plan(
    project: Project,
    pipeline: str,
    given: tuple[str, ...],
    file: Path | None,
    seed: int,
    no_cache: bool,
    verify: bool,
    as_json: bool,
) -> None:
    """Show, for each step, whether it would be reused or run, and why."""
    from mlwright.workflow.pipelines_api import plan_pipeline

    parameters = _parameters(given, file)
    made = plan_pipeline(
        project, pipeline, parameters=parameters, seed=seed, cache=not no_cache, verify=verify
    )
    say_plan(made, as_json)


def _parameters(given: tuple[str, ...], file: Path | None) -> dict[str, Any]:
    """What a file says, and above it what was typed."""
    typed = _pairs(given)
    if file is None:
        return typed
    from mlwright.workflow.parameter_files import read_parameters

    return read_parameters(file) | typed


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
