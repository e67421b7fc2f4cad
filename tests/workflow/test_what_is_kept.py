"""What a run keeps although something went another way: reports on reuse, words nobody reads, a lost log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.ids import RunId
from mlwright.tracking import series
from mlwright.workflow.detail import logs
from tests.conftest import COMMAND, Maker, mlwright
from tests.processes import until

Opener = Callable[[dict[str, str]], Project]

FILES = {
    "pipelines/p.py": """
    import math, os, time
    from pathlib import Path
    from mlwright import log_metric, log_param, pipeline, step

    @step
    def fit(rate: float) -> float:
        for epoch in range(3):
            log_metric("loss", rate / (epoch + 1), step=epoch)
        log_metric("odd", math.nan)
        log_param("solver", {"name": "sgd"})
        return rate

    @step
    def score(rate: float) -> float:
        if rate > 1:
            raise ValueError("too fast")
        return rate

    def count_up(name):
        for number in range(2500):
            log_metric(name, number / 2, step=number)

    @step
    def measures() -> int:
        count_up("parent")
        children = [os.fork(), 0]
        if children[0]:
            children[1] = os.fork()
        if not all(children):
            count_up("first child" if not children[0] else "second child")
            os._exit(0)
        for child in children:
            os.waitpid(child, 0)
        return 0

    @step
    def waits(mark: str) -> int:
        print("waiting")
        count_up("before")
        Path(mark).touch()
        while not Path(mark + ".go").exists():
            time.sleep(0.01)
        count_up("after")
        Path(mark + ".gone").touch()
        while True:
            time.sleep(0.01)

    @pipeline
    def training(rate: float = 0.5):
        score(fit(rate))

    @pipeline
    def measuring():
        measures()

    @pipeline
    def waiting(mark: str = ""):
        waits(mark)
    """
}


def test_a_reused_step_says_again_what_it_reported(opened: Opener) -> None:
    """Metrics, also those that are no number, and parameters are those of the run that reuses it, too."""
    project = opened(FILES)
    first, second = project.run("training"), project.run("training")

    assert {each.state.value for each in project.rooms.attempts.of_run(second.id)} == {"reused"}
    for run in (first, second):
        metrics = {each.name: repr(each.value) for each in project.runs.metrics(run.id)}
        assert metrics == {"loss": repr(0.5 / 3), "odd": "nan"}
        assert project.runs.logged_parameters(run.id) == {"solver": {"name": "sgd"}}


def series_of(project: Project, run: RunId, name: str) -> list[tuple[int, float]]:
    """Step and value of each point of a metric."""
    points, _ = series.history(project.rooms.database, run, name, limit=10_000)
    return [(point.step, point.value) for point in points]


ALL = [(number, number / 2) for number in range(2500)]


def test_each_value_of_a_metric_is_kept(opened: Opener) -> None:
    """What a step and the processes that it forked have logged is there, each value once."""
    project = opened(FILES)

    run = project.run("measuring")

    for name in ("parent", "first child", "second child"):
        assert series_of(project, run.id, name) == ALL


def test_what_a_lost_attempt_measured_is_kept(make_project: Maker, tmp_path: Path) -> None:
    """After `kill -9`, what was recorded while it ran is there once, and what was not is there too."""
    root = make_project(FILES)
    engine = start(root, tmp_path / "mark")
    with Project.open(root) as project:
        (run,) = project.runs.list()
        until(lambda: project.runs.metrics(run.id))

        engine.send_signal(signal.SIGSTOP)
        (tmp_path / "mark.go").touch()
        until((tmp_path / "mark.gone").exists)
        recorded = [each.name for each in project.runs.metrics(run.id)]
        engine.kill()
        engine.wait()

        until(lambda: project.runs.get(run.id).state.value == "lost")
        assert recorded == ["before"]
        assert series_of(project, run.id, "before") == series_of(project, run.id, "after") == ALL


@pytest.mark.parametrize("where", ["a closed pipe", "a full device"])
def test_a_run_goes_on_when_nobody_listens(make_project: Maker, where: str) -> None:
    """`| head` and a full disk behind the terminal end no run."""
    root = make_project(FILES)
    reader, writer = os.pipe()
    if where == "a full device":
        os.close(writer)
        writer = os.open("/dev/full", os.O_WRONLY)
    os.close(reader)

    subprocess.run([str(COMMAND), "run", "training"], cwd=root, stdout=writer, stderr=subprocess.DEVNULL)
    os.close(writer)

    (run,) = json.loads(mlwright("runs", "list", "--json", cwd=root).stdout)
    assert run["state"] == "succeeded"


def test_a_closed_terminal_cancels_the_run(make_project: Maker, tmp_path: Path) -> None:
    """SIGHUP is told as Ctrl-C is: cancelled, with exit code 129 and what was printed."""
    root = make_project(FILES)
    engine = start(root, tmp_path / "mark")

    engine.send_signal(signal.SIGHUP)

    assert engine.wait(timeout=60) == 129
    with Project.open(root) as project:
        (run,) = project.runs.list()
        assert run.state.value == "cancelled"
        assert [text for _, text in logs(project.rooms, run.id)] == ["waiting\n"]


def test_what_a_lost_attempt_printed_is_kept(make_project: Maker, tmp_path: Path) -> None:
    """After `kill -9`, whoever sees that the run is lost keeps its output."""
    root = make_project(FILES)
    engine = start(root, tmp_path / "mark")

    engine.kill()
    engine.wait()

    with Project.open(root) as project:
        (run,) = project.runs.list()
        assert run.state.value == "lost"
        assert [text for _, text in logs(project.rooms, run.id)] == ["waiting\n"]


def start(root: Path, mark: Path) -> subprocess.Popen[bytes]:
    """A run whose step is waiting; it makes `mark` when it does."""
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and by our children too
    try:
        engine = subprocess.Popen(
            [str(COMMAND), "run", "waiting", "-p", f"mark={mark}"],
            cwd=root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    finally:
        signal.signal(signal.SIGHUP, ours)
    until(mark.exists)
    until(lambda: recorded(root))
    return engine


def recorded(root: Path) -> bool:
    """Whether the attempt has its row."""
    with Project.open(root) as project:
        runs = project.runs.list()
        return bool(runs) and bool(project.rooms.attempts.of_run(runs[0].id))
