"""Doors: `artifacts` and `lineage`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from msgspec import Raw
from msgspec.structs import asdict

from mlwright.kernel.clock import show as show_time
from mlwright.kernel.errors import Invalid
from mlwright.kernel.ids import short
from mlwright.kernel.words import counted
from mlwright.terminal import HELP, command, say, say_json, say_plan, say_table, show_size

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.versioning.lineage import LineageNode
    from mlwright.workflow.impact import AffectedVersion, Impact

_SHOWN = 6
"""How many of a kind are named; JSON has all."""

_FOREIGN = "it was not made by a run of this workspace: it is never loaded"


@click.group(epilog="Example: mlwright artifacts list latest", context_settings=HELP)
def artifacts() -> None:
    """List, show and write out what steps made."""


@artifacts.add_command
@command("list", example="mlwright artifacts list latest")
@click.argument("run", default="latest")
def list_artifacts(project: Project, run: str, as_json: bool) -> None:
    """Show what the steps of RUN made, reuse and logged; by default of the latest run."""
    from mlwright.versioning.api import list_artifacts as operation

    found = operation(project, run=run)
    if as_json:
        say_json(found)
        return
    say_table(
        [
            (
                each.reference,
                each.role,
                f"{each.artifact.type} (pickle, unsafe)" if each.artifact.unsafe else each.artifact.type,
                show_size(each.artifact.size_bytes),
                f"b3:{each.artifact.digest[:12]}",
            )
            for each in found
        ],
        ["artifact", "role", "type", "size", "digest"],
    )


@artifacts.add_command
@command("show", example="mlwright artifacts show latest/train")
@click.argument("reference", metavar="REF")
def show_artifact(project: Project, reference: str, as_json: bool) -> None:
    """Show one artifact, and what is known of its value without loading it; small JSON and text as it is.

    REF is RUN/STEP/NAME, b3:DIGEST, or an artifact's id. NAME is an output's, or what was logged; it may be
    left out where a step has one output.
    """
    from mlwright.versioning.api import show_artifact as operation

    detail = operation(project, reference)
    found = detail.artifact
    if as_json:
        say_json(asdict(found) | ({} if detail.value is None else {"value": Raw(detail.value.encode())}))
        return
    artifact = found.artifact
    say(f"artifact {found.reference}")
    say(f"id         {artifact.id}")
    say(f"digest     b3:{artifact.digest}")
    say(f"type       {artifact.type}, by the codec {artifact.codec}")
    if artifact.unsafe:
        loaded = "only steps and servers here load it" if artifact.ours else _FOREIGN
        say(f"unsafe     loading it runs what its bytes say; {loaded}")
    say(f"size       {show_size(artifact.size_bytes)}")
    say(f"made       {show_time(artifact.created_us)}")
    if detail.maker:
        say(f"made by    {detail.maker}")
    if artifact.about:
        say("about")
        say_table([(name, _told(each)) for name, each in artifact.about.items()], indent="  ")
    if detail.value is not None:
        say("value")
        for line in detail.lines:
            say(f"  {line}")


@artifacts.add_command
@command("checkout", example="mlwright artifacts checkout latest/evaluate scores.json", changes=True)
@click.argument("reference", metavar="REF")
@click.argument("dest")
@click.option("--force", is_flag=True, help="Write over what is there.")
def checkout_artifact(
    project: Project, reference: str, dest: str, force: bool, as_json: bool, dry_run: bool
) -> None:
    """Write the bytes of REF to the file DEST, or into the folder DEST: a table as Parquet, JSON as JSON."""
    plan = project.artifacts.plan_checkout(reference, dest, force=force)
    if not dry_run:
        project.artifacts.checkout(reference, dest, force=force)
    say_plan(plan, as_json, done=not dry_run)


@command("lineage", example="mlwright lineage patients@3 --down")
@click.argument("reference", metavar="REF")
@click.option("--up", "direction", flag_value="up", default="up", help="What it was made from (the default).")
@click.option("--down", "direction", flag_value="down", help="What came of it, and what makes that again.")
@click.option(
    "--impact", is_flag=True, help="Only what came of it in words: what to run again if it was wrong."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", "mermaid", "json", "openlineage"]),
    help="A tree, a flowchart for Mermaid, the walk as JSON, or the events of its runs for OpenLineage.",
)
@click.option("--bytes", "with_bytes", is_flag=True, help="Show objects and trees too.")
def lineage(
    project: Project,
    reference: str,
    direction: str,
    impact: bool,
    form: str | None,
    with_bytes: bool,
    as_json: bool,
) -> None:
    """Show what REF was made from, or what came of it.

    REF is a dataset or model version, a run, RUN/STEP, RUN/STEP:OUTPUT, a prediction id, a digest (b3:...) of
    data, code or an environment, a Git commit, or a file or folder on disk, which is found by its bytes. One
    that fits several things says which it is: `dataset:NAME`, `model:NAME`, `file:PATH`.
    """
    from mlwright.versioning import api

    if as_json and form not in {None, "json"}:
        raise Invalid(f"--json and --format {form} are two answers", hint="leave out one of them")
    down = direction == "down"
    if impact:
        if form not in {None, "json"}:
            raise Invalid(f"--impact cannot be told as {form}", hint="leave out --format, or write --json")
        told = api.show_impact(project, reference)
        say_json(told) if as_json or form else _say_impact(told)
    elif as_json or form == "json":
        say_json(api.show_lineage(project, reference, down=down, with_bytes=True).edges)
    elif form == "openlineage":
        for event in api.show_openlineage(project, reference, down=down):
            say(json.dumps(event, ensure_ascii=False))
    elif form == "mermaid":
        walk = api.show_lineage(project, reference, down=down, with_bytes=with_bytes)
        click.echo(walk.mermaid(), nl=False)
    else:
        _say_lineage(api.show_lineage(project, reference, down=down, with_bytes=with_bytes).tree())
        if down:
            say()
            _say_impact(api.show_impact(project, reference))


def _say_impact(impact: Impact) -> None:
    if not (impact.runs or impact.models or impact.datasets or impact.others):
        say(f"nothing on record came of {impact.label}")
        return
    say(f"if {impact.label} was wrong, this is affected:")
    runs = [f"{short(run.id)} of {run.pipeline} ({run.state})" for run in impact.runs]
    models, datasets = ([_with_aliases(each) for each in kind] for kind in (impact.models, impact.datasets))
    parts = [("runs", runs), ("models", models), ("datasets", datasets), ("others", list(impact.others))]
    say_table([(name, _first(those)) for name, those in parts if those], indent="  ")
    if impact.again:
        say("what makes it again, when what was wrong is right:")
    for remedy in impact.again:
        what = [counted(len(remedy.runs), "run"), *remedy.makes]
        say(f"  {remedy.command}")
        say(f"      for {_first(what)}{'; ' + remedy.note if remedy.note else ''}")


def _with_aliases(version: AffectedVersion) -> str:
    aliases = ", ".join(f"@{alias}" for alias in version.aliases)
    return f"{version.reference} ({aliases})" if aliases else version.reference


def _first(those: list[str]) -> str:
    more = f", and {counted(len(those) - _SHOWN, 'other')}" if len(those) > _SHOWN else ""
    return ", ".join(those[:_SHOWN]) + more


def _say_lineage(tree: LineageNode) -> None:
    waiting = [(tree, "", "")]
    while waiting:
        node, before, below = waiting.pop()
        role = f"{node.role}: " if node.role else ""
        say(f"{before}{role}{node.label}{' (above)' if node.again else ''}")
        *others, last = node.children or (None,)
        if last is not None:
            waiting.append((last, below + "`- ", below + "   "))
        waiting += [(child, below + "|- ", below + "|  ") for child in reversed(others)]


def _told(value: object) -> str:
    """What a codec told of a value; of columns the first ones."""
    if isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value):
        names = [" ".join(map(str, each.values())) for each in value]
        return f"{len(names)}: {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"
    return str(value)
