"""The inline executor in whole runs: steps in this process, so that a debugger stops in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import Invalid, WorkFailed
from tests.conftest import Maker, mlwright

Opener = Callable[[dict[str, str]], Project]

FILES = {
    "pipelines/p.py": """
    import os, sys
    from mlwright import log_metric, pipeline, step

    @step
    def who(number: int) -> list[int]:
        log_metric("number", number)
        print("in", number)
        return [os.getpid(), number]

    @step
    def fails() -> int:
        raise ValueError("here")

    @step
    def stops() -> int:
        breakpoint()
        return 1

    @pipeline
    def whos():
        who.map([1, 2])

    @pipeline
    def failing():
        fails()

    @pipeline
    def stopping():
        stops()
    """
}


def test_steps_run_in_this_process_and_are_recorded(
    opened: Opener, capfd: pytest.CaptureFixture[str]
) -> None:
    """Outputs and metrics as always; what a step prints goes to the terminal."""
    project = opened(FILES)
    before = (Path.cwd(), list(sys.path))

    run = project.run("whos", executor="inline")

    attempts = project.rooms.attempts.of_run(run.id)
    values = [
        project.rooms.objects.get(made.digest)
        for attempt in attempts
        for made in _outputs(project, attempt.id).values()
    ]
    assert values == [f"[{os.getpid()},{number}]".encode() for number in (1, 2)]
    assert {attempt.worker for attempt in attempts} == {"inline"}
    assert [metric.name for metric in project.runs.metrics(run.id)] == ["number"]
    assert capfd.readouterr().out == "in 1\nin 2\n"
    assert (Path.cwd(), list(sys.path)) == before


def test_what_was_made_inline_is_not_reused(opened: Opener) -> None:
    """This process has another hash seed and other threads; what workers made is reused here."""
    project = opened(FILES)
    project.run("whos", executor="inline")

    second = project.run("whos")
    third = project.run("whos", executor="inline")

    assert {each.state.value for each in project.rooms.attempts.of_run(second.id)} == {"succeeded"}
    assert {each.state.value for each in project.rooms.attempts.of_run(third.id)} == {"reused"}


def test_changed_code_is_imported_anew(opened: Opener) -> None:
    """A second run in the same process runs what is there then."""
    project = opened(FILES)
    with pytest.raises(WorkFailed, match="here"):
        project.run("failing", executor="inline")

    module = project.root / "pipelines" / "p.py"
    module.write_text(module.read_text().replace('raise ValueError("here")', "return 1"))

    assert project.run("failing", executor="inline").state.value == "succeeded"


def test_a_debugger_stops_in_a_step(make_project: Maker) -> None:
    """`breakpoint()` reads from the terminal that typed the command, and the run goes on from there."""
    root = make_project(FILES)

    done = mlwright("run", "stopping", "--executor", "inline", cwd=root, PYTHONBREAKPOINT="builtins.print")

    assert done.returncode == 0, done.stderr


def test_an_unknown_executor_is_refused(opened: Opener) -> None:
    """With the nearest name; nothing is recorded."""
    project = opened(FILES)

    with pytest.raises(Invalid, match="there is no executor `inlin`") as raised:
        project.run("whos", executor="inlin")

    assert "inline" in str(raised.value.hint)
    assert project.runs.list() == []


def _outputs(project: Project, attempt: str) -> dict[str, object]:
    from mlwright.versioning import artifacts_of

    return artifacts_of(project.rooms.database, attempt)  # type: ignore[return-value]
