"""Doors: `environments try|bisect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlwright.kernel.errors import WorkFailed
from mlwright.kernel.ids import short
from mlwright.kernel.words import counted
from mlwright.terminal import command, say, say_json, say_plan, say_table

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.environments import Proposal
    from mlwright.workflow.culprit import Culprit
    from mlwright.workflow.trials import Trial

_SECTIONS = {"environment", "metrics", "outputs", "took"}


@command("try", example='mlwright environments try "scikit-learn>=1.8"', changes=True)
@click.argument("requirements", nargs=-1, required=True, metavar="REQUIREMENT...")
@click.option(
    "--environment",
    default="",
    metavar="NAME",
    help="The group or extra that asks; the project's own if none.",
)
@click.option(
    "--pipeline",
    default="",
    metavar="NAME",
    help="What to run; by default what succeeded last, with the same parameters.",
)
def try_packages(
    project: Project,
    requirements: tuple[str, ...],
    environment: str,
    pipeline: str,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Try other packages aside: the tests and a pipeline run there, and what changes is told.

    The project stays as it is. `environments add` takes what was tried.
    """
    from mlwright.workflow.screen import watching

    proposal = project.environments.changes.plan_add(requirements, environment)
    if dry_run:
        say_plan(proposal.plan, as_json)
        return
    with watching(quiet=as_json) as watcher:
        trial = project.try_proposal(proposal, pipeline, watcher)
    if as_json:
        say_json({"packages": proposal.packages, "trial": trial})
    else:
        _say_trial(trial)
        if trial.passed:
            asked = " ".join(f'"{each}"' for each in requirements)
            where = f" --environment {environment}" if environment else ""
            say(f"take it: mlwright environments add {asked}{where}")
    if not trial.passed:
        raise click.exceptions.Exit(1)


def try_first(project: Project, proposal: Proposal, *, quiet: bool) -> None:
    """Try a change aside before it is made.

    Raises:
        WorkFailed: something broke there, or nothing was run; nothing was changed.
    """
    from mlwright.workflow.screen import watching

    with watching(quiet=quiet) as watcher:
        trial = project.try_proposal(proposal, watcher=watcher)
    if not quiet:
        _say_trial(trial)
    if not trial.ran:
        raise WorkFailed(
            f"{proposal.title} was not tried: no tests are found, and no pipeline has succeeded yet",
            hint="nothing was changed; run a pipeline first, or leave out --try",
        )
    if not trial.passed:
        raise WorkFailed(
            f"{proposal.title} breaks the project: {trial.error or 'its tests fail'}",
            hint=f"nothing was changed; it was tried in {trial.folder}",
        )


def _say_trial(trial: Trial) -> None:
    """Print what changed in the place aside, and whether anything broke there."""
    from mlwright.workflow.sections import comparison_sections

    say(f"tests  {trial.tested.verdict}")
    if trial.tested.verdict != "passed":
        say("\n".join(f"  {line}" for line in trial.tested.told.splitlines()))
    if not trial.ran:
        say("nothing was run: no pipeline has succeeded yet (name one: --pipeline NAME)")
        return
    if trial.comparison is None and trial.error is None:
        say("no pipeline has succeeded yet: only the tests were run (name one: --pipeline NAME)")
    elif trial.comparison is not None:
        for section in comparison_sections(trial.comparison):
            if section.title in _SECTIONS and (section.rows or section.more):
                say(section.title)
                if section.rows:
                    say_table(section.rows, section.head, indent="  ")
                for line in section.more:
                    say(f"  {line}")
    if trial.warnings:
        say("new warnings")
        for warning in trial.warnings:
            say(f"  {warning}")
    if trial.error is not None:
        say(f"the pipeline fails there: {trial.error.message}")
    say(f"it was tried in {trial.folder}")
    say("nothing broke" if trial.passed else "it breaks")


@command("bisect", example="mlwright environments bisect 01JD8 latest", changes=True)
@click.argument("good", metavar="GOOD_RUN")
@click.argument("bad", metavar="BAD_RUN")
def bisect(project: Project, good: str, bad: str, as_json: bool, dry_run: bool) -> None:
    """Find the one package whose other version changed a result.

    GOOD_RUN is made again, aside, with locks between those of the two runs: code, data and parameters are
    its own.
    """
    from mlwright.workflow.culprit import plan_bisection
    from mlwright.workflow.screen import watching

    if dry_run:
        say_plan(plan_bisection(project.rooms, good, bad), as_json)
        return
    with watching(quiet=as_json) as watcher:
        found = project.find_culprit(good, bad, watcher)
    if as_json:
        say_json(found)
    else:
        _say_culprit(found)
    if not found.suspects:
        raise click.exceptions.Exit(1)


def _say_culprit(found: Culprit) -> None:
    say(
        f"between run {short(found.good.id)} and run {short(found.bad.id)}"
        f" {counted(found.differing, 'package')} differ{'s' if found.differing == 1 else ''}"
    )
    if not found.output:
        say("with the packages of the later run all outputs are the same: the cause is elsewhere")
        say(f"look what else differs: mlwright runs diff {short(found.good.id)} {short(found.bad.id)}")
        return
    say(f"what changes: {found.output}")
    for each in found.tried:
        why = f", {each.why}" if each.why else ""
        say(f"  {counted(each.changed, 'package')} changed: {each.outcome}{why}")
    for suspect in found.suspects:
        say(f"{suspect.name} {suspect.shown}")
    if len(found.suspects) > 1:
        say("one of these: what lies between cannot be had")
    elif found.alone == "different":
        say("alone it changes the result, too")
    elif found.alone == "same":
        say("alone it changes nothing: it takes others that differ, too")
    else:
        say("alone it cannot be had: it needs others that differ, too")
