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
from mlwright.workflow.detail import logs
from tests.conftest import COMMAND, Maker, mlwright
from tests.processes import until

Opener = Callable[[dict[str, str]], Project]

FILES = {
    "pipelines/p.py": """
    import math, time
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

    @step
    def waits(mark: str) -> int:
        print("waiting")
        Path(mark).touch()
        while True:
            time.sleep(0.01)

    @pipeline
    def training(rate: float = 0.5):
        score(fit(rate))

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
    engine = subprocess.Popen(
        [str(COMMAND), "run", "waiting", "-p", f"mark={mark}"],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(mark.exists)
    until(lambda: recorded(root))
    return engine


def recorded(root: Path) -> bool:
    """Whether the attempt has its row."""
    with Project.open(root) as project:
        runs = project.runs.list()
        return bool(runs) and bool(project.rooms.attempts.of_run(runs[0].id))
