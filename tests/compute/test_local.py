"""Worker processes on this machine: the exam, and what is particular to processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mlwright.compute import Executor, LocalExecutor, Place, Task
from mlwright.kernel.errors import Unavailable
from mlwright.sdk.frames import Frame
from tests.exams.executor import Asking, ExecutorExam, all_of, one, value_of
from tests.processes import alive, start_python, until

Opener = Callable[[int], Executor]


def script(path: Path, *lines: str) -> Path:
    """An executable that is no Python."""
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
    return path


class TestLocalExecutor(ExecutorExam):
    """Processes of this interpreter."""

    @pytest.fixture
    def place(self, code: Path) -> Place:
        """This interpreter."""
        return Place(Path(sys.executable), code)

    @pytest.fixture
    def open_executor(self) -> Iterator[Opener]:
        """Opens one; it is closed after the test."""
        opened: list[LocalExecutor] = []

        def open_one(slots: int) -> LocalExecutor:
            opened.append(LocalExecutor(slots))
            return opened[-1]

        yield open_one
        for each in opened:
            each.close()

    def test_a_worker_is_used_again_at_its_place(
        self, open_executor: Opener, ask: Asking, place: Place
    ) -> None:
        """The same process answers two tasks at one place; another place has its own."""
        executor = open_executor(2)

        pids = [one(executor, ask("who", at=at)) for at in (place, place, replace(place, cpus=2), place)]

        assert pids[0] == pids[1] == pids[3] != pids[2]

    def test_an_idle_worker_makes_room_for_another_place(
        self, open_executor: Opener, ask: Asking, place: Place
    ) -> None:
        """With every slot taken by an idle worker, one of them is ended."""
        executor = open_executor(1)
        first = one(executor, ask("who"))

        second = one(executor, ask("who", at=replace(place, cpus=2)))

        assert second != first
        until(lambda: not alive(first))

    def test_an_idle_worker_that_died_is_replaced(self, open_executor: Opener, ask: Asking) -> None:
        """Killed while nobody asked it anything, it costs no task, or one that says how it died."""
        executor = open_executor(1)
        pid = one(executor, ask("who"))
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid))

        executor.submit(ask("who"))
        (report,) = all_of(executor, 1).values()

        if report.state == "died":
            assert "SIGKILL" in report.head["cause"]
            assert one(executor, ask("who")) != pid
        else:
            assert value_of(report) != pid

    def test_ten_megabytes_of_words_are_no_hindrance(
        self, open_executor: Opener, ask: Asking, tmp_path: Path
    ) -> None:
        """What a task prints goes to its log, by whichever way, and does not fill any pipe."""
        executor = open_executor(1)
        size = 5_000_000

        assert one(executor, ask("floods", size=size)) == size

        log = (tmp_path / "scratch-1" / "log.txt").read_bytes()
        assert (log.count(b"x"), log.count(b"y")) == (size, size)
        assert b"from a child\n" in log
        assert one(executor, ask("says", text="quiet")) == 5
        assert (tmp_path / "scratch-2" / "log.txt").read_text() == "quietquiet\n"

    def test_a_missing_interpreter_is_said_and_the_task_is_not_taken(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """Unavailable with the path and a hint; the executor works on."""
        executor = open_executor(1)
        (tmp_path / "not executable").touch()

        for name in ("missing", "not executable"):
            with pytest.raises(Unavailable, match="the interpreter of an environment is missing") as raised:
                executor.submit(ask("who", at=replace(place, python=tmp_path / name)))
            assert raised.value.where == str(tmp_path / name)
            assert raised.value.hint

        assert executor.wait(0.01) == []
        assert one(executor, ask("double", value=1)) == 2

    def test_an_interpreter_that_is_gone_when_its_turn_comes_is_reported(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """A task that waited for a slot is reported as died, with the reason; those behind it run."""
        executor = open_executor(1)
        python, go = script(tmp_path / "python", f'exec {sys.executable} "$@"'), tmp_path / "go"
        executor.submit(ask("holds", mark=str(tmp_path / "mark"), go=str(go)))
        waiting = ask("who", at=replace(place, python=python))
        executor.submit(waiting)
        behind = ask("double", value=3)
        executor.submit(behind)
        python.unlink()
        go.touch()

        reports = all_of(executor, 3)

        assert reports[waiting.id].state == "died"
        assert "interpreter: No such file" in reports[waiting.id].head["cause"]
        assert value_of(reports[behind.id]) == 6

    @pytest.mark.parametrize("size", [10, 5_000_000])
    def test_what_is_no_interpreter_dies_with_its_last_words(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path, size: int
    ) -> None:
        """A program that ends before it read its task, however large, is reported with what it said."""
        executor = open_executor(1)
        python = script(tmp_path / "python", "echo broken installation >&2", "exit 3")
        task = ask("who", at=replace(place, python=python))

        executor.submit(replace(task, frame=Frame(task.frame.head, (b"x" * size,))))
        (report,) = all_of(executor, 1).values()

        assert (report.state, report.head["cause"]) == ("died", "its process ended itself with status 3")
        assert report.head["words"] == "broken installation"

    def test_an_interpreter_that_never_answers_is_ended_at_its_time(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """A time-out needs no help from the worker."""
        executor = open_executor(1)
        python = script(tmp_path / "python", f"echo $$ > {tmp_path}/pid", "exec sleep 1000")
        executor.submit(ask("who", at=replace(place, python=python), timeout_s=0.5))

        (report,) = all_of(executor, 1).values()

        assert report.state == "timed out"
        until(lambda: not alive(int((tmp_path / "pid").read_text())))

    def test_a_worker_runs_the_same_for_everybody(
        self, open_executor: Opener, ask: Asking, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Variables that change how Python runs are left out, threads follow the processors, others pass."""
        monkeypatch.setenv("PYTHONPATH", "/elsewhere")
        monkeypatch.setenv("PYTHONHASHSEED", "77")
        monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
        monkeypatch.setenv("OMP_NUM_THREADS", "64")
        monkeypatch.setenv("TOKEN_OF_THEIRS", "passes")
        task = ask("variables", at=replace(place, cpus=3))

        seen = one(open_executor(1), task)

        assert {name for name in seen if name.startswith("PYTHON")} == {"PYTHONHASHSEED"}
        assert (seen["PYTHONHASHSEED"], seen["OMP_NUM_THREADS"], seen["OPENBLAS_NUM_THREADS"]) == (
            "0",
            "3",
            "3",
        )
        assert "VIRTUAL_ENV" not in seen
        assert seen["TOKEN_OF_THEIRS"] == "passes"

    def test_nobody_is_left_of_an_executor_whose_process_was_killed(
        self, place: Place, tmp_path: Path
    ) -> None:
        """`kill -9` of the engine ends its workers, working or idle."""
        code = """
            import json, sys
            from pathlib import Path
            from mlwright.compute import LocalExecutor, Place, Task
            from mlwright.sdk.frames import Frame

            python, code, scratch = map(Path, sys.argv[1:])
            executor = LocalExecutor(2)
            def submit(number, function, **values):
                arguments = {name: {"kind": "value", "value": value} for name, value in values.items()}
                head = {"id": str(number), "op": "execute", "step": f"tasks:{function}", "node": function,
                        "seed": 0, "scratch": str(scratch / str(number)), "arguments": arguments}
                executor.submit(Task(str(number), Place(python, code), Frame(head)))
            submit(1, "who")
            submit(2, "holds", mark=str(scratch / "mark"), go=str(scratch / "never"))
            (report,) = executor.wait()
            print(json.loads(report.parts[0]), flush=True)
            executor.wait()
        """
        engine = start_python(code, place.python, place.code, tmp_path)
        assert engine.stdout is not None
        idle = int(engine.stdout.readline())
        until((tmp_path / "mark").exists)
        until((tmp_path / "mark").read_text)
        busy = int((tmp_path / "mark").read_text())
        assert alive(idle)
        assert alive(busy)

        engine.kill()
        engine.communicate()

        until(lambda: not alive(idle) and not alive(busy))


def test_a_task_needs_nothing_that_is_installed(tmp_path: Path) -> None:
    """It runs in an interpreter without packages."""
    python = script(tmp_path / "python", f'exec {sys.executable} -I -S "$@"')
    (tmp_path / "tasks.py").write_text("def double(value):\n    return value * 2\n")
    head = {
        "id": "1",
        "op": "execute",
        "step": "tasks:double",
        "node": "double",
        "seed": 0,
        "scratch": str(tmp_path / "scratch"),
        "arguments": {"value": {"kind": "value", "value": "ab"}},
    }

    with closing(LocalExecutor(1)) as executor:
        executor.submit(Task("1", Place(python, tmp_path), Frame(head)))
        (report,) = all_of(executor, 1).values()

    assert report.state == "done", report.head
    assert report.parts == (b"abab",)
