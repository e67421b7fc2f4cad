"""`runs cancel`: somebody else's run is asked to end, and one sees that it does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import Conflict, TimedOut
from mlwright.tracking import RunState
from mlwright.workflow.cancel import cancel, plan_end
from tests.conftest import COMMAND, Maker, mlwright
from tests.happened import happened
from tests.processes import until

Opener = Callable[[dict[str, str]], Project]

ENDLESS = """
    import time
    from pathlib import Path
    from mlwright import pipeline, step

    @step
    def endless(mark: str) -> int:
        Path(mark).touch()
        while True:
            time.sleep(0.01)

    @pipeline
    def waiting(mark: str):
        endless(mark)
"""


@pytest.fixture
def running(make_project: Maker, tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A run in the background that never ends by itself."""
    root = make_project({"pipelines/p.py": ENDLESS})
    mark = tmp_path / "begun"
    engine = subprocess.Popen(
        [str(COMMAND), "run", "waiting", "-p", f"mark={mark}"],
        cwd=root,
        env={**os.environ, "CI": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(mark.exists)
    yield root, engine
    if engine.poll() is None:
        engine.kill()
    engine.communicate()


def test_a_run_elsewhere_is_ended_and_its_end_is_waited_for(
    running: tuple[Path, subprocess.Popen[str]],
) -> None:
    """The command returns when the run has ended as cancelled; its process exits 143, its step is stopped."""
    root, engine = running

    done = mlwright("runs", "cancel", "latest", cwd=root)

    _, errors = engine.communicate(timeout=30)
    with Project.open(root) as project:
        run = project.runs.get("latest")
        (attempt,) = project.rooms.attempts.of_run(run.id)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"run {run.id[:10]} cancelled\n"
    assert (run.state, attempt.state) == (RunState.CANCELLED, "cancelled")
    assert engine.returncode == 143
    assert "was cancelled" in errors


def test_a_dry_run_shows_what_would_end_and_ends_nothing(
    running: tuple[Path, subprocess.Popen[str]],
) -> None:
    """The plan names the run; it goes on, and nothing was asked of it."""
    root, engine = running

    done = mlwright("runs", "cancel", "latest", "--dry-run", cwd=root)

    with Project.open(root) as project:
        run = project.runs.get("latest")
    assert done.stdout.splitlines()[0] == f"plan: end of run {run.id[:10]}"
    assert (run.state, run.wanted) == (RunState.RUNNING, None)
    assert engine.poll() is None


def test_a_run_that_has_ended_is_refused(opened: Opener, tmp_path: Path) -> None:
    """It says how the run ended, with exit code 4."""
    files = {"pipelines/p.py": ENDLESS.replace("while True", "while False")}
    project = opened(files)
    run = project.run("waiting", mark=str(tmp_path / "mark"))

    done = mlwright("runs", "cancel", run.id, cwd=project.root)

    assert done.returncode == 4
    assert f"run {run.id[:10]} has ended already: succeeded" in done.stderr
    with pytest.raises(Conflict):
        plan_end(project.runs.get("latest"))


def begun(project: Project) -> str:
    """A run that this process owns, and does not look after."""
    with project.rooms.database.transaction() as tx:
        run, _ = project.runs.begin(tx, project="small", pipeline="p", seed=0, parameters={}, pins={})
    return run.id


def test_without_waiting_it_is_only_asked_for(opened: Opener) -> None:
    """The answer is the run as it stands: running, and wanted cancelled; a second time says so."""
    project = opened({})
    identity = begun(project)

    run = cancel(project.rooms, identity, within_s=None)

    assert (run.state, run.wanted) == (RunState.RUNNING, "cancelled")
    assert happened(project.rooms.database)[-1].verb == "run.cancel-asked"
    assert plan_end(project.runs.get(identity)).changes[0].why == "asked for already"


def test_a_run_that_does_not_end_in_time_is_said_to_be_running(opened: Opener) -> None:
    """Nobody waits for ever for an engine that does not answer."""
    project = opened({})
    identity = begun(project)

    with pytest.raises(TimedOut, match=r"has not ended within 0 s") as refusal:
        cancel(project.rooms, identity, within_s=0.0)

    assert refusal.value.exit_code == 124
    assert f"mlwright runs show {identity[:10]}" in (refusal.value.hint or "")
