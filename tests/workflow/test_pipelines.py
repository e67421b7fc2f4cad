"""Running pipelines: what is recorded, reused, refused, repeated and continued."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.compute import LocalExecutor, Task
from mlwright.kernel import edges
from mlwright.kernel.errors import Cancelled, Conflict, Corrupt, Invalid, NotFound, TimedOut, WorkFailed
from mlwright.tracking import Run, RunState
from mlwright.workflow import Attempt, AttemptState, NodeView, Request, RunView
from mlwright.workflow.detail import logs, run_detail
from mlwright.workflow.durations import Durations
from mlwright.workflow.watch import Unwatched
from mlwright.workflow.why import why
from tests.conftest import COMMAND, mlwright
from tests.processes import until
from tests.storage.conftest import overwrite

Opener = Callable[[dict[str, str]], Project]

CHAIN = '''
    from typing import NamedTuple
    import random
    from mlwright import Dataset, log_metric, pipeline, step
    from mlwright.steps import gate, register

    class Halves(NamedTuple):
        low: list[int]
        high: list[int]

    @step
    def numbers(count: int) -> list[int]:
        return [random.randrange(1000) for _ in range(count)]

    @step
    def halve(values: list[int]) -> Halves:
        ordered = sorted(values)
        return Halves(ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :])

    @step
    def total(values: list[int], weight: float = 1.0) -> dict[str, float]:
        log_metric("count", len(values))
        print("adding", len(values))
        return {"sum": sum(values) * weight}

    @step
    def both(parts: list[dict[str, float]]) -> dict[str, float]:
        return {"sum": sum(part["sum"] for part in parts)}

    @pipeline
    def chain(count: int = 10, weight: float = 1.0):
        """Add numbers up."""
        halves = halve(numbers(count))
        both([total(halves.low), total(halves.high, weight=weight)])
'''


def states(project: Project, run: Run) -> dict[str, str]:
    return {attempt.node: attempt.state.value for attempt in project.rooms.attempts.of_run(run.id)}


def one_step(body: str, options: str = "", parameters: str = "") -> dict[str, str]:
    text = f"""
    import os, sys, time, signal
    from pathlib import Path
    from mlwright import Dataset, log_artifact, log_metric, pipeline, step

    @step{options}
    def work({parameters}) -> object:
        {body}

    @pipeline
    def single({parameters}):
        work({parameters.partition(":")[0]})
"""
    return {"pipelines/p.py": text}


def known_to_be_brief(project: Project, *steps: str) -> None:
    """As if they had been over at once ten thousand times, whatever they took since."""
    seen = Durations({})
    for step in steps:
        for _ in range(10_000):
            seen.saw(f"pipelines.p:{step}", 0.0)
    with project.rooms.database.transaction() as tx:
        seen.record(tx, "small")


def test_a_run_records_each_step_its_outputs_and_what_it_was_made_with(opened: Opener) -> None:
    """A run leads to its code, environment, parameters, and to every output of every step."""
    project = opened({"pipelines/p.py": CHAIN})

    run = project.run("chain", count=6)

    detail = run_detail(project.rooms, run.id)
    assert run.state is RunState.SUCCEEDED
    assert [each.attempt.node for each in detail.attempts] == ["numbers", "halve", "total", "total-2", "both"]
    assert set(detail.attempts[1].outputs) == {"low", "high"}
    assert detail.parameters == {"count": 6, "weight": 1.0}
    assert {"code", "environment"} == set(detail.made_with)
    assert {metric.name: metric.value for metric in detail.metrics} == {"count": 3.0}


def test_each_attempt_says_what_it_took_and_moved(opened: Opener) -> None:
    """Seconds, memory, bytes in and out, and where it ran; what was reused took and moved nothing."""
    project = opened({"pipelines/p.py": CHAIN})

    run, again = project.run("chain", count=6), project.run("chain", count=6)

    tried = {each.attempt.node: each for each in run_detail(project.rooms, run.id).attempts}
    for each in tried.values():
        attempt = each.attempt
        assert attempt.finished_us is not None and attempt.finished_us >= attempt.created_us
        assert attempt.waited_s is not None and attempt.waited_s >= 0
        assert attempt.wall_s is not None and attempt.wall_s > 0
        assert attempt.cpu_s is not None and attempt.cpu_s >= 0
        assert attempt.peak_bytes is not None and attempt.peak_bytes > 2**20
        assert attempt.bytes_out == sum(made.size_bytes for made in each.outputs.values())
        assert (attempt.worker[:1], attempt.cpus, attempt.gpus) == ("w", 1, "")
    moved = {name: (each.attempt.bytes_in, each.attempt.bytes_out) for name, each in tried.items()}
    assert moved["numbers"][0] == 0
    assert moved["halve"][0] == moved["numbers"][1]
    assert (moved["total"][0] or 0) + (moved["total-2"][0] or 0) == moved["halve"][1]
    for reused in project.rooms.attempts.of_run(again.id):
        taken = (reused.wall_s, reused.cpu_s, reused.peak_bytes, reused.bytes_in, reused.bytes_out)
        assert (taken, reused.worker) == ((None,) * 5, "")


def test_steps_that_are_known_to_be_brief_are_recorded_as_fully_as_others(opened: Opener) -> None:
    """Sent ahead and written when they have ended: states, outputs, inputs, log and metrics are the same."""
    project = opened({"pipelines/p.py": CHAIN})

    runs = []
    for brief in (False, True, True):
        if brief:
            known_to_be_brief(project, "numbers", "halve", "total", "both")
        runs.append(project.run("chain", count=6, cache=False))

    told = []
    for run in runs:
        detail = run_detail(project.rooms, run.id)
        told.append(
            (
                [(each.attempt.node, each.attempt.number, each.attempt.state) for each in detail.attempts],
                [{name: made.digest for name, made in each.outputs.items()} for each in detail.attempts],
                [
                    sorted(edge.role for edge in edges.made_from(project.rooms.database, each.attempt.end))
                    for each in detail.attempts
                ],
                [(metric.name, metric.value) for metric in detail.metrics],
                sorted(text for _, text in logs(project.rooms, run.id)),
            )
        )
    assert told[0] == told[1] == told[2]
    assert told[0][4] == ["adding 3\n", "adding 3\n"]


class Meanwhile(Unwatched):
    """Does something beside a run, in a thread of its own."""

    def __init__(self, act: Callable[[Run], None]) -> None:
        self._act = act
        self._thread: threading.Thread | None = None

    def began(self, run: RunView) -> None:
        self._thread = threading.Thread(target=self._act, args=(run.run,))
        self._thread.start()

    def join(self) -> None:
        assert self._thread is not None
        self._thread.join()


@pytest.mark.parametrize("brief", [False, True])
def test_who_looks_meanwhile_sees_what_runs(opened: Opener, tmp_path: Path, brief: bool) -> None:
    """Also a step that was always over at once, as soon as it takes longer; where its log is, is told."""
    go = tmp_path / "go"
    body = f"while not Path({str(go)!r}).exists(): time.sleep(0.001)\n        return 1"
    project = opened(one_step(body, options="(cache=False)"))
    if brief:
        known_to_be_brief(project, "work")
    seen: list[Attempt] = []

    def look(run: Run) -> None:
        try:
            until(lambda: project.rooms.attempts.of_run(run.id))
        finally:
            seen.extend(project.rooms.attempts.of_run(run.id))
            go.touch()

    meanwhile = Meanwhile(look)
    run, _ = project.pipelines.run(Request("single", {}), meanwhile)
    meanwhile.join()

    (ended,) = project.rooms.attempts.of_run(run.id)
    assert [(each.id, each.state, each.worker) for each in seen] == [
        (ended.id, AttemptState.RUNNING, ended.worker)
    ]
    assert (ended.state, ended.worker[:1]) == (AttemptState.SUCCEEDED, "w")


def test_what_a_step_logged_long_before_its_end_is_kept(opened: Opener, tmp_path: Path) -> None:
    """What was read while it ran, and what was not, each name with what it was given last."""
    go = tmp_path / "go"
    body = (
        "log_artifact('early', 'early'); log_artifact('first', 'both'); log_metric('seen', 1)\n"
        f"        while not Path({str(go)!r}).exists(): time.sleep(0.001)\n"
        "        log_artifact('late', 'late'); log_artifact('second', 'both')"
    )
    project = opened(one_step(body))

    def look(run: Run) -> None:
        try:
            until(lambda: project.runs.metrics(run.id))
        finally:
            go.touch()

    meanwhile = Meanwhile(look)
    run, _ = project.pipelines.run(Request("single", {}), meanwhile)
    meanwhile.join()

    (attempt,) = run_detail(project.rooms, run.id).attempts
    kept = {name: project.rooms.objects.get(made.digest) for name, made in attempt.logged.items()}
    assert kept == {"early": b"early", "late": b"late", "both": b"second"}


def test_a_brief_step_that_fails_is_tried_again_and_recorded(opened: Opener, tmp_path: Path) -> None:
    """Each try has its row, also of those that were written only when they had ended."""
    count = tmp_path / "count"
    body = (
        f"path = Path({str(count)!r}); n = len(path.read_text()) if path.exists() else 0\n"
        "        path.write_text('x' * (n + 1))\n"
        "        return n if n else os._exit(7)"
    )
    project = opened(one_step(body, options="(retries=1)"))
    known_to_be_brief(project, "work")

    run = project.run("single")

    tries = project.rooms.attempts.of_run(run.id)
    assert [(each.number, each.state.value) for each in tries] == [(1, "failed"), (2, "succeeded")]
    assert "status 7" in tries[0].error


def test_the_long_log_of_a_step_that_died_keeps_its_beginning_and_its_end(opened: Opener) -> None:
    """What it said last is what one wants to know; what it said before is not kept without a bound."""
    body = "print('first'); os.write(1, b'x' * 20_000_000); print('last'); os._exit(3)"
    project = opened(one_step(body))

    with pytest.raises(WorkFailed):
        project.run("single")

    ((_, text),) = logs(project.rooms, "latest")
    assert text.startswith("first\n") and text.endswith("last\n")
    assert "bytes are left out" in text
    assert len(text) < 17 * 2**20


def test_the_long_log_of_a_step_whose_run_was_killed_is_kept_so_too(opened: Opener) -> None:
    """Whoever declares the run lost takes no more of it either."""
    project = opened(
        one_step(
            "print('first'); os.write(1, b'x' * 20_000_000); print('last')\n"
            "        Path('begun').touch()\n        time.sleep(60)"
        )
    )
    process = running(project.root)
    until(lambda: states(project, project.runs.list()[0]))

    process.kill()
    process.communicate()
    run = project.runs.list()[0]

    ((_, text),) = logs(project.rooms, run.id)
    assert text.startswith("first\n") and text.endswith("last\n")
    assert len(text) < 17 * 2**20


def test_the_same_run_again_reuses_every_step(opened: Opener) -> None:
    """Nothing that is the same runs twice."""
    project = opened({"pipelines/p.py": CHAIN})
    first = project.run("chain")

    second = project.run("chain")

    assert set(states(project, first).values()) == {"succeeded"}
    assert set(states(project, second).values()) == {"reused"}


def test_a_changed_parameter_runs_only_what_depends_on_it(opened: Opener) -> None:
    """A step whose inputs come out the same is reused, also behind one that ran."""
    project = opened({"pipelines/p.py": CHAIN})
    project.run("chain")

    changed = project.run("chain", weight=2.0)

    assert states(project, changed) == {
        "numbers": "reused",
        "halve": "reused",
        "total": "reused",
        "total-2": "succeeded",
        "both": "succeeded",
    }


def test_the_seed_of_a_run_decides_its_random_numbers(opened: Opener) -> None:
    """The same seed gives the same bytes without the cache; another seed gives others."""
    project = opened({"pipelines/p.py": CHAIN})

    runs = [project.run("chain", seed=seed, cache=False) for seed in (1, 1, 2)]

    digests = [run_detail(project.rooms, run.id).attempts[0].outputs["result"].digest for run in runs]
    assert digests[0] == digests[1] != digests[2]


def test_a_plan_says_what_would_be_reused_run_or_decided_later(opened: Opener) -> None:
    """The plan of a changed parameter names each step's fate before anything happens."""
    project = opened({"pipelines/p.py": CHAIN})
    project.run("chain")

    plan = project.pipelines.plan(Request("chain", {"weight": "3"}))

    assert [(change.action, change.subject) for change in plan.changes] == [
        ("reuse", "numbers"),
        ("reuse", "halve"),
        ("reuse", "total"),
        ("run", "total-2"),
        ("wait", "both"),
    ]
    assert len(project.runs.list()) == 1


def test_an_edit_during_a_run_changes_nothing(opened: Opener, tmp_path: Path) -> None:
    """Workers import the snapshot that the run began with."""
    flag = tmp_path / "edited"
    wait = f"while not Path({str(flag)!r}).exists(): time.sleep(0.01)"
    body = f"{wait}\n        import late\n        return late.VALUE"
    project = opened(one_step(body) | {"late.py": "VALUE = 'before'\n"})

    class Editor(Unwatched):
        def changed(self, run: RunView, node: NodeView) -> None:
            (project.root / "late.py").write_text("VALUE = 'after'\n")
            flag.touch()

    run, _ = project.pipelines.run(Request("single", {}), Editor())

    artifact = run_detail(project.rooms, run.id).attempts[0].outputs["result"]
    assert project.rooms.objects.get(artifact.digest) == b"before"


def test_a_step_that_raises_is_told_with_its_place_and_how_to_go_on(opened: Opener) -> None:
    """The message names the step, the user's file and line, the run, and the command that resumes it."""
    project = opened(one_step("return 1 / 0"))

    with pytest.raises(WorkFailed) as caught:
        project.run("single")

    run = project.runs.list()[0]
    text = caught.value.render()
    assert run.state is RunState.FAILED
    assert f"step `work` of run {run.id[:10]} failed: ZeroDivisionError: division by zero" in text
    assert "pipelines/p.py:8 in work" in text
    assert f"mlwright runs resume {run.id[:10]}" in text
    told = logs(project.rooms, run.id)[0][1]
    assert 'File "pipelines/p.py", line 8, in work' in told
    assert "mlwright" not in told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("os._exit(3)", "ended itself with status 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("sys.exit(4)", "SystemExit: 4"),
        ("return open(os.devnull)", "TextIOWrapper can be stored by no codec, and not as pickle"),
        ("return (each for each in [1])", "a generator can be stored by no codec"),
    ],
)
def test_however_a_step_dies_the_run_ends_failed_and_says_why(opened: Opener, body: str, told: str) -> None:
    """No way to die leaves a run without an end or without a cause."""
    project = opened(one_step(body))

    with pytest.raises(WorkFailed) as caught:
        project.run("single")

    assert told in caught.value.message
    assert project.runs.list()[0].state is RunState.FAILED


def test_a_step_that_takes_too_long_is_ended(opened: Opener) -> None:
    """A time-out kills the worker, and is an error of its own with exit code 124."""
    project = opened(one_step("time.sleep(60)", options='(timeout="300ms")'))

    with pytest.raises(TimedOut) as caught:
        project.run("single")

    assert caught.value.exit_code == 124


def test_a_step_with_retries_is_tried_again_and_each_try_is_kept(opened: Opener, tmp_path: Path) -> None:
    """Two failures and a success are three attempts of one step in a run that succeeded."""
    count = tmp_path / "count"
    body = (
        f"path = Path({str(count)!r}); n = len(path.read_text()) if path.exists() else 0\n"
        "        path.write_text('x' * (n + 1))\n"
        "        return n if n == 2 else 1 / 0"
    )
    project = opened(one_step(body, options="(retries=2)"))

    run = project.run("single")

    tries = project.rooms.attempts.of_run(run.id)
    assert [attempt.state for attempt in tries] == [
        AttemptState.FAILED,
        AttemptState.FAILED,
        AttemptState.SUCCEEDED,
    ]


def test_siblings_of_a_failed_step_finish_and_dependants_are_skipped(opened: Opener) -> None:
    """A failure stops what needs its output, and nothing else."""
    text = """
    from mlwright import pipeline, step

    @step
    def bad() -> int:
        return 1 // 0

    @step
    def good() -> int:
        return 1

    @step
    def after(x: int) -> int:
        return x

    @pipeline
    def forked():
        after(bad())
        after(good())
    """
    project = opened({"pipelines/p.py": text})

    with pytest.raises(WorkFailed):
        project.run("forked")

    run = project.runs.list()[0]
    assert states(project, run) == {
        "bad": "failed",
        "good": "succeeded",
        "after": "skipped",
        "after-2": "succeeded",
    }


def test_a_failed_run_is_continued_with_todays_code(opened: Opener) -> None:
    """After the fix, `resume` runs what failed, reuses what succeeded, and says what it continues."""
    project = opened({"pipelines/p.py": CHAIN.replace("sum(values) * weight", "sum(values) / 0")})
    with pytest.raises(WorkFailed):
        project.run("chain", count=4)
    broken = project.runs.list()[0]

    (project.root / "pipelines/p.py").write_text(
        (project.root / "pipelines/p.py").read_text().replace("sum(values) / 0", "sum(values) * weight")
    )
    run, error = project.pipelines.run(project.pipelines.resume(broken.id))

    assert error is None
    assert states(project, run)["numbers"] == "reused"
    assert states(project, run)["total"] == "succeeded"
    assert project.runs.parameters(run.id)["count"] == 4
    assert edges.made_from(project.rooms.database, run.end, "continues")[0].earlier.id == broken.id
    assert project.runs.get(broken.id).state is RunState.FAILED


def test_a_run_that_succeeded_cannot_be_continued(opened: Opener) -> None:
    """There is nothing to take up."""
    project = opened({"pipelines/p.py": CHAIN})
    run = project.run("chain")

    with pytest.raises(Invalid, match="nothing to continue"):
        project.pipelines.resume(run.id)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"count": "many"}, "parameter `count` of pipeline `chain` must be a whole number, not 'many'"),
        ({"count": "1.5"}, "must be a whole number"),
        ({"weight": "heavy"}, "must be a number"),
        ({"cuont": "1"}, "has no parameter `cuont`"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_is_recorded(
    opened: Opener, given: dict[str, str], told: str
) -> None:
    """Types are held at the door, with the parameter named."""
    project = opened({"pipelines/p.py": CHAIN})

    with pytest.raises(Invalid) as caught:
        project.pipelines.run(Request("chain", given))

    assert told in caught.value.message
    assert project.runs.list() == []


def test_text_from_the_command_line_becomes_what_the_types_say(opened: Opener) -> None:
    """Lists, choices, unions and booleans are read from text; text stays text."""
    text = """
    from typing import Literal
    from mlwright import pipeline, step

    @step
    def keep(values: object) -> object:
        return values

    @pipeline
    def typed(
        a: list[int], b: Literal["x", "y"], c: int | None = 3, d: bool = False, e: str = "", f: float = 0
    ):
        keep([a, b, c, d, e, f])
    """
    project = opened({"pipelines/p.py": text})

    given = {"a": "[1, 2]", "b": "y", "c": "null", "d": "true", "e": "12", "f": "1"}
    run, _ = project.pipelines.run(Request("typed", given))

    assert project.runs.parameters(run.id) == {
        "a": [1, 2],
        "b": "y",
        "c": None,
        "d": True,
        "e": "12",
        "f": 1.0,
    }
    with pytest.raises(Invalid, match="one of \\['x', 'y'\\]"):
        project.pipelines.run(Request("typed", {"a": "[]", "b": "z"}))
    with pytest.raises(Invalid, match="needs the parameter `a`"):
        project.pipelines.run(Request("typed", {"b": "x"}))


def test_an_unknown_pipeline_is_answered_with_the_nearest(opened: Opener) -> None:
    """A typing error costs one look."""
    project = opened({"pipelines/p.py": CHAIN})

    with pytest.raises(NotFound) as caught:
        project.run("chian")

    assert caught.value.hint == "did you mean `chain`?"


def test_a_pipeline_that_looks_into_a_promise_is_told_so(opened: Opener) -> None:
    """A pipeline's function joins steps; deciding by a value happens inside one."""
    text = CHAIN + "\n    @pipeline\n    def curious():\n        if numbers(3): both([])\n"
    project = opened({"pipelines/p.py": text})

    with pytest.raises(Invalid, match="has not run yet"):
        project.run("curious")


def test_a_missing_package_is_named_with_what_to_do(opened: Opener) -> None:
    """An import that fails in the project's environment leads to pyproject.toml."""
    project = opened(
        {
            "pipelines/p.py": "import nonexistent_library\n"
            + "from mlwright import pipeline\n@pipeline\ndef p(): pass\n"
        }
    )

    with pytest.raises(Invalid) as caught:
        project.run("p")

    assert "nonexistent_library" in caught.value.message
    assert "dependencies" in (caught.value.hint or "")


def test_a_dataset_is_pinned_when_the_run_begins_and_counts_by_its_bytes(opened: Opener) -> None:
    """A new version runs what reads it; the same bytes under a new number do not."""
    body = "return data.open().read().decode()"
    project = opened(one_step(body, parameters='data: Dataset = Dataset("notes@latest")'))
    note = project.root / "note.txt"
    for text in ("one", "two", "one"):
        note.write_text(text)
        project.datasets.add(note, "notes")

    third = project.run("single")
    first = project.run("single", data="notes@1")
    second = project.run("single", data="notes@2")

    assert third.pins == {"notes@latest": "notes@3"}
    assert [states(project, run)["work"] for run in (third, first, second)] == [
        "succeeded",
        "reused",
        "succeeded",
    ]
    made_from = {edge.role: edge.earlier.id for edge in edges.made_from(project.rooms.database, second.end)}
    assert made_from["data:notes@2"] == project.datasets.versions.resolve("notes@2").id


def test_a_step_that_is_not_cached_runs_every_time(opened: Opener) -> None:
    """`cache=False` is how a step says that it reads what no fingerprint sees."""
    project = opened(one_step("return time.time_ns()", options="(cache=False)"))

    runs = [project.run("single"), project.run("single")]

    assert [states(project, run)["work"] for run in runs] == ["succeeded", "succeeded"]


GATED = """
    from mlwright import pipeline, step
    from mlwright.steps import gate

    @step
    def evaluate(auc: float) -> dict[str, float]:
        return {"auc": auc}

    @step
    def ship(scores: dict[str, float]) -> str:
        return "shipped"

    @pipeline
    def gated(auc: float = 0.9):
        scores = evaluate(auc)
        gate(scores, "auc >= 0.8")
"""


def test_a_closed_gate_fails_the_run_and_says_by_what(opened: Opener) -> None:
    """The verdict names the score and the bar."""
    project = opened({"pipelines/p.py": GATED})

    project.run("gated", auc=0.85)
    with pytest.raises(WorkFailed) as caught:
        project.run("gated", auc=0.5)

    assert "auc >= 0.8: it is 0.5" in caught.value.message
    assert project.runs.list()[0].state is RunState.FAILED


WAITING = one_step(
    "log_metric('seen', 3)\n        Path('begun').touch()\n        time.sleep(60)\n        return 1"
)


def running(root: Path) -> subprocess.Popen[str]:
    """A run in a process of its own, in the middle of its step."""
    process = subprocess.Popen(
        [str(COMMAND), "run", "single"], cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not list(root.glob(".mlwright/local/scratch/*/*/work/begun")):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_run(opened: Opener, number: signal.Signals, status: int) -> None:
    """Ctrl-C and SIGTERM stop the steps, mark the run cancelled, and leave no worker behind."""
    project = opened(WAITING)
    process = running(project.root)

    process.send_signal(number)
    _, words = process.communicate(timeout=20)

    run = project.runs.list()[0]
    assert process.returncode == status
    assert "was cancelled" in words and "mlwright runs resume" in words
    assert run.state is RunState.CANCELLED
    assert states(project, run) == {"work": "cancelled"}
    assert [metric.value for metric in project.runs.metrics(run.id)] == [3.0]
    assert workers_of(project.root) == []


def test_an_interrupt_parts_no_attempt_from_its_record(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes when a step was just handed over, and stands in no list yet, waits a moment."""
    project = opened(WAITING)
    submit = LocalExecutor.submit

    def submit_and_interrupt(executor: LocalExecutor, task: Task) -> None:
        submit(executor, task)
        if task.frame.head["op"] == "execute":
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(LocalExecutor, "submit", submit_and_interrupt)

    with pytest.raises(Cancelled) as caught:
        project.run("single")

    run = project.runs.list()[0]
    assert caught.value.exit_code == 130
    assert (run.state, states(project, run)) == (RunState.CANCELLED, {"work": "cancelled"})
    assert workers_of(project.root) == []


def test_a_run_whose_process_was_killed_is_lost_and_can_be_continued(opened: Opener) -> None:
    """After `kill -9`, whoever looks next sees the run as lost, without cleaning up anything."""
    project = opened(WAITING)
    process = running(project.root)
    until(lambda: states(project, project.runs.list()[0]))

    process.kill()
    process.communicate()
    lost = project.runs.list()[0]
    attempts = states(project, lost)
    (project.root / "pipelines/p.py").write_text(
        (project.root / "pipelines/p.py").read_text().replace("time.sleep(60)", "pass")
    )
    resumed = mlwright("runs", "resume", lost.id, cwd=project.root)

    assert lost.state is RunState.LOST
    assert "ended without a word" in (lost.error or {})["message"]
    assert attempts == {"work": "lost"}
    assert [metric.value for metric in project.runs.metrics(lost.id)] == [3.0]
    assert resumed.returncode == 0, resumed.stderr
    assert project.runs.get(lost.id).state is RunState.LOST
    deadline = time.monotonic() + 10
    while workers_of(project.root):
        assert time.monotonic() < deadline, "a worker outlived its engine"
        time.sleep(0.05)


def test_of_two_that_continue_a_run_one_wins(opened: Opener) -> None:
    """The other is told who has it."""
    project = opened(WAITING)
    process = running(project.root)
    process.kill()
    process.communicate()
    lost = project.runs.list()[0]
    winner = subprocess.Popen(
        [str(COMMAND), "runs", "resume", lost.id],
        cwd=project.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while project.runs.list()[0].id == lost.id:
        assert time.monotonic() < deadline
        time.sleep(0.02)

    with pytest.raises(Conflict, match="is being continued already"):
        project.pipelines.run(project.pipelines.resume(lost.id))

    winner.terminate()
    winner.wait(timeout=20)


def workers_of(root: Path) -> list[int]:
    """Processes that run code of a project's snapshots."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(root).encode() in command and b"mlwright.sdk.session" in command:
                found.append(int(entry.name))
    return found


def test_eight_processes_may_run_one_pipeline_at_once(opened: Opener) -> None:
    """Each run succeeds, and none is told that the database is locked."""
    project = opened({"pipelines/p.py": CHAIN})
    command = [str(COMMAND), "run", "chain"]

    processes = [subprocess.Popen(command, cwd=project.root, stderr=subprocess.PIPE) for _ in range(8)]
    words = [process.communicate(timeout=120)[1] for process in processes]

    assert [process.returncode for process in processes] == [0] * 8, words
    assert {run.state for run in project.runs.list()} == {RunState.SUCCEEDED}


def test_a_pipeline_may_read_two_versions_of_one_dataset_and_be_reproduced(opened: Opener) -> None:
    """Each version is tied to the run by the reference that named it."""
    text = """
    from mlwright import Dataset, pipeline, step

    @step
    def compare(old: Dataset, new: Dataset) -> list[int]:
        return [len(old.open().read()), len(new.open().read())]

    @pipeline
    def growth(old: Dataset = Dataset("notes@1"), new: Dataset = Dataset("notes@latest")):
        compare(old, new)
    """
    project = opened({"pipelines/p.py": text})
    note = project.root / "note.txt"
    for content in ("one", "three"):
        note.write_text(content)
        project.datasets.add(note, "notes")

    run = project.run("growth")

    reproduction = project.reproduce(run.id)
    assert run.pins == {"notes@1": "notes@1", "notes@latest": "notes@2"}
    assert reproduction.identical


def test_a_step_that_cannot_be_repeated_is_named_by_reproduce(opened: Opener) -> None:
    """What reads the clock comes out different, and the first such step is told."""
    project = opened(one_step("return time.time_ns()"))
    run = project.run("single")

    reproduction = project.reproduce(run.id)

    assert not reproduction.identical
    assert reproduction.first_different is not None
    assert reproduction.first_different.node == "work"
    assert mlwright("runs", "reproduce", run.id, cwd=project.root).returncode == 1


def test_steps_that_ask_for_every_processor_do_not_run_at_once(opened: Opener) -> None:
    """`cpus` are held while a step runs: what does not fit beside it waits."""
    text = """
    import time
    from mlwright import pipeline, step

    @step(resources={"cpus": 64}, seed=None)
    def wide(number: int) -> list[float]:
        began = time.monotonic()
        time.sleep(0.2)
        return [began, time.monotonic()]

    @step
    def overlap(spans: list[list[float]]) -> bool:
        ordered = sorted(spans)
        return any(one[1] > other[0] for one, other in zip(ordered, ordered[1:]))

    @pipeline
    def crowd():
        overlap([wide(1), wide(2), wide(3)])
    """
    project = opened({"pipelines/p.py": text})

    run = project.run("crowd")

    told = run_detail(project.rooms, run.id).attempts[-1].outputs["result"]
    assert project.rooms.objects.get(told.digest) == b"false"


def test_a_file_beside_the_code_counts_for_the_step_that_names_it(opened: Opener) -> None:
    """Parameters in a file of the project are inputs too, and `runs why` names the file."""
    text = """
    from pathlib import Path
    from mlwright import pipeline, step

    @step
    def read() -> str:
        return Path(__file__).with_name("params.yaml").read_text()

    @step
    def other() -> str:
        return "nothing of the kind"

    @pipeline
    def configured():
        read()
        other()
    """
    project = opened({"pipelines/p.py": text, "pipelines/params.yaml": "depth: 1\n"})
    project.run("configured")
    (project.root / "pipelines/params.yaml").write_text("depth: 2\n")

    run = project.run("configured")

    told = why(project.rooms, run.id, "read").differences
    assert states(project, run) == {"read": "succeeded", "other": "reused"}
    assert [each.text for each in told] == ["the file pipelines/params.yaml, which the step names, differs"]


def test_an_output_whose_bytes_are_gone_is_made_again(opened: Opener) -> None:
    """A success is reused only while its outputs are there."""
    project = opened(one_step("return b'x' * 10_000"))
    run = project.run("single")
    digest = run_detail(project.rooms, run.id).attempts[0].outputs["result"].digest
    project.rooms.objects.remove(digest)

    again = project.run("single")

    assert states(project, again) == {"work": "succeeded"}
    assert digest in project.rooms.objects


@pytest.mark.parametrize("wrong", [b"y" * 10_000, b"x" * 9_999, b"", None])
def test_a_damaged_output_is_made_again(opened: Opener, wrong: bytes | None) -> None:
    """A flipped, truncated, empty or lost object is noticed before it is used: its step runs again."""
    text = """
    from mlwright import pipeline, step

    @step
    def make() -> bytes:
        return b"x" * 10_000

    @step
    def use(data: bytes, times: int) -> int:
        return len(data) * times

    @pipeline
    def pair(times: int = 1):
        use(make(), times)
    """
    project = opened({"pipelines/p.py": text})
    run = project.run("pair")
    path = project.rooms.objects.path(run_detail(project.rooms, run.id).attempts[0].outputs["result"].digest)
    if wrong is None:
        path.unlink()
    else:
        overwrite(path, wrong)

    again = project.run("pair", times=2)

    assert states(project, again) == {"make": "succeeded", "use": "succeeded"}
    assert states(project, project.run("pair", times=2)) == {"make": "reused", "use": "reused"}


def test_a_damaged_dataset_fails_the_run_and_leaves_no_attempt_running(
    opened: Opener, tmp_path: Path
) -> None:
    """When the engine cannot go on, nothing is left that looks as if it still ran; the same data heals it."""
    text = """
    from mlwright import Dataset, pipeline, step

    @step
    def wait() -> int:
        return 1

    @step
    def use(data: Dataset, one: int) -> int:
        return len(data.open().read()) * one

    @pipeline
    def pair(data: Dataset = Dataset("bytes")):
        use(data, wait())
    """
    project = opened({"pipelines/p.py": text})
    file = tmp_path / "bytes"
    file.write_bytes(b"x" * 10_000)
    version, _ = project.datasets.add(file, "bytes")
    (entry,) = project.datasets.tree(version).entries
    overwrite(project.rooms.objects.path(entry.digest), b"y" * 10_000)

    with pytest.raises(Corrupt, match="is damaged"):
        project.run("pair")

    failed = project.runs.list()[0]
    assert failed.state is RunState.FAILED
    assert "running" not in states(project, failed).values()
    assert project.datasets.add(file, "bytes", verify=True) == (version, False)
    assert states(project, project.run("pair"))["use"] == "succeeded"


def test_what_a_pipelines_function_does_to_its_module_does_not_reach_a_step(opened: Opener) -> None:
    """The first run, which is traced, and the next, which is not, give the same."""
    text = """
    from mlwright import pipeline, step

    LOG = []

    @step
    def count() -> int:
        return len(LOG)

    @pipeline
    def tracked():
        LOG.append(1)
        count()
    """
    project = opened({"pipelines/p.py": text})

    digests = {
        run_detail(project.rooms, project.run("tracked", cache=False).id).attempts[0].outputs["result"].digest
        for _ in range(2)
    }

    assert len(digests) == 1


def test_a_pipeline_that_reads_a_file_of_the_project_is_traced_again_when_it_changes(opened: Opener) -> None:
    """The graph may depend on any file of the snapshot."""
    text = """
    import json
    from pathlib import Path
    from mlwright import pipeline, step

    @step
    def double(x: int) -> int:
        return 2 * x

    @pipeline
    def configured():
        double(json.loads(Path(__file__).with_name("params.json").read_text())["x"])
    """
    project = opened({"pipelines/p.py": text, "pipelines/params.json": '{"x": 1}'})
    project.run("configured")
    (project.root / "pipelines/params.json").write_text('{"x": 7}')

    run = project.run("configured")

    result = run_detail(project.rooms, run.id).attempts[0].outputs["result"]
    assert project.rooms.objects.get(result.digest) == b"14"


def test_a_snapshot_on_disk_that_was_cut_short_is_made_anew(opened: Opener) -> None:
    """What a power cut or a step did to the copy never runs in place of the recorded code."""
    project = opened(one_step("return 'as written'"))
    project.run("single")
    (copy,) = (project.root / ".mlwright/local/snapshots").iterdir()
    (copy / "pipelines/p.py").unlink()
    (copy / "pipelines/p.py").write_text("")

    run = project.run("single", cache=False)

    told = run_detail(project.rooms, run.id).attempts[0].outputs["result"]
    assert project.rooms.objects.get(told.digest) == b"as written"
    assert list((project.root / ".mlwright/local/snapshots").iterdir()) == [copy]


def test_a_retry_waits_for_its_processors_too(opened: Opener, tmp_path: Path) -> None:
    """The second try of a wide step does not begin beside another step."""
    text = f"""
    import time
    from pathlib import Path
    from mlwright import pipeline, step

    FLAG = Path({str(tmp_path / "tried")!r})

    @step(resources={{"cpus": 64}}, retries=1, cache=False)
    def wide() -> list[float]:
        if not FLAG.exists():
            FLAG.touch()
            raise RuntimeError("the first try")
        return [time.monotonic()]

    @step(cache=False)
    def slow() -> list[float]:
        began = time.monotonic()
        time.sleep(1.5)
        return [began, time.monotonic()]

    @step
    def beside(wide: list[float], slow: list[float]) -> bool:
        return slow[0] <= wide[0] <= slow[1]

    @pipeline
    def crowd():
        beside(wide(), slow())
    """
    project = opened({"pipelines/p.py": text})

    run = project.run("crowd")

    told = run_detail(project.rooms, run.id).attempts[-1].outputs["result"]
    assert project.rooms.objects.get(told.digest) == b"false"
