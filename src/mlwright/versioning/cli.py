"""Doors: `artifacts`, `datasets`, `models`, `lineage`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from mlwright.kernel.clock import show as show_time
from mlwright.kernel.edges import End
from mlwright.terminal import HELP, command, say, say_json, say_plan, say_table, show_size

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.versioning.lineage import LineageNode
    from mlwright.versioning.versions import Version, Versions


@click.group(epilog="Example: mlwright artifacts list latest", context_settings=HELP)
def artifacts() -> None:
    """List, show and write out what steps made."""


@artifacts.add_command
@command("list", example="mlwright artifacts list latest")
@click.argument("run", default="latest")
def list_artifacts(project: Project, run: str, as_json: bool) -> None:
    """Show what the steps of RUN made, reuse and logged; by default of the latest run."""
    found = project.artifacts.list(run)
    if as_json:
        say_json(found)
        return
    say_table(
        [
            (
                each.reference,
                each.role,
                each.artifact.type,
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
    found = project.artifacts.get(reference)
    value = project.artifacts.value(found)
    if as_json:
        say_json(asdict(found) | ({"value": value.json} if value else {}))
        return
    artifact = found.artifact
    say(f"artifact {found.reference}")
    say(f"id         {artifact.id}")
    say(f"digest     b3:{artifact.digest}")
    say(f"type       {artifact.type}, by the codec {artifact.codec}")
    say(f"size       {show_size(artifact.size_bytes)}")
    say(f"made       {show_time(artifact.created_us)}")
    if found.made_by:
        say(f"made by    {project.lineage.label(End('attempt', found.made_by))}")
    if artifact.about:
        say("about")
        say_table([(name, _told(each)) for name, each in artifact.about.items()], indent="  ")
    if value:
        say("value")
        for line in value.lines:
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


@click.group(epilog="Example: mlwright datasets list", context_settings=HELP)
def datasets() -> None:
    """Version data."""


@datasets.add_command
@command(
    "add", example='mlwright datasets add data/patients.csv --name patients -m "first export"', changes=True
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The dataset's name.")
@click.option("-m", "--message", default="", help="Why this version exists.")
def add(project: Project, path: Path, name: str, message: str, as_json: bool, dry_run: bool) -> None:
    """Make the file or folder at PATH the next version of a dataset."""
    if dry_run:
        say_plan(project.datasets.plan_add(path, name), as_json)
        return
    version, new = project.datasets.add(path, name, message=message)
    if as_json:
        say_json({"version": version, "new": new})
        return
    what = "added" if new else "the same bytes are there already:"
    say(f"{what} {version.reference}  b3:{version.digest[:12]}  {show_size(version.size_bytes)}")


@datasets.add_command
@command("list", example="mlwright datasets list")
def list_datasets(project: Project, as_json: bool) -> None:
    """Show the newest version of each dataset."""
    _list(project.datasets.versions, as_json)


@datasets.add_command
@command("show", example="mlwright datasets show patients@1")
@click.argument("reference")
def show_dataset(project: Project, reference: str, as_json: bool) -> None:
    """Show one version: files, columns, aliases."""
    versions = project.datasets.versions
    version = versions.resolve(reference)
    tree = project.datasets.tree(version)
    if as_json:
        say_json({"version": version, "files": tree.entries})
        return
    _say_version(version, versions)
    if columns := version.about.get("columns"):
        say(f"columns    {len(columns)}: {', '.join(columns[:6])}{', ...' if len(columns) > 6 else ''}")
    say("files")
    say_table(
        [(each.path, show_size(each.size_bytes), f"b3:{each.digest[:12]}") for each in tree.entries],
        indent="  ",
    )


@click.group(epilog="Example: mlwright models show diagnosis@champion", context_settings=HELP)
def models() -> None:
    """List, show and alias models."""


@models.add_command
@command("list", example="mlwright models list")
def list_models(project: Project, as_json: bool) -> None:
    """Show the newest version of each model."""
    _list(project.models.versions, as_json)


@models.add_command
@command("show", example="mlwright models show diagnosis@champion")
@click.argument("reference")
def show_model(project: Project, reference: str, as_json: bool) -> None:
    """Show one version: metrics, signature, and the four versions behind it."""
    detail = project.models.detail(reference)
    if as_json:
        say_json(detail)
        return
    _say_version(detail.version, project.models.versions)
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
@click.argument("reference")
@click.argument("alias")
@click.option("-m", "--message", default="", help="Why the alias moves.")
def alias_model(
    project: Project, reference: str, alias: str, message: str, as_json: bool, dry_run: bool
) -> None:
    """Point ALIAS at a version; the move is kept with who, when, from, to and why."""
    versions = project.models.versions
    plan = (
        versions.plan_alias(reference, alias)
        if dry_run
        else versions.set_alias(reference, alias, reason=message)
    )
    say_plan(plan, as_json, done=not dry_run)


@command("lineage", example="mlwright lineage diagnosis@champion")
@click.argument("reference")
@click.option("--up", "direction", flag_value="up", default="up", help="What it was made from (the default).")
@click.option("--down", "direction", flag_value="down", help="What came of it.")
@click.option("--bytes", "with_bytes", is_flag=True, help="Show objects and trees too.")
def lineage(project: Project, reference: str, direction: str, with_bytes: bool, as_json: bool) -> None:
    """Show what a version, run, RUN/STEP, prediction or digest was made from, or what came of it."""
    down = direction == "down"
    if as_json:
        say_json(project.lineage.edges(reference, down=down))
        return
    _say_lineage(project.lineage.tree(reference, down=down, with_bytes=with_bytes))


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


def _list(versions: Versions, as_json: bool) -> None:
    newest = versions.newest()
    if as_json:
        say_json(newest)
        return
    rows = []
    for version in newest:
        aliases = ", ".join(
            f"{alias}=@{target.number}" for alias, target in versions.aliases(version.name).items()
        )
        rows.append(
            (
                version.reference,
                f"b3:{version.digest[:12]}",
                show_size(version.size_bytes),
                aliases or "-",
                show_time(version.created_us),
                version.message,
            )
        )
    say_table(rows, ["newest", "digest", "size", "aliases", "made", "message"])


def _say_version(version: Version, versions: Versions) -> None:
    aliases = [alias for alias, target in versions.aliases(version.name).items() if target.id == version.id]
    say(f"{version.kind} {version.reference}{'  (' + ', '.join(aliases) + ')' if aliases else ''}")
    say(f"digest     b3:{version.digest}")
    say(f"size       {show_size(version.size_bytes)}")
    say(f"made       {show_time(version.created_us)}")
    if version.message:
        say(f"message    {version.message}")
