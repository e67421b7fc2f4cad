"""Scripts and notebooks as runs: recorded, in a copy of the project, and made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from mlwright.app import Project
from mlwright.kernel import leases
from mlwright.kernel.errors import Invalid, NotFound, WorkFailed
from mlwright.workflow.compare import compare_runs
from mlwright.workflow.detail import logs, run_detail
from tests.conftest import Maker, mlwright

Opener = Callable[[dict[str, str]], Project]

TRAIN = """
    import sys
    from pathlib import Path

    from lib.numbers import double
    from mlwright import log_artifact, log_metric, log_param

    epochs = int(sys.argv[sys.argv.index("--epochs") + 1])
    log_param("rate", 0.1)
    log_metric("loss", 1 / epochs)
    log_artifact([1, 2], "history")
    print("read", Path("data/numbers.txt").read_text().strip())
    Path("out").mkdir()
    Path("out/model.txt").write_text(str(double(epochs)))
    if epochs == 13:
        raise ValueError("no thirteen")
    if epochs == 14:
        sys.exit(3)
"""
FILES = {
    "train.py": TRAIN,
    "lib/numbers.py": "def double(value):\n    return 2 * value\n",
    "lib/__init__.py": "",
    "data/numbers.txt": "1 2 3\n",
    "pipelines/.keep": "",
}


def notebook(*cells: str, parameters: str | None = None) -> str:
    """A notebook's text."""
    tagged = [] if parameters is None else [(parameters, ["parameters"])]
    made = [
        {
            "cell_type": "code",
            "metadata": {"tags": tags},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for source, tags in [*tagged, *((cell, []) for cell in cells)]
    ]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def project(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a script, opened in its own folder."""
    made = opened(FILES)
    monkeypatch.chdir(made.root)
    return made


def test_a_script_is_a_run_with_everything_recorded(project: Project) -> None:
    """Arguments, parameters, metrics, what it printed, what it wrote and logged; the project is untouched."""
    run = project.run("train.py", "--epochs", "4")

    (attempt,) = run_detail(project.rooms, run.id).attempts
    (told,) = logs(project.rooms, run.id)
    assert (run.kind, run.pipeline, run.state.value) == ("script", "train.py", "succeeded")
    assert project.runs.parameters(run.id) == {"arguments": ["--epochs", "4"]}
    assert project.runs.logged_parameters(run.id) == {"rate": 0.1}
    assert {metric.name: metric.value for metric in project.runs.metrics(run.id)} == {"loss": 0.25}
    assert project.rooms.objects.get(attempt.outputs["out/model.txt"].digest) == b"8"
    assert told[1] == "read 1 2 3\n"
    assert not (project.root / "out").exists()


def test_a_script_runs_every_time_and_is_made_again(project: Project) -> None:
    """Nothing of it is reused; a reproduction compares what it wrote and logged."""
    first, second = project.run("train.py", "--epochs", "4"), project.run("train.py", "--epochs", "4")

    again = project.reproduce(second.id)

    assert [each.state.value for each in project.rooms.attempts.of_run(second.id)] == ["succeeded"]
    assert first.id != second.id
    assert again.identical
    assert {(each.node, each.output) for each in again.comparisons} == {
        ("train", "out/model.txt"),
        ("train", "logged:history"),
        ("metric", "loss"),
    }


def test_a_script_that_fails_keeps_what_it_wrote(project: Project) -> None:
    """The error names the place in the user's file; files and metrics from before are there."""
    with pytest.raises(WorkFailed, match="ValueError: no thirteen") as raised:
        project.run("train.py", "--epochs", "13")
    with pytest.raises(WorkFailed, match="exit status 3"):
        project.run("train.py", "--epochs", "14")

    run = project.runs.list()[1]
    (attempt,) = run_detail(project.rooms, run.id).attempts
    assert str(raised.value.where).startswith("train.py:")
    assert "out/model.txt" in attempt.outputs
    assert [metric.name for metric in project.runs.metrics(run.id)] == ["loss"]


def test_what_a_script_wrote_is_compared_also_when_it_failed(project: Project) -> None:
    """`runs diff` shows what two runs left behind, however they ended."""
    project.run("train.py", "--epochs", "4")
    with pytest.raises(WorkFailed):
        project.run("train.py", "--epochs", "13")

    found = compare_runs(project.rooms, "latest~1", "latest")

    assert {each.output: each.verdict for each in found.outputs} == {
        "out/model.txt": "different",
        "logged:history": "identical",
    }


def test_a_script_that_did_not_succeed_is_begun_again(project: Project) -> None:
    """Nothing of it could be continued: the hint says so, whether it failed or was lost."""
    with pytest.raises(WorkFailed) as raised:
        project.run("train.py", "--epochs", "13")
    failed = project.runs.get("latest")
    with project.rooms.database.transaction() as tx:
        run, lease = project.runs.begin(
            tx, project="small", pipeline="train.py", seed=0, parameters={}, pins={}, kind="script"
        )
        leases.release(tx, lease)
    lost = project.runs.get("latest")

    assert raised.value.hint == f"fix it, then run it again: mlwright runs resume {failed.id[:10]}"
    assert (lost.id, lost.state.value) == (run.id, "lost")
    assert (lost.error or {})["hint"] == f"run it again: mlwright runs resume {run.id[:10]}"


def test_a_script_is_resumed_by_running_it_again(project: Project) -> None:
    """With the same arguments, and the code of today."""
    with pytest.raises(WorkFailed):
        project.run("train.py", "--epochs", "13")
    (project.root / "train.py").write_text(dedent(TRAIN).replace("== 13", "== 12"))

    again, error = project.pipelines.run(project.pipelines.resume("latest"))

    assert (again.state.value, error) == ("succeeded", None)
    assert project.runs.parameters(again.id) == {"arguments": ["--epochs", "13"]}


def test_a_notebook_is_run_cell_by_cell_with_its_parameters(project: Project) -> None:
    """What is set in its tagged cell can be given; the executed notebook is an output."""
    cells = ("from mlwright import log_metric\nlog_metric('n', n)", "print(name)\nn * 2")
    text = notebook(*cells, parameters="n = 1\nname = 'one'")
    (project.root / "report.ipynb").write_text(text)

    run = project.run("report.ipynb", n=5, name="7")

    (attempt,) = run_detail(project.rooms, run.id).attempts
    executed = json.loads(project.rooms.objects.get(attempt.outputs["notebook"].digest))
    last = executed["cells"][-1]["outputs"]
    assert run.kind == "notebook"
    assert project.runs.parameters(run.id) == {"n": 5, "name": "7"}
    assert {metric.name: metric.value for metric in project.runs.metrics(run.id)} == {"n": 5}
    assert [output.get("data", {}).get("text/plain", output.get("text")) for output in last] == ["7\n", "10"]


def test_a_notebook_that_fails_keeps_what_was_executed(project: Project) -> None:
    """The error names the cell, and the executed notebook shows it."""
    (project.root / "report.ipynb").write_text(notebook("x = 1", "x = 1\nx / 0"))

    with pytest.raises(WorkFailed, match="ZeroDivisionError") as raised:
        project.run("report.ipynb")

    (attempt,) = run_detail(project.rooms, project.runs.list()[0].id).attempts
    executed = json.loads(project.rooms.objects.get(attempt.outputs["notebook"].digest))
    assert "report.ipynb cell 2" in str(raised.value.where)
    assert executed["cells"][-1]["outputs"][-1]["ename"] == "ZeroDivisionError"


def test_what_cannot_be_run_is_said_before_anything_is_recorded(project: Project, tmp_path: Path) -> None:
    """A missing script, one outside the project, arguments for a pipeline, an unknown notebook parameter."""
    (tmp_path / "outside.py").write_text("")
    (project.root / "report.ipynb").write_text(notebook("1", parameters="depth = 1"))

    with pytest.raises(NotFound, match=r"there is no script absent\.py"):
        project.run("absent.py")
    with pytest.raises(Invalid, match="lies outside the project"):
        project.run(str(tmp_path / "outside.py"))
    with pytest.raises(Invalid, match="a pipeline has no arguments"):
        project.run("single", "--epochs")
    with pytest.raises(Invalid, match="dept"):
        project.run("report.ipynb", dept=2)

    assert project.runs.list() == []


def test_the_rest_of_the_line_is_the_script_s(make_project: Maker) -> None:
    """Options behind a script are its own, also those that mlwright has; options before it are mlwright's."""
    echo = "import sys\nprint(sys.argv[1:])\n"
    root = make_project({"echo.py": echo, "pipelines/.keep": "", "deep/.keep": ""})

    done = mlwright("run", "--seed", "7", "echo.py", "--seed", "8", "-p", "x=1", "--json", cwd=root)
    dashed = mlwright("run", "echo.py", "--", "-x", cwd=root)
    below = mlwright("run", "../echo.py", "y", cwd=root / "deep")
    shown = [mlwright("runs", "logs", run, cwd=root).stdout for run in runs(root)]

    assert (done.returncode, dashed.returncode, below.returncode) == (0, 0, 0), done.stderr + below.stderr
    assert shown == [
        "echo | ['y']\n",
        "echo | ['-x']\n",
        "echo | ['--seed', '8', '-p', 'x=1', '--json']\n",
    ]
    listed = json.loads(mlwright("runs", "list", "--json", cwd=root).stdout)
    assert [each["seed"] for each in listed] == [0, 0, 7]


def runs(root: Path) -> list[str]:
    """The ids of all runs, the newest first."""
    return [each["id"] for each in json.loads(mlwright("runs", "list", "--json", cwd=root).stdout)]
