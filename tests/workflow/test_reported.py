"""Runs that are reported from outside stand beside ours: they are shown, and never executed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import Invalid
from mlwright.kernel.ids import new_id
from mlwright.tracking import Input, Metric, Point, Reports, Run, RunState
from mlwright.workflow.bundle import bundle_of
from mlwright.workflow.cancel import cancel, plan_end
from mlwright.workflow.compare import compare_runs
from mlwright.workflow.profile import profile
from mlwright.workflow.reproduce import plan_reproduction
from tests.conftest import mlwright

Opener = Callable[[dict[str, str]], Project]

LOGS = """
    from mlwright import log_metric, pipeline, step

    @step
    def fit() -> int:
        for number in range(1500):
            log_metric("loss", 1 / (number + 1), step=number)
        return 1

    @pipeline
    def training():
        fit()
"""


def reported(project: Project, name: str, value: float) -> Run:
    """A run that a client has reported, from its begin to its end."""
    reports = Reports()
    with project.rooms.database.transaction() as tx:
        run = reports.begin(tx, experiment=0, name=name, started_us=2**62, tags={"team": "a\nb"})
        points = [Point("auc", value, step, step) for step in range(3)]
        reports.log(tx, run.id, points=points, params=[("trees", "100")])
        reports.log_inputs(tx, run.id, [Input("iris", "d41d8cd9", "local", "{}")])
        return reports.update(tx, run.id, state=RunState.SUCCEEDED, finished_us=2**62 + 1)


def test_it_is_shown_as_far_as_it_is_known(opened: Opener) -> None:
    """In the list, alone, and beside another; a moment of no calendar is no reason to fail."""
    project = opened({})
    first, second = reported(project, "first", 0.5), reported(project, "second", math.nan)

    listed = mlwright(
        "runs", "list", "--kind", "reported", "--metric", "auc>0.1", cwd=project.rooms.project.root
    )
    shown = mlwright("runs", "show", first.id, cwd=project.rooms.project.root)
    compared = compare_runs(project.rooms, first.id, second.id)

    assert (listed.returncode, shown.returncode) == (0, 0)
    assert "first" in listed.stdout and "second" not in listed.stdout
    assert f"run {first.id} of reported first: succeeded" in shown.stdout
    assert "trees" in shown.stdout and "auc" in shown.stdout
    assert "seed" not in shown.stdout
    assert "  team  a\\nb\n" in shown.stdout
    assert "  iris  d41d8cd9  local\n" in shown.stdout
    assert [each.name for each in compared.metrics] == ["auc"]


def test_it_cannot_be_executed_here(opened: Opener) -> None:
    """Whoever wants it ended, continued, made again or carried away is told why that is not possible."""
    project = opened({})
    run = reported(project, "first", 0.5)
    rooms = project.rooms

    verbs: dict[str, Callable[[], object]] = {
        "resumed": lambda: project.pipelines.resume(run.id),
        "made again": lambda: plan_reproduction(rooms, run.id),
        "exported": lambda: bundle_of(rooms, run.id),
        "profiled": lambda: profile(rooms, run.id),
        "cancelled": lambda: cancel(rooms, run.id),
    }

    for word, verb in verbs.items():
        with pytest.raises(Invalid, match=f"was reported from outside: it cannot be {word} here"):
            verb()
    with pytest.raises(Invalid, match="was reported from outside"):
        plan_end(rooms.runs.get(run.id))


def test_however_many_are_reported_a_living_run_keeps_its_place(opened: Opener) -> None:
    """What our own run has on disk stays while it goes on, also among very many reported ones that do."""
    project = opened({"pipelines/p.py": LOGS})
    rooms = project.rooms
    with rooms.database.transaction() as tx:
        own, _ = rooms.runs.begin(tx, project="p", pipeline="p", seed=0, parameters={}, pins={})
        other = Reports().begin(tx, experiment=0, name="r", started_us=2**62, tags={})
        row = tx.read("SELECT * FROM run WHERE id = :id", id=other.id)[0]
        columns = [*row.keys()]
        add = f"INSERT INTO run ({', '.join(columns)}) VALUES ({', '.join(f':{each}' for each in columns)})"
        same = {each: row[each] for each in columns}
        tx.execute_many(add, [same | {"id": new_id()} for _ in range(10_000)])
    scratch = rooms.workspace.scratch / own.id
    scratch.mkdir(parents=True)

    project.run("training")

    assert scratch.exists()


def test_verify_and_a_backup_take_all_that_was_reported(opened: Opener, tmp_path: Path) -> None:
    """A copy of the records has the series, open and sealed; nothing of it is a fault."""
    project = opened({})
    run = reported(project, "first", 0.5)
    with project.rooms.database.transaction() as tx:
        long = [Point("loss", 1 / (step + 1), step, step) for step in range(2500)]
        Reports().log(tx, run.id, points=long)

    project.rooms.database.copy(tmp_path / "copy.db")

    copied = type(project.rooms.database)(tmp_path / "copy.db")  # type: ignore[call-arg]
    assert project.verify().faults == ()
    assert len(type(project.runs)(copied).history(run.id, "loss")[0]) == 2500
    assert len(type(project.runs)(copied).history(run.id, "auc")[0]) == 3
    copied.close()


def test_what_a_step_logs_is_a_series(opened: Opener) -> None:
    """Every value of it can be asked for, drawn and read by a program; its bundle has the last one."""
    project = opened({"pipelines/p.py": LOGS})
    run = project.run("training")

    root = project.rooms.project.root
    table = mlwright("runs", "metrics", "latest", cwd=root)
    drawn = mlwright("runs", "metrics", "latest", "loss", cwd=root)
    few = mlwright("runs", "metrics", "latest", "loss", "--points", "10", "--json", cwd=root)
    unknown = mlwright("runs", "metrics", "latest", "los", cwd=root)

    assert run.state is RunState.SUCCEEDED
    found, _ = project.runs.history(run.id, "loss")
    assert [(point.step, point.value) for point in found] == [(step, 1 / (step + 1)) for step in range(1500)]
    assert table.stdout.split()[:6] == ["METRIC", "LAST", "STEP", "REPORTED", "loss", "0.000666667"]
    assert "step 0" in drawn.stdout and "step 1499" in drawn.stdout and "•" in drawn.stdout
    sampled = json.loads(few.stdout)
    assert (len(sampled) <= 10, sampled[0]["value"], sampled[-1]["step"]) == (True, 1.0, 1499)
    assert unknown.returncode == 3
    assert "has no metric 'los'" in unknown.stderr and "did you mean `loss`?" in unknown.stderr
    (value,) = bundle_of(project.rooms, run.id).metrics
    assert project.runs.metrics(run.id) == [Metric("loss", 1 / 1500, 1499, value.at_us)]
