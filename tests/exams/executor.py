"""The laws of `mlwright.compute.executor.Executor`."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

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
    import threading
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


    def says_and_hangs(text):
        print(text)
        signal.pause()


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


    def gpus(mark, go):
        holds(mark, go)
        return os.environ["CUDA_VISIBLE_DEVICES"]


    def count(folder, name):
        """How often it was begun."""
        with (Path(folder) / name).open("a") as file:
            file.write("x")
        return len((Path(folder) / name).read_text())


    def leaves_a_thread(mark):
        threading.Thread(target=threading.Event().wait).start()
        write(mark, str(os.getpid()))
        return "done"


    def leaves_a_child(mark):
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        write(mark, f"{os.getpid()} {child.pid}")
        return "done"


    def closes_stdout(mark):
        sys.stdout.close()
        write(mark, str(os.getpid()))
        return "done"


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
        print("of the parent")
        if os.fork() == 0:
            print("of the child")
            return ["of the child"]
        _, status = os.wait()
        return [value, os.waitstatus_to_exitcode(status)]


    def forks_and_leaves(status):
        print("of the parent")
        if os.fork() == 0:
            sys.exit(status)
        _, status = os.wait()
        return os.waitstatus_to_exitcode(status)


    def forks_and_raises():
        if os.fork() == 0:
            raise ValueError("of the child")
        _, status = os.wait()
        return os.waitstatus_to_exitcode(status)
''')


Asking = Callable[..., Task]
Opener = Callable[..., Executor]

MIB = 2**20


class ExecutorExam:
    """Subclass, give the fixtures `open_executor` and `place`, and you are examined.

    `open_executor(slots, memory_bytes=, gpus=)` opens one that is closed after the test; `place` is where
    `code` can be run.
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

        def make(
            function: str,
            *,
            timeout_s: float | None = None,
            brief: bool = False,
            at: Place = place,
            **values: Any,
        ) -> Task:
            nonlocal count
            count += 1
            head = {
                "id": str(count),
                "op": "execute",
                "step": function if ":" in function else f"tasks:{function}",
                "node": function,
                "seed": 0,
                "scratch": str(tmp_path / "scratch"),
                "journal": str(tmp_path / "scratch" / f"{count}.jsonl"),
                "arguments": {name: {"kind": "value", "value": value} for name, value in values.items()},
            }
            return Task(str(count), at, Frame(head), timeout_s=timeout_s, brief=brief)

        return make

    def test_every_task_is_reported_once(self, open_executor: Opener, ask: Asking) -> None:
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

    @pytest.mark.parametrize("brief", [False, True])
    def test_a_report_says_how_long_it_took(self, open_executor: Opener, ask: Asking, brief: bool) -> None:
        """Law 1: only what a task has run itself is counted, whatever its end was and whoever was before."""
        executor = open_executor(1)
        functions = [
            ("double", {"value": 1}),
            ("ends", {"status": 1}),
            ("crashes", {}),
            ("double", {"value": 2}),
        ]
        began = time.monotonic()
        for function, values in functions:
            executor.submit(ask(function, brief=brief, **values))

        reports = list(all_of(executor, 4).values())

        assert [report.state for report in reports] == ["done", "died", "died", "done"]
        assert all(report.ran_s > 0 for report in reports)
        assert sum(report.ran_s for report in reports) < time.monotonic() - began

    def test_a_report_names_the_worker_and_so_does_the_executor_meanwhile(
        self, open_executor: Opener, ask: Asking, tmp_path: Path
    ) -> None:
        """Law 1: by that name its folder is found in the scratch; what waits or is over has none."""
        executor, go = open_executor(1), tmp_path / "go"
        running = ask("holds", mark=str(tmp_path / "mark"), go=str(go))
        waiting = ask("double", value=1)
        for task in (running, waiting):
            executor.submit(task)
        until((tmp_path / "mark").exists)

        names = [executor.worker_of(task) for task in (running.id, waiting.id, "nobody")]
        go.touch()
        reports = all_of(executor, 2)

        assert names == [reports[running.id].worker, "", ""]
        assert executor.worker_of(running.id) == ""
        assert {path.name for path in (tmp_path / "scratch").iterdir()} == {
            report.worker for report in reports.values()
        }

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
        self, open_executor: Opener, ask: Asking, function: str, told: dict[str, Any]
    ) -> None:
        """Law 2: type, message and the innermost place in the user's own code; the worker works on."""
        executor = open_executor(1)
        values = {"message": "no good"} if function == "raises" else {}
        executor.submit(ask(function, **values))

        (report,) = all_of(executor, 1).values()

        assert report.state == "failed"
        assert report.head["error"].items() >= told.items()
        assert one(executor, ask("double", value=4)) == 8

    def test_tasks_beyond_the_slots_wait(self, open_executor: Opener, ask: Asking, tmp_path: Path) -> None:
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

    def test_there_is_room_for_what_would_begin_at_once(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """Law 3: processors that are taken count; what asks for more than there are runs alone."""
        executor, go = open_executor(2), tmp_path / "go"
        two, many = replace(place, cpus=2), replace(place, cpus=64)

        def room() -> list[bool]:
            return [executor.has_room(each) for each in (place, two, many)]

        seen = [room()]
        for _ in range(2):
            executor.submit(ask("holds", mark=str(tmp_path / "mark"), go=str(go)))
            seen.append(room())
        go.touch()
        all_of(executor, 2)
        seen.append(room())
        executor.submit(ask("double", at=many, value=1))
        seen.append(room())
        all_of(executor, 1)

        assert seen == [
            [True, True, True],
            [True, False, False],
            [False, False, False],
            [True, True, True],
            [False, False, False],
        ]

    def test_there_is_no_room_before_what_waits(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """Law 3: a small task does not overtake the large one that was there first."""
        executor, go, two = open_executor(2), tmp_path / "go", replace(place, cpus=2)
        tasks = [
            ask("holds", mark=str(tmp_path / "mark"), go=str(go)),
            ask("double", at=two, value=1),
            ask("double", value=2, brief=True),
        ]
        executor.submit(tasks[0])
        executor.submit(tasks[1])
        room = [executor.has_room(place), executor.has_room(place, brief=True)]
        executor.submit(tasks[2])
        until((tmp_path / "mark").exists)

        meanwhile = executor.wait(0.05)
        go.touch()

        assert (room, meanwhile) == ([False, False], [])
        assert list(all_of(executor, 3)) == [task.id for task in tasks]

    def test_memory_is_held_while_a_task_with_a_limit_runs(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """Law 3: limits add up to no more than there is; what asks for more than that runs alone."""
        executor, go = open_executor(4, memory_bytes=1024 * MIB), tmp_path / "go"
        small, large, huge = (replace(place, memory_bytes=size * MIB) for size in (512, 768, 4096))

        def room() -> list[bool]:
            return [executor.has_room(each) for each in (place, small, large, huge)]

        seen = [room()]
        for _ in range(2):
            executor.submit(ask("holds", at=small, mark=str(tmp_path / "mark"), go=str(go)))
            seen.append(room())
        go.touch()
        all_of(executor, 2)
        seen.append(room())

        assert seen == [
            [True, True, True, True],
            [True, True, False, False],
            [True, False, False, False],
            [True, True, True, True],
        ]
        assert one(executor, ask("double", at=huge, value=1)) == 2

    def test_a_gpu_is_one_tasks_own(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """Law 3: two of one GPU each see different ones, a third waits, and a task without one sees none."""
        executor, go = open_executor(4, gpus=("0", "1")), tmp_path / "go"
        with_one = replace(place, gpus=1)
        marks = [tmp_path / f"mark-{number}" for number in range(4)]
        tasks = [ask("gpus", at=with_one, mark=str(mark), go=str(go)) for mark in marks[:2]]
        tasks += [
            ask("gpus", mark=str(marks[3]), go=str(go)),
            ask("gpus", at=with_one, mark=str(marks[2]), go=str(go)),
        ]
        for task in tasks:
            executor.submit(task)
        until(lambda: sum(mark.exists() for mark in marks) == 3)

        begun, room = [mark.exists() for mark in marks], executor.has_room(with_one)
        meanwhile = executor.wait(0.05)
        go.touch()
        reports = all_of(executor, 4)

        assert (begun, room, meanwhile) == ([True, True, False, True], False, [])
        seen = [text_of(reports[task.id]) for task in tasks]
        assert sorted(seen[:2]) == ["0", "1"]
        assert seen[2] == ""
        assert seen[3] in {"0", "1"}
        assert [",".join(reports[task.id].gpus) for task in tasks] == seen

    def test_several_gpus_are_given_together(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """Law 3: one task that asks for both has both, and waits until both are free."""
        executor, go = open_executor(4, gpus=("GPU-a", "GPU-b")), tmp_path / "go"
        one_, both = replace(place, gpus=1), replace(place, gpus=2)
        executor.submit(ask("gpus", at=one_, mark=str(tmp_path / "mark"), go=str(go)))

        room = [executor.has_room(one_), executor.has_room(both)]
        go.touch()
        all_of(executor, 1)
        executor.submit(ask("gpus", at=both, mark=str(tmp_path / "mark"), go=str(go)))
        (report,) = all_of(executor, 1).values()

        assert room == [True, False]
        assert sorted(text_of(report).split(",")) == ["GPU-a", "GPU-b"]

    def test_brief_tasks_are_sent_ahead(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """Laws 1 and 3: there is room for some of them behind a brief one that runs, and for nothing else."""
        executor, go = open_executor(1), tmp_path / "go"
        tasks = [ask("holds", brief=True, mark=str(tmp_path / "mark"), go=str(go))]
        executor.submit(tasks[0])
        room = [
            executor.has_room(place),
            executor.has_room(place, brief=True),
            executor.has_room(replace(place, cpus=2), brief=True),
        ]
        while len(tasks) < 1000 and executor.has_room(place, brief=True):
            tasks.append(ask("double", brief=True, value=len(tasks)))
            executor.submit(tasks[-1])
        meanwhile = executor.wait(0.05)
        go.touch()

        reports = all_of(executor, len(tasks))

        assert (room, meanwhile) == ([False, True, False], [])
        assert 1 < len(tasks) < 1000
        assert list(reports) == [task.id for task in tasks]
        assert [value_of(report) for report in list(reports.values())[1:]] == [
            2 * number for number in range(1, len(tasks))
        ]
        assert len({report.worker for report in reports.values()}) == 1

    def test_nothing_is_sent_ahead_behind_a_task_that_is_not_brief(
        self, open_executor: Opener, ask: Asking, place: Place, tmp_path: Path
    ) -> None:
        """Law 3: nobody knows how long that one takes."""
        executor, go = open_executor(1), tmp_path / "go"
        executor.submit(ask("holds", mark=str(tmp_path / "mark"), go=str(go)))

        room = executor.has_room(place, brief=True)
        go.touch()
        all_of(executor, 1)

        assert not room
        assert executor.has_room(place, brief=True)

    def test_brief_tasks_are_shared_among_workers(
        self, open_executor: Opener, ask: Asking, tmp_path: Path
    ) -> None:
        """Law 3: each slot is taken before anything is sent ahead, and hundreds are each reported once."""
        executor, go = open_executor(2), tmp_path / "go"
        marks = [tmp_path / "one", tmp_path / "two"]
        tasks = [ask("holds", brief=True, mark=str(mark), go=str(go)) for mark in marks]
        tasks += [ask("double", brief=True, value=number) for number in range(300)]
        for task in tasks:
            executor.submit(task)
        meanwhile = executor.wait(0.05)
        until(lambda: all(mark.exists() for mark in marks))
        go.touch()

        reports = all_of(executor, len(tasks))

        assert meanwhile == []
        assert [value_of(reports[task.id]) for task in tasks[2:]] == [2 * number for number in range(300)]
        assert len({report.worker for report in reports.values()}) == 2

    def test_no_place_starves_another(self, open_executor: Opener, ask: Asking, place: Place) -> None:
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
            ("signals", {"number": 9}, "its process was ended by SIGKILL (killed: "),
            ("signals", {"number": 15}, "its process was ended by SIGTERM"),
            ("signals", {"number": 40}, "its process was ended by signal 40"),
        ],
    )
    def test_a_death_takes_only_its_own_task(
        self, open_executor: Opener, ask: Asking, tmp_path: Path,
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

        assert (death.task, death.state) == (victim.id, "died")
        assert death.head["cause"].startswith(cause)
        assert after == 2
        assert (rest.task, rest.state) == (neighbour.id, "done")

    @pytest.mark.parametrize(
        ("function", "values", "timeout_s", "state"),
        [
            ("ends", {"status": 3}, None, "died"),
            ("crashes", {}, None, "died"),
            ("signals", {"number": 9}, None, "died"),
            ("signals", {"number": 0}, 0.5, "timed out"),
        ],
    )
    def test_what_was_sent_ahead_behind_a_death_runs_elsewhere(
        self, open_executor: Opener, ask: Asking, tmp_path: Path,
        function: str, values: dict[str, int], timeout_s: float | None, state: str,
    ) -> None:  # fmt: skip
        """Law 4: only the task that ran is lost; those behind it begin once, in another worker."""
        executor = open_executor(1)
        before, behind = (
            [ask("count", brief=True, folder=str(tmp_path), name=f"{word}{number}") for number in range(2)]
            for word in ("before", "behind")
        )
        victim = ask(function, brief=True, timeout_s=timeout_s, **values)
        for task in (*before, victim, *behind):
            executor.submit(task)

        reports = all_of(executor, 5)

        assert reports[victim.id].state == state
        assert [value_of(reports[task.id]) for task in (*before, *behind)] == [1, 1, 1, 1]
        workers = [reports[task.id].worker for task in (before[0], victim, *behind)]
        assert workers[0] == workers[1] != workers[2] == workers[3]

    @pytest.mark.parametrize("brief", [False, True])
    @pytest.mark.parametrize(
        ("function", "left"),
        [
            ("leaves_a_thread", "1 thread"),
            ("leaves_a_child", "1 child process"),
            ("closes_stdout", "a closed sys.stdout"),
        ],
    )
    def test_a_task_that_leaves_something_behind_ends_its_worker(
        self, open_executor: Opener, ask: Asking, tmp_path: Path, function: str, left: str, brief: bool
    ) -> None:
        """Law 1: the task is done; what it left is gone, and the next begins in another process."""
        executor, mark = open_executor(1), tmp_path / "pids"
        leaver = ask(function, brief=brief, mark=str(mark))
        behind = [ask("count", brief=brief, folder=str(tmp_path), name=str(number)) for number in range(3)]
        for task in (leaver, *behind):
            executor.submit(task)

        reports = all_of(executor, 4)

        assert (text_of(reports[leaver.id]), reports[leaver.id].head["retire"]) == ("done", left)
        assert [value_of(reports[task.id]) for task in behind] == [1, 1, 1]
        workers = [reports[task.id].worker for task in (leaver, *behind)]
        assert workers[0] != workers[1] == workers[2] == workers[3]
        assert not any(alive(int(pid)) for pid in mark.read_text().split())

    def test_a_task_that_outlasts_its_time_is_ended_with_its_children(
        self, open_executor: Opener, ask: Asking, tmp_path: Path
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

    def test_a_task_within_its_time_is_left_alone(self, open_executor: Opener, ask: Asking) -> None:
        """Law 4: the time counts from the beginning of the task, and ends with it."""
        executor = open_executor(1)

        assert one(executor, ask("double", timeout_s=30.0, value=1)) == 2

    def test_a_death_is_seen_though_a_child_lives_on(
        self, open_executor: Opener, ask: Asking, tmp_path: Path
    ) -> None:
        """Law 4: a forked child that outlives its worker does not hide that the worker is gone."""
        executor = open_executor(1)
        mark = tmp_path / "child"
        executor.submit(ask("dies_before_its_child", mark=str(mark)))

        (report,) = all_of(executor, 1).values()

        assert (report.state, report.head["cause"]) == ("died", "its process ended itself with status 3")
        until(lambda: not alive(int(mark.read_text())))

    def test_a_forked_child_does_not_answer_in_its_parents_name(
        self, open_executor: Opener, ask: Asking
    ) -> None:
        """Law 1: a child that returns from the step too is not heard; it has only printed."""
        executor = open_executor(1)
        executor.submit(ask("forks_and_returns", value="of the parent"))

        (report,) = all_of(executor, 1).values()

        assert value_of(report) == ["of the parent", 0]
        assert Path(report.head["log"]).read_text() == "of the parent\nof the child\n"
        assert one(executor, ask("double", value=2)) == 4

    def test_a_forked_child_ends_as_a_process_does(self, open_executor: Opener, ask: Asking) -> None:
        """Law 2: with the status it leaves with, or with a traceback in the log and 1; the task goes on."""
        executor = open_executor(1)
        executor.submit(ask("forks_and_leaves", status=5))
        executor.submit(ask("forks_and_raises"))

        left, raised = all_of(executor, 2).values()

        assert (value_of(left), value_of(raised)) == (5, 1)
        assert Path(left.head["log"]).read_text() == "of the parent\n"
        log = Path(raised.head["log"]).read_text()
        assert log.startswith("Traceback ") and log.endswith("ValueError: of the child\n")
        assert "session.py" not in log

    def test_after_closing_no_process_is_left(
        self, open_executor: Opener, ask: Asking, tmp_path: Path
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
    return json.loads(text_of(report))


def text_of(report: Report) -> str:
    """The small text of a task that was done."""
    assert report.state == "done", report.head
    (told,) = report.head["outputs"]
    return report.parts[told["part"]].decode()
