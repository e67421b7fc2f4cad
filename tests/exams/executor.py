"""The laws of `mlwright.compute.executor.Executor`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlwright.compute import Executor, Place, Report, Task
from mlwright.sdk.frames import Frame
from tests.processes import alive, until

TASKS = textwrap.dedent('''
    """What a user's steps do to their process."""

    import ctypes
    import os
    import signal
    import subprocess
    import sys
    import time
    from pathlib import Path


    def double(value):
        return value * 2


    def who():
        return os.getpid()


    def variables():
        return dict(os.environ)


    def raises(message):
        inner(message)


    def inner(message):
        raise ValueError(message)


    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("not even this")


    def raises_mute():
        raise Mute


    def leaves():
        sys.exit("enough")


    def interrupts():
        raise KeyboardInterrupt


    def ends(status):
        os._exit(status)


    def signals(number):
        os.kill(os.getpid(), number)
        signal.pause()


    def crashes():
        ctypes.string_at(0)


    def says(text):
        os.write(2, text.encode())
        print(text)
        return len(text)


    def floods(size):
        print("x" * size)
        sys.stderr.write("y" * size)
        subprocess.run(["/bin/sh", "-c", "echo from a child"])
        return size


    def write(mark, text):
        Path(mark).with_suffix(".part").write_text(text)
        Path(mark).with_suffix(".part").replace(mark)


    def holds(mark, go):
        write(mark, str(os.getpid()))
        while not Path(go).exists():
            time.sleep(0.005)
        return os.getpid()


    def hangs_with_a_child(mark):
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        write(mark, f"{os.getpid()} {child.pid}")
        signal.pause()


    def dies_before_its_child(mark):
        child = os.fork()
        if child == 0:
            signal.pause()
        Path(mark).write_text(str(child))
        os._exit(3)


    def forks_and_returns(value):
        if os.fork() == 0:
            return ["of the child"]
        os.wait()
        return value
''')


Asking = Callable[..., Task]


class ExecutorExam:
    """Subclass, give the fixtures `open_executor` and `place`, and you are examined.

    `open_executor(slots)` opens one that is closed after the test; `place` is where `code` can be run.
    """

    @pytest.fixture
    def code(self, tmp_path: Path) -> Path:
        """A folder of code."""
        folder = tmp_path / "code"
        folder.mkdir()
        (folder / "tasks.py").write_text(TASKS)
        (folder / "wrong.py").write_text("def broken(:\n")
        return folder

    @pytest.fixture
    def ask(self, place: Place, tmp_path: Path) -> Asking:
        """Makes a task: `ask("double", value=2)`; its id is its number."""
        count = 0

        def make(function: str, *, timeout_s: float | None = None, at: Place = place, **values: Any) -> Task:
            nonlocal count
            count += 1
            scratch = tmp_path / f"scratch-{count}"
            scratch.mkdir()
            head = {
                "id": str(count),
                "op": "execute",
                "step": function if ":" in function else f"tasks:{function}",
                "node": function,
                "seed": 0,
                "scratch": str(scratch),
                "arguments": {name: {"kind": "value", "value": value} for name, value in values.items()},
            }
            return Task(str(count), at, Frame(head), timeout_s=timeout_s)

        return make

    def test_every_task_is_reported_once(self, open_executor: Callable[[int], Executor], ask: Asking) -> None:
        """Law 1: whatever becomes of them, as many reports as tasks, each under its own id."""
        executor = open_executor(3)
        tasks = [ask("double", value=number) for number in range(20)]
        tasks += [ask("raises", message="no"), ask("ends", status=1), ask("double", value="a")]

        for task in tasks:
            executor.submit(task)
        reports = all_of(executor, len(tasks))

        assert sorted(reports, key=int) == [task.id for task in tasks]
        assert [value_of(reports[task.id]) for task in tasks[:20]] == [number * 2 for number in range(20)]
        assert executor.wait(0.01) == []

    def test_a_report_says_how_long_it_took(
        self, open_executor: Callable[[int], Executor], ask: Asking
    ) -> None:
        """Law 1: waiting and running are measured, whatever the end was."""
        executor = open_executor(1)
        for task in [ask("double", value=1), ask("ends", status=1), ask("crashes"), ask("double", value=2)]:
            executor.submit(task)

        reports = list(all_of(executor, 4).values())

        assert [report.state for report in reports] == ["done", "died", "died", "done"]
        waited = [report.waited_s for report in reports]
        assert waited == sorted(waited)
        assert all(report.ran_s > 0 for report in reports)

    @pytest.mark.parametrize(
        ("function", "told"),
        [
            ("raises", {"type": "ValueError", "message": "no good", "file": "tasks.py", "function": "inner"}),
            (
                "raises_mute",
                {"type": "Mute", "message": "(its message cannot be shown)", "function": "raises_mute"},
            ),
            ("leaves", {"type": "SystemExit", "message": "enough", "function": "leaves"}),
            ("interrupts", {"type": "KeyboardInterrupt", "function": "interrupts"}),
            ("wrong:broken", {"type": "SyntaxError", "file": "wrong.py", "line": 1}),
            ("missing", {"type": "AttributeError"}),
            ("nowhere:double", {"type": "ModuleNotFoundError"}),
        ],
    )
    def test_what_a_task_raises_is_reported(
        self, open_executor: Callable[[int], Executor], ask: Asking, function: str, told: dict[str, Any]
    ) -> None:
        """Law 2: type, message and the innermost place in the user's own code; the worker works on."""
        executor = open_executor(1)
        values = {"message": "no good"} if function == "raises" else {}
        executor.submit(ask(function, **values))

        (report,) = all_of(executor, 1).values()

        assert report.state == "failed"
        assert report.head["error"].items() >= told.items()
        assert one(executor, ask("double", value=4)) == 8

    def test_tasks_beyond_the_slots_wait(
        self, open_executor: Callable[[int], Executor], ask: Asking, tmp_path: Path
    ) -> None:
        """Law 3: two run at once, the others begin when one has ended, and all come to their turn."""
        executor = open_executor(2)
        marks, go = [tmp_path / f"mark-{number}" for number in range(5)], tmp_path / "go"
        for mark in marks:
            executor.submit(ask("holds", mark=str(mark), go=str(go)))

        until(lambda: sum(mark.exists() for mark in marks) == 2)
        begun = [mark.exists() for mark in marks]
        assert executor.wait(0.05) == []
        go.touch()
        reports = all_of(executor, 5)

        assert begun == [True, True, False, False, False]
        assert {report.state for report in reports.values()} == {"done"}
        assert len({value_of(report) for report in reports.values()}) == 2

    def test_no_place_starves_another(
        self, open_executor: Callable[[int], Executor], ask: Asking, place: Place
    ) -> None:
        """Law 3: with one slot, tasks of two places take it in turn."""
        executor = open_executor(1)
        other = Place(place.python, place.code, cpus=2)
        tasks = [ask("double", at=at, value=number) for number in range(3) for at in (place, other)]

        for task in tasks:
            executor.submit(task)

        assert list(all_of(executor, 6)) == [task.id for task in tasks]

    @pytest.mark.parametrize(
        ("function", "values", "cause"),
        [
            ("ends", {"status": 0}, "its process ended itself with status 0"),
            ("ends", {"status": 7}, "its process ended itself with status 7"),
            ("crashes", {}, "its process was ended by SIGSEGV (a crash in native code)"),
            (
                "signals",
                {"number": 9},
                "its process was ended by SIGKILL (killed: out of memory, or by hand)",
            ),
            ("signals", {"number": 15}, "its process was ended by SIGTERM"),
            ("signals", {"number": 40}, "its process was ended by signal 40"),
        ],
    )
    def test_a_death_takes_only_its_own_task(
        self, open_executor: Callable[[int], Executor], ask: Asking, tmp_path: Path,
        function: str, values: dict[str, int], cause: str,
    ) -> None:  # fmt: skip
        """Law 4: the cause is said in words, the neighbour goes on, and so do those behind."""
        executor = open_executor(2)
        go = tmp_path / "go"
        neighbour, victim = ask("holds", mark=str(tmp_path / "mark"), go=str(go)), ask(function, **values)
        executor.submit(neighbour)
        executor.submit(victim)

        (death,) = all_of(executor, 1).values()
        after = one(executor, ask("double", value=1))
        go.touch()
        (rest,) = all_of(executor, 1).values()

        assert (death.task, death.state, death.head["cause"]) == (victim.id, "died", cause)
        assert after == 2
        assert (rest.task, rest.state) == (neighbour.id, "done")

    def test_a_task_that_outlasts_its_time_is_ended_with_its_children(
        self, open_executor: Callable[[int], Executor], ask: Asking, tmp_path: Path
    ) -> None:
        """Law 4: it is reported, its process and those it started are killed, its neighbour is not."""
        executor = open_executor(2)
        mark, go = tmp_path / "pids", tmp_path / "go"
        neighbour = ask("holds", mark=str(tmp_path / "mark"), go=str(go))
        executor.submit(neighbour)
        executor.submit(ask("hangs_with_a_child", timeout_s=2.0, mark=str(mark)))

        (report,) = all_of(executor, 1).values()
        pids = [int(pid) for pid in mark.read_text().split()]

        assert (report.state, report.head["cause"]) == ("timed out", "it took longer than 2 s")
        until(lambda: not any(map(alive, pids)))
        go.touch()
        assert all_of(executor, 1)[neighbour.id].state == "done"
        assert one(executor, ask("double", value=1)) == 2

    def test_a_task_within_its_time_is_left_alone(
        self, open_executor: Callable[[int], Executor], ask: Asking
    ) -> None:
        """Law 4: the time counts from the beginning of the task, and ends with it."""
        executor = open_executor(1)

        assert one(executor, ask("double", timeout_s=30.0, value=1)) == 2

    def test_a_death_is_seen_though_a_child_lives_on(
        self, open_executor: Callable[[int], Executor], ask: Asking, tmp_path: Path
    ) -> None:
        """Law 4: a forked child that outlives its worker does not hide that the worker is gone."""
        executor = open_executor(1)
        mark = tmp_path / "child"
        executor.submit(ask("dies_before_its_child", mark=str(mark)))

        (report,) = all_of(executor, 1).values()

        assert (report.state, report.head["cause"]) == ("died", "its process ended itself with status 3")
        until(lambda: not alive(int(mark.read_text())))

    def test_a_forked_child_does_not_answer_in_its_parents_name(
        self, open_executor: Callable[[int], Executor], ask: Asking
    ) -> None:
        """Law 1: a child that returns from the step too is not heard."""
        executor = open_executor(1)

        assert one(executor, ask("forks_and_returns", value=["of the parent"])) == ["of the parent"]
        assert one(executor, ask("double", value=2)) == 4

    def test_after_closing_no_process_is_left(
        self, open_executor: Callable[[int], Executor], ask: Asking, tmp_path: Path
    ) -> None:
        """Law 5: idle and working, with the children of what works; what waits is never begun."""
        executor = open_executor(2)
        idle = one(executor, ask("who"))
        mark = tmp_path / "pids"
        executor.submit(ask("hangs_with_a_child", mark=str(mark)))
        executor.submit(ask("holds", mark=str(tmp_path / "second"), go=str(tmp_path / "never")))
        executor.submit(ask("holds", mark=str(tmp_path / "third"), go=str(tmp_path / "never")))
        until(lambda: mark.exists() and (tmp_path / "second").exists())
        pids = [idle, *map(int, mark.read_text().split()), int((tmp_path / "second").read_text())]

        executor.close()

        until(lambda: not any(map(alive, pids)))
        assert not (tmp_path / "third").exists()


def all_of(executor: Executor, count: int) -> dict[str, Report]:
    """That many reports, by the id of their task."""
    reports: dict[str, Report] = {}

    def heard() -> bool:
        for report in executor.wait(1.0):
            assert report.task not in reports
            reports[report.task] = report
        return len(reports) >= count

    until(heard, within_s=60.0)
    assert len(reports) == count
    return reports


def one(executor: Executor, task: Task) -> Any:
    """What one task gives."""
    executor.submit(task)
    (report,) = all_of(executor, 1).values()
    return value_of(report)


def value_of(report: Report) -> Any:
    """The small JSON value of a task that was done."""
    assert report.state == "done", report.head
    (told,) = report.head["outputs"]
    return json.loads(report.parts[told["part"]])
