"""Doors: `runs`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlwright.kernel.clock import show as show_time
from mlwright.kernel.clock import show_seconds
from mlwright.kernel.ids import short
from mlwright.terminal import HELP, command, progress, say, say_json, say_plan, say_table
from mlwright.workflow.cli import NO_WAIT, follow_run, refuse_no_wait, refuse_there, run_request

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.workflow.reproduce import Reproduction
    from mlwright.workflow.sections import Section


@click.group(epilog="Example: mlwright runs list", context_settings=HELP)
def runs() -> None:
    """List, show, continue and reproduce runs.

    RUN is an id or the beginning of one, `latest`, or `latest~1` for the run before that.
    """


@runs.add_command
@command("list", example="mlwright runs list --metric 'auc>0.9' --sort metric:auc")
@click.option("--pipeline", help="Only of this pipeline, script or notebook.")
@click.option("--state", help="Only in this state: running, succeeded, failed, cancelled, lost, scheduled.")
@click.option(
    "--kind", help="Only of this kind: pipeline, script, notebook, comparison, prediction, reported."
)
@click.option(
    "--since", metavar="WHEN", help="None that began before: 30m, 2h, 3d, 2026-11-20, 2026-11-20T15:30."
)
@click.option("--until", metavar="WHEN", help="None that began then or later; a date is its beginning.")
@click.option(
    "--param", "params", multiple=True, metavar="NAME=VALUE", help="As trees=200, lr<0.1; may be repeated."
)
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME>NUMBER", help="As auc>=0.9; may be repeated."
)
@click.option(
    "--filter",
    metavar="TEXT",
    default="",
    help="What must hold, as metrics.auc > 0.9 and tags.team = 'a' and status = 'FINISHED'.",
)
@click.option(
    "--order-by", multiple=True, metavar="KEY [DESC]", help="As 'metrics.auc desc'; may be repeated."
)
@click.option("--sort", default="created", metavar="ORDER", help="created, took or metric:NAME; most first.")
@click.option("--reverse", is_flag=True, help="Least first.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, help="At most so many.")
def list_runs(project: Project, as_json: bool, **nouns: Any) -> None:
    """Show the runs that fit all that is asked for, by default the newest."""
    from mlwright.kernel.pages import all_pages
    from mlwright.tracking import RunFilter
    from mlwright.workflow.runs_api import list_runs as operation

    wanted = RunFilter(**nouns)
    asked = {name: value for name, value in nouns.items() if name != "limit"}
    found = all_pages(lambda most, token: operation(project, **asked, limit=most, token=token), wanted.limit)
    if as_json:
        say_json([each.run for each in found])
        return
    rows = [
        (
            short(each.run.id),
            each.run.title,
            each.run.state,
            show_time(each.run.created_us),
            show_seconds(each.run.seconds),
            *(each.parameters.get(name, "") for name in wanted.param_names),
            *(f"{each.metrics[name]:.6g}" if name in each.metrics else "" for name in wanted.metric_names),
        )
        for each in found
    ]
    head = ["run", "pipeline", "state", "began", "took", *wanted.param_names, *wanted.metric_names]
    say_table(rows, head)


@runs.add_command
@command("show", example="mlwright runs show latest")
@click.argument("run_id", metavar="RUN")
@click.option("--all", "every", is_flag=True, help="Show each element of a mapped step.")
def show_run(project: Project, run_id: str, every: bool, as_json: bool) -> None:
    """Show one run: parameters, steps, metrics, and what it was made with."""
    from mlwright.workflow.runs_api import show_run as operation
    from mlwright.workflow.sections import detail_sections

    detail = operation(project, run_id)
    if as_json:
        say_json(detail)
        return
    found = detail.run
    kind = "" if found.kind == "pipeline" else f"{found.kind} "
    took = f"{show_time(found.created_us)}, {show_seconds(found.seconds)}"
    say(f"run {found.id} of {kind}{found.title}: {found.state}, {took}")
    if found.wanted and found.state == "running":
        say(f"it is wanted {found.wanted}")
    _say_sections(detail_sections(detail, every=every))
    if imported := found.about.get("imported"):
        say(f"imported   from workspace {imported['workspace']}, {show_time(imported['at_us'])}")
    if found.error:
        say(f"error      {found.error['message']}")
        if where := found.error.get("where"):
            say(f"  at {where}")


@runs.add_command
@command("metrics", example="mlwright runs metrics latest loss")
@click.argument("run_id", metavar="RUN")
@click.argument("name", required=False)
@click.option("--points", type=click.IntRange(3, 100_000), default=1000, help="At most so many.")
def show_metrics(project: Project, run_id: str, name: str | None, points: int, as_json: bool) -> None:
    """Show the last values of the metrics of RUN, or how one of them went: NAME.

    Of a long one, the lowest and highest values of each stretch are shown, and the last one.
    """
    from mlwright.tracking.curve import curve
    from mlwright.workflow.runs_api import last_metrics, metric_points

    last = last_metrics(project, run_id)
    if name is None:
        if as_json:
            say_json(last)
        else:
            rows = [(each.name, f"{each.value:.6g}", each.step, show_time(each.at_us)) for each in last]
            say_table(rows, ["metric", "last", "step", "reported"])
        return
    sampled = metric_points(project, run_id, name, points=points)
    if as_json:
        say_json(sampled)
        return
    for line in curve(sampled, width=shutil.get_terminal_size().columns, encoding=sys.stdout.encoding):
        say(line)
    (last_one,) = (each for each in last if each.name == name)
    say(f"last {last_one.value:.6g}, step {last_one.step}, {show_time(last_one.at_us)}")


@runs.add_command
@command("diff", example="mlwright runs diff 01JD8A2B3C latest --diff")
@click.argument("then")
@click.argument("now")
@click.option("--diff", "with_diff", is_flag=True, help="Show how the code differs, line by line.")
@click.option("--all", "every", is_flag=True, help="Show each output, also of each element of a mapped step.")
def diff_runs(project: Project, then: str, now: str, with_diff: bool, every: bool, as_json: bool) -> None:
    """Show what differs between two runs: code, data, parameters, environment, machine, metrics, outputs."""
    from mlwright.workflow.runs_api import diff_runs as operation
    from mlwright.workflow.sections import comparison_sections

    compared = operation(project, then, now, with_diff=with_diff)
    if as_json:
        say_json(compared)
        return
    for word, each in (("then", compared.then), ("now ", compared.now)):
        say(f"{word}  run {short(each.id)} of {each.title}: {each.state}, {show_time(each.created_us)}")
    _say_sections(comparison_sections(compared, every=every))


@runs.add_command
@command("profile", example="mlwright runs profile latest")
@click.argument("run_id", metavar="RUN")
def profile_run(project: Project, run_id: str, as_json: bool) -> None:
    """Show where the time of a run went: what took longest, how busy the workers were, what would help."""
    from mlwright.workflow.gantt import gantt, legend
    from mlwright.workflow.runs_api import profile_run as operation
    from mlwright.workflow.sections import profile_sections

    made = operation(project, run_id)
    if as_json:
        say_json(made)
        return
    say(f"run {short(made.run.id)} of {made.run.pipeline}: {made.run.state} in {show_seconds(made.wall_s)}")
    width, encoding = shutil.get_terminal_size().columns, sys.stdout.encoding
    rows = gantt(made, width=width - 2, encoding=encoding)
    for row in rows:
        bar = "".join(click.style(text, fg=_INKS.get(ink)) for ink, text in row.bar)
        say(f"  {row.label}  {bar}  {row.tail}".rstrip())
    if rows:
        marks = (f"{click.style(mark, fg=_INKS.get(ink))} {word}" for ink, mark, word in legend(encoding))
        say("  " + "  ".join(marks))
    _say_sections(profile_sections(made))


_INKS = {"critical": "red", "ran": "cyan", "failed": "magenta", "waiting": "yellow"}


@runs.add_command
@command("cancel", example="mlwright runs cancel latest", changes=True)
@click.argument("run_id", metavar="RUN")
@click.option("--wait/--no-wait", default=True, help="Wait until it has ended, 15 s at most.")
def cancel_run(project: Project, run_id: str, wait: bool, as_json: bool, dry_run: bool) -> None:
    """End a run that is running, here or elsewhere: its steps are stopped, and it can be resumed.

    One that waits for its begin ends at once.
    """
    from mlwright.workflow.cancel import plan_end, until_ended
    from mlwright.workflow.runs_api import cancel_run as operation
    from mlwright.workflow.runs_api import show_run as show

    if dry_run:
        say_plan(plan_end(show(project, run_id).run), as_json)
        return
    done = operation(project, run_id)
    if wait:
        done = until_ended(lambda: show(project, done.id).run)
    if as_json:
        say_json(done)
    else:
        say(f"run {short(done.id)} {done.state}" + (", and asked to end" if done.state == "running" else ""))


@runs.add_command
@command("logs", example="mlwright runs logs latest train --follow")
@click.argument("run_id", metavar="RUN")
@click.argument("step", required=False)
@click.option("--follow", "-f", "following", is_flag=True, help="Go on until the run has ended.")
def show_logs(project: Project, run_id: str, step: str | None, following: bool, as_json: bool) -> None:
    """Show what the steps of a run printed, so far; STEP is one, or one element of a mapped one: fit[3]."""
    from mlwright.workflow.runs_api import logs_of, show_run
    from mlwright.workflow.sections import attempt_label

    if following:
        _follow(project, run_id, step, as_json)
        return
    told = logs_of(project, run_id, step=step)
    if as_json:
        say_json(
            [{"step": each.attempt.node, "number": each.attempt.number, "text": each.text} for each in told]
        )
        return
    if not told:
        goes_on = show_run(project, run_id).run.state == "running"
        say("nothing was printed" + " yet" * goes_on)
    for each in told:
        source = attempt_label(each.attempt)
        for line in each.text.splitlines():
            say(f"{source} | {line}")


def _follow(project: Project, run_id: str, step: str | None, as_json: bool) -> None:
    """Say lines as they come; in JSON each is a value of its own, in one line."""
    import msgspec

    from mlwright.workflow.runs_api import follow_logs
    from mlwright.workflow.sections import attempt_label

    for each in follow_logs(project, run_id, step=step):
        if as_json:
            told = {"step": each.attempt.node, "number": each.attempt.number, "line": each.text}
            click.echo(msgspec.json.encode(told))
        else:
            say(f"{attempt_label(each.attempt)} | {each.text}")


@runs.add_command
@command("why", example="mlwright runs why latest train --diff")
@click.argument("run_id", metavar="RUN")
@click.argument("step")
@click.option("--diff", "with_diff", is_flag=True, help="Show how the code differs.")
def show_why(project: Project, run_id: str, step: str, with_diff: bool, as_json: bool) -> None:
    """Say why STEP ran or was reused: what differs from the closest earlier success.

    STEP may be one element of a mapped one, fit[3]; of all together, the first that ran is explained.
    """
    from mlwright.workflow.runs_api import why_step

    found = why_step(project, run_id, step)
    if as_json:
        say_json(found)
        return
    if found.elements:
        say(f"{step}: " + ", ".join(f"{count} {word}" for word, count in found.elements.items()))
    say(f"{found.attempt.node}: {found.summary}")
    for difference in found.differences:
        say(f"  {difference.text}")
        if with_diff and difference.diff:
            say("\n".join(f"    {line}" for line in difference.diff.splitlines()))
    for others in found.others:
        say(f"{others.label}: {others.text}")
    if found.unread:
        say(f"more that ran, and were not looked at: {found.unread}")


@runs.add_command
@command("resume", example="mlwright runs resume latest", changes=True)
@click.argument("run_id", metavar="RUN")
@NO_WAIT
def resume(project: Project, run_id: str, wait: bool, as_json: bool, dry_run: bool) -> None:
    """Continue a run that failed, was cancelled or lost, with today's code: what succeeded is reused.

    A script or a notebook is run again, as it was. With MLWRIGHT_URL the server continues it.
    """
    if not project.is_here:
        from mlwright.workflow.runs_api import resume_run as operation

        refuse_there("--dry-run", given=dry_run)
        follow_run(project, operation(project, run_id), wait, as_json)
        return
    refuse_no_wait(wait)
    request = project.pipelines.resume(run_id)
    if dry_run:
        say_plan(project.pipelines.plan(request), as_json)
    else:
        run_request(project, request, as_json)


@runs.add_command
@command("reproduce", example="mlwright runs reproduce latest", changes=True)
@click.argument("run_id", metavar="RUN")
@click.option("--in", "folder", type=click.Path(path_type=Path), help="A new folder to do it in.")
def reproduce(project: Project, run_id: str, folder: Path | None, as_json: bool, dry_run: bool) -> None:
    """Make RUN again from what was recorded, without the cache, and compare every output to the bit.

    An output is identical, different, or not comparable. Of those that differ it is said in which way: floats
    (within tolerance: 1e-8, or 1e-5 of the value), row order, times, columns, only the encoding. The status
    is 0 only if all are identical.
    """
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


@runs.add_command
@command("export", example="mlwright runs export latest run.tar", changes=True)
@click.argument("run_id", metavar="RUN")
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--with-outputs", is_flag=True, help="With the bytes of what its steps made.")
@click.option("--force", is_flag=True, help="Write over FILE.")
def export_run(
    project: Project,
    run_id: str,
    target: Path,
    with_outputs: bool,
    force: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Write RUN into one file, from which it can be shown and made again in another workspace.

    In it are its records, code, data, locks, logs, the models it compared with, and the digest of each
    output. Of a metric it holds the last value; of packages the locks: they are fetched again. Tags, and
    what else clients reported of RUN, stay here.
    """
    from mlwright.workflow.bundle import plan_export

    if dry_run:
        made = plan_export(project.rooms, run_id, target, with_outputs=with_outputs, force=force)
    else:
        with progress() as bar:
            made = project.export_run(run_id, target, with_outputs=with_outputs, force=force, progress=bar)
    say_plan(made, as_json, done=not dry_run)


@runs.add_command
@command("import", example="mlwright runs import run.tar", changes=True)
@click.argument("source", type=click.Path(path_type=Path), metavar="FILE")
def import_run(project: Project, source: Path, as_json: bool, dry_run: bool) -> None:
    """Take a run over from the FILE that `runs export` wrote, to be shown, diffed and reproduced here.

    Its results are never reused, and its pickles never loaded. Reproducing it runs its code.
    """
    if dry_run:
        from mlwright.workflow.unbundle import plan_import

        say_plan(plan_import(project.rooms, source), as_json)
        return
    with progress() as bar:
        run, new = project.import_run(source, progress=bar)
    from mlwright.tracking import RunState

    if as_json:
        say_json(run)
        return
    say(f"run {short(run.id)} of {run.pipeline}: {'imported' if new else 'is here already'}")
    if run.state is RunState.SUCCEEDED and run.kind != "comparison":
        say(f"make it again: mlwright runs reproduce {short(run.id)}")


def _say_reproduction(done: Reproduction) -> None:
    from mlwright.workflow.sections import reproduction_lines

    say(f"run {short(done.original.id)} made again in {done.folder}")
    say_table(
        [
            (each.node, each.output, f"b3:{each.then[:16]}", f"b3:{each.now[:16]}", each.verdict)
            for each in done.comparisons
        ],
        ["step", "output", "then", "now", "verdict"],
    )
    for line in reproduction_lines(done):
        say(line)


def _say_sections(sections: Sequence[Section]) -> None:
    for section in sections:
        say(section.title)
        if section.rows:
            say_table(section.rows, section.head, indent="  ")
        for line in section.more:
            say(f"  {line}")
        if not section.rows and not section.more:
            say("  none")
