"""Worker processes on this machine: the exam, and what is particular to processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mlwright.compute import LocalExecutor, Place, Task
from mlwright.kernel.errors import Unavailable
from mlwright.sdk.frames import Frame
from mlwright.sdk.workplace import LOG
from tests.exams.executor import Asking, ExecutorExam, Opener, all_of, one, value_of
from tests.processes import alive, start_python, until


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

        def open_one(slots: int, **has: Any) -> LocalExecutor:
            opened.append(LocalExecutor(slots, **has))
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

    def test_there_are_no_more_than_two_processes_for_each_slot(
        self, open_executor: Opener, ask: Asking, place: Place
    ) -> None:
        """Idle ones count; the one that had nothing to do for longest makes room for another place."""
        executor = open_executor(1)
        places = [replace(place, cpus=cpus) for cpus in (1, 2, 1, 3)]

        pids = [one(executor, ask("who", at=at)) for at in places]

        assert pids[0] == pids[2]
        assert len(set(pids)) == 3
        assert [alive(pid) for pid in pids] == [True, False, True, True]

    def test_an_idle_worker_lets_go_of_its_gpu(
        self, open_executor: Opener, ask: Asking, place: Place
    ) -> None:
        """What a process has on a GPU stays there as long as it lives: it is ended before another gets it."""
        executor = open_executor(4, gpus=("0", "1"))
        one_gpu = replace(place, gpus=1)

        pids = [one(executor, ask("who", at=at)) for at in (one_gpu, one_gpu, replace(one_gpu, cpus=2))]
        meanwhile = [alive(pid) for pid in pids]
        both = one(executor, ask("who", at=replace(place, gpus=2)))

        assert pids[0] == pids[1] != pids[2]
        assert meanwhile == [True, True, True]
        assert not any(map(alive, pids))
        assert alive(both)

    def test_a_gpu_that_is_taken_is_not_given_where_idle_workers_have_all_others(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """It is the idle worker that makes room."""
        executor, go = open_executor(8, gpus=("0", "1")), tmp_path / "go"
        first, second, third = (replace(place, gpus=1, cpus=cpus) for cpus in (1, 2, 3))
        executor.submit(ask("gpus", at=first, mark=str(tmp_path / "mark"), go=str(go)))
        idle = one(executor, ask("who", at=second))

        executor.submit(ask("who", at=third))
        (report,) = all_of(executor, 1).values()
        go.touch()
        (running,) = all_of(executor, 1).values()

        assert {*running.gpus, *report.gpus} == {"0", "1"}
        assert not alive(idle)

    def test_a_worker_that_was_made_ready_is_used(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """`warm` starts one at most, and is silent about an interpreter that is not there."""
        executor = open_executor(2)
        executor.warm(tmp_path / "missing")
        executor.warm(place.python)
        executor.warm(place.python)

        executor.submit(ask("who"))
        (report,) = all_of(executor, 1).values()
        executor.submit(ask("who", at=replace(place, cpus=2)))
        (other,) = all_of(executor, 1).values()

        assert (report.worker, other.worker) == ("w1", "w2")

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

    def test_ten_megabytes_of_words_are_no_hindrance(self, open_executor: Opener, ask: Asking) -> None:
        """What a task prints goes to its log, by whichever way, and does not fill any pipe."""
        executor = open_executor(1)
        size = 5_000_000
        executor.submit(ask("floods", size=size))
        executor.submit(ask("says", text="quiet"))

        loud, quiet = all_of(executor, 2).values()

        log = Path(loud.head["log"]).read_bytes()
        assert value_of(loud) == size
        assert (log.count(b"x"), log.count(b"y")) == (size, size)
        assert b"from a child\n" in log
        assert Path(quiet.head["log"]).read_text() == "quietquiet\n"

    def test_what_a_task_has_printed_can_be_read_while_it_runs(
        self, open_executor: Opener, ask: Asking, tmp_path: Path
    ) -> None:
        """In its worker's folder; and it is still there when the worker has died."""
        executor = open_executor(1)
        task = ask("says_and_hangs", timeout_s=2.0, text="so far")
        executor.submit(task)
        log = tmp_path / "scratch" / executor.worker_of(task.id) / LOG

        until(lambda: log.exists() and log.read_text() == "so far\n")
        (report,) = all_of(executor, 1).values()

        assert (report.state, tmp_path / "scratch" / report.worker / LOG) == ("timed out", log)
        assert log.read_text() == "so far\n"

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
                        "seed": 0, "scratch": str(scratch), "journal": str(scratch / f"{number}.jsonl"),
                        "arguments": arguments}
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
        "journal": str(tmp_path / "scratch" / "1.jsonl"),
        "arguments": {"value": {"kind": "value", "value": "ab"}},
    }

    with closing(LocalExecutor(1)) as executor:
        executor.submit(Task("1", Place(python, tmp_path), Frame(head)))
        (report,) = all_of(executor, 1).values()

    assert report.state == "done", report.head
    assert report.parts == (b"abab",)
