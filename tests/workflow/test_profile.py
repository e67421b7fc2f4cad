"""`runs profile`: where the time of a run went, and what would help."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len

from mlwright.app import Project
from mlwright.kernel.digest import Digest
from mlwright.kernel.ids import AttemptId, RunId
from mlwright.tracking import Run, RunState
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.gantt import gantt, legend
from mlwright.workflow.history import Earlier, Reuse
from mlwright.workflow.profile import Profile, profile, profile_of
from mlwright.workflow.sections import profile_sections
from mlwright.workflow.timeline import slots_of, spans_of
from tests.conftest import COMMAND, Maker, mlwright

Opener = Callable[[dict[str, str]], Project]

FAN = """
    from mlwright import pipeline, step

    @step
    def load(count: int) -> list[int]:
        return list(range(count))

    @step(cache=False)
    def other() -> int:
        return 7

    @step
    def fit(x: int, y: int) -> int:
        return x * y

    @step
    def total(parts: list[int]) -> int:
        return sum(parts)

    @pipeline
    def fan(count: int = 5, rate: int = 1):
        total(fit.map(load(count), y=other()))
"""
BEGAN_US = 1_800_000_000_000_000
MACHINE = {"cpus": 8, "memory_bytes": 16 * 2**30}


def ran(
    node: str,
    began_s: float = 0.0,
    ended_s: float = 1.0,
    state: AttemptState = AttemptState.SUCCEEDED,
    **more: Any,
) -> Attempt:
    """An attempt that ran, in seconds since its run began."""
    wall_s = ended_s - began_s
    known: dict[str, Any] = {"wall_s": wall_s, "cpu_s": wall_s, "waited_s": 0.0, "fingerprint": Digest("f")}
    return Attempt(
        AttemptId(f"{node}-{more.get('number', 1)}"),
        RunId("R"),
        node,
        more.pop("number", 1),
        state,
        created_us=BEGAN_US + round(began_s * 1e6),
        finished_us=BEGAN_US + round(ended_s * 1e6),
        **{**known, "worker": f"w-{node}", **more},
    )


def took(wall_s: float = 10.0, state: RunState = RunState.SUCCEEDED, **more: Any) -> Run:
    """A run that took so long."""
    ended_us = BEGAN_US + round(wall_s * 1e6)
    known = {"machine": MACHINE, **more}
    return Run(RunId("R"), "small", "p", state, 0, BEGAN_US, ended_us, None, {}, **known)


def profiled(
    *attempts: Attempt,
    run: Run | None = None,
    needed: dict[str, list[str]] | None = None,
    saved: dict[str, float] | None = None,
    earlier: dict[str, list[Earlier]] | None = None,
    repeated: dict[str, int] | None = None,
) -> Profile:
    """A profile of attempts; what is needed is by node."""
    ordered = sorted(attempts, key=lambda attempt: attempt.created_us)
    return profile_of(
        run
        or took(
            max((each.finished_us or BEGAN_US for each in attempts), default=BEGAN_US) / 1e6 - BEGAN_US / 1e6
        ),
        ordered,
        {each.id: (needed or {}).get(each.node, []) for each in attempts},
        {
            AttemptId(f"{node}-1"): Reuse(AttemptId(f"{node}-1"), AttemptId("x"), was)
            for node, was in (saved or {}).items()
        },
        earlier or {},
        repeated or {},
    )


def rules(made: Profile) -> dict[str, str]:
    """What was suggested, by rule."""
    return {each.rule: each.text for each in made.suggestions}


def test_the_critical_path_is_the_way_that_took_longest() -> None:
    """Of two ways to the end the longer one counts, also when the other ended last; waiting is not in it."""
    made = profiled(
        ran("load", 0, 1),
        ran("long", 1, 6),
        ran("short", 1, 2),
        ran("late", 7, 8),
        ran("join", 8, 9),
        needed={"long": ["load"], "short": ["load"], "late": ["short"], "join": ["long", "late"]},
    )

    assert [span.node for span in made.critical_path] == ["load", "long", "join"]
    assert made.critical_s == pytest.approx(7.0)
    assert made.critical_steps == pytest.approx({"load": 1.0, "long": 5.0, "join": 1.0})


def test_the_critical_path_goes_through_reused_steps_tries_and_elements() -> None:
    """A try comes behind the one before it, a reduce behind its slowest element, and reuse takes no time."""
    made = profiled(
        ran("load", 0, 2),
        replace(ran("clean", 2, 2), state=AttemptState.REUSED, wall_s=None, worker=""),
        ran("fit[0]", 2, 3),
        ran("fit[1]", 2, 4, AttemptState.FAILED),
        ran("fit[1]", 4, 7, number=2),
        ran("total", 7, 8),
        needed={"clean": ["load"], "fit[0]": ["clean"], "fit[1]": ["clean"], "total": ["fit[0]", "fit[1]"]},
    )

    assert [(span.node, span.number) for span in made.critical_path] == [
        ("load", 1),
        ("fit[1]", 1),
        ("fit[1]", 2),
        ("total", 1),
    ]


def test_efficiency_is_work_in_the_slots_that_were_taken() -> None:
    """Two workers, one of them idle half of the time, are at work three quarters of it; processors count."""
    one = profiled(ran("a", 0, 10), ran("b", 0, 5), run=took(10))
    wide = profiled(ran("a", 0, 4, cpus=4), ran("b", 4, 8, cpus=2), run=took(8))

    assert (one.slots, one.busy_s, one.efficiency) == (2, pytest.approx(15.0), pytest.approx(0.75))
    assert (wide.slots, wide.busy_s, wide.efficiency) == (4, pytest.approx(24.0), pytest.approx(0.75))


def test_what_a_worker_told_in_one_burst_was_done_one_after_the_other() -> None:
    """Brief attempts of one worker end in the records at once; they did not run at once."""
    burst = [ran(f"fit[{place}]", 0.9, 1.0, worker="w1") for place in range(5)]

    spans = spans_of(took(1.0), burst)

    assert slots_of(spans) == 1
    assert [round(span.began_s, 6) for span in spans] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9])


@pytest.mark.parametrize("state", [*RunState])
def test_a_run_in_which_nothing_ran_has_a_profile(state: RunState) -> None:
    """Nothing is divided by what is not there: no attempts, only reused ones, an instant of work."""
    reused = replace(ran("a", 0, 0), state=AttemptState.REUSED, wall_s=None, worker="", waited_s=None)
    instant = ran("b", 0, 0, cpu_s=0.0)
    lost = replace(ran("c", 0, 0), state=AttemptState.LOST, wall_s=None, cpu_s=None, waited_s=None)

    made = [
        profiled(*attempts, run=took(0, state))
        for attempts in ([], [reused], [instant], [lost], [reused, instant])
    ]

    assert [each.efficiency for each in made] == [None] * 5
    for each in made:
        assert gantt(each, width=60) is not None
        assert profile_sections(each)[0].title == "time"


def test_the_cache_saved_what_the_reused_took_when_they_were_made() -> None:
    """The sum of the original durations, in all and by step."""
    reused = [
        replace(ran(node, 0, 0), state=AttemptState.REUSED, wall_s=None, worker="")
        for node in ("load", "fit[0]", "fit[1]")
    ]

    made = profiled(*reused, ran("total", 0, 1), saved={"load": 40.0, "fit[0]": 2.0, "fit[1]": 3.0})

    assert made.saved_s == 45.0
    assert {step.label: (step.reused, step.saved_s) for step in made.steps} == {
        "load": (1, 40.0),
        "fit[2]": (2, 5.0),
        "total": (0, 0.0),
    }


def test_a_step_is_compared_with_its_earlier_successes() -> None:
    """The mean of a success, now and before; failed tries do not count."""
    made = profiled(
        ran("fit[0]", 0, 1, AttemptState.FAILED),
        ran("fit[0]", 1, 5, number=2),
        ran("fit[1]", 0, 2),
        earlier={"fit": [Earlier(RunId("A"), 2, 2.0), Earlier(RunId("B"), 1, 4.0)]},
    )

    (step,) = made.steps
    assert (step.mean_s, step.earlier_mean_s, step.ratio) == pytest.approx((3.0, 2.0, 1.5))
    assert (step.earlier_runs, step.ran, step.failed_s) == (2, 3, pytest.approx(1.0))


WAITING = ran("fit", 12, 14, waited_s=12.0)
BUSY = [ran(f"a[{place}]", place, place + 1, worker="w1", waited_s=0.0) for place in range(13)]


@pytest.mark.parametrize(
    ("rule", "made", "told"),
    [
        (
            "waiting",
            profiled(*BUSY, WAITING),
            "`fit` waited 12.0 s for processors: 2 of 8 processors were taken at once: raise `workers`",
        ),
        (
            "waiting",
            profiled(*BUSY, replace(WAITING, gpus="0")),
            "`fit` waited 12.0 s for a GPU: a machine with more of them would help",
        ),
        (
            "waiting",
            profiled(*BUSY, WAITING, run=took(14, machine={"cpus": 2})),
            "`fit` waited 12.0 s for processors: all 2 processors were taken: take a machine with more",
        ),
        (
            "waiting",
            profiled(*BUSY, replace(WAITING, cpus=3), run=took(14, machine={"cpus": 4})),
            "`fit` waited 12.0 s for processors: all 4 processors were taken: lower `cpus` of `fit`, or take"
            " a machine with more",
        ),
        (
            "serial",
            profiled(ran("a", 0, 12), WAITING),
            "`a` and `fit` do not depend on each other but ran one after the other: `fit` waited 12.0 s;"
            " 1 of 8 processors was taken at once: raise `workers`",
        ),
        (
            "repeated",
            profiled(ran("load", 0, 40, fingerprint=None), repeated={"load": 4}),
            "`load` took 40.0 s and was run again in each of 5 runs with the same inputs, to the same bytes:"
            " it has cache=False",
        ),
        (
            "idle",
            profiled(ran("train", 0, 10, cpus=4, cpu_s=9.0)),
            "`train` uses 0.9 of 4 processors: lower `cpus` to 1",
        ),
        (
            "crowded",
            profiled(ran("train", 0, 10, cpus=1, cpu_s=38.0)),
            "`train` uses 3.8 processors and asked for 1: raise `cpus` to 4, so that it does not take them"
            " from others",
        ),
        (
            "slower",
            profiled(
                ran("fit", 0, 40),
                earlier={"fit": [Earlier(RunId("A"), 1, 18.0), Earlier(RunId("B"), 1, 22.0)]},
            ),
            "`fit` took 40.0 s, 2.0 times its mean of 20.0 s in 2 earlier runs: see what differs with"
            " runs diff",
        ),
        (
            "failing",
            profiled(ran("fit", 0, 30, AttemptState.FAILED), ran("fit", 30, 40, number=2)),
            "`fit` ran for 30.0 s in tries that failed: see runs logs",
        ),
        (
            "full",
            profiled(ran("fit", peak_bytes=15 * 2**30)),
            "`fit` held 15.0 GiB of the machine's 16.0 GiB: two at once would not fit; give it a"
            " `memory` limit",
        ),
        (
            "heavy",
            profiled(ran("load", 0, 1), ran("fit", 1, 10), needed={"fit": ["load"]}),
            "`fit` is 90% of the critical path: make it faster, all else together can save 1.0 s at most",
        ),
        (
            "tiny",
            profiled(*(ran(f"fit[{place}]", place, place + 0.0005) for place in range(100))),
            "`fit` has 100 elements of 0.5 ms each, about what it costs to record one: map over fewer, larger"
            " pieces",
        ),
    ],
)
def test_each_rule_says_what_it_saw_and_what_to_do(rule: str, made: Profile, told: str) -> None:
    """A suggestion names the step, the numbers and the change."""
    assert rules(made)[rule] == told


def test_who_waited_for_one_step_is_told_so_once() -> None:
    """Where two steps ran one after the other for want of room, that is all that is said of the wait."""
    made = profiled(ran("a", 0, 12), WAITING)

    assert [each.rule for each in made.suggestions if each.step == "fit"] == ["serial"]


def test_a_good_run_gets_no_suggestion() -> None:
    """Two balanced steps, neither waiting nor idle, as fast as ever: nothing is to be said."""
    made = profiled(
        ran("a", 0, 5, cpu_s=4.5),
        ran("b", 5, 10, cpu_s=4.8),
        needed={"b": ["a"]},
        earlier={"a": [Earlier(RunId("A"), 1, 5.0), Earlier(RunId("B"), 1, 4.0)]},
    )

    assert made.suggestions == ()


def test_what_is_short_is_not_worth_a_word() -> None:
    """A second in a run of minutes, or a share of less than a second, gives no suggestion."""
    small = profiled(ran("a", 0, 0.5), ran("b", 0.5, 0.6, waited_s=0.5, cpus=4))
    long = profiled(ran("a", 0, 1000), ran("b", 1000, 1001, waited_s=2.0), needed={"b": ["a"]})

    assert set(rules(small)) == set()
    assert set(rules(long)) <= {"heavy"}


def test_elements_that_wait_for_each_other_are_as_it_should_be() -> None:
    """With every processor taken, a fan-out cannot but wait; with workers to spare it need not."""
    elements = [ran(f"fit[{place}]", place, place + 1, waited_s=1.0, worker="w1") for place in range(10)]

    full = profiled(*elements, run=took(10, machine={"cpus": 1}))
    free = profiled(*elements, run=took(10, machine={"cpus": 4}))

    assert "waiting" not in rules(full)
    assert "raise `workers`" in rules(free)["waiting"]


def test_the_picture_shows_when_each_step_ran() -> None:
    """One row for a step or a fan-out: solid on the critical path, lighter beside it, dots for waiting."""
    made = profiled(
        ran("load", 0, 2),
        ran("fit[0]", 2, 6),
        ran("fit[1]", 4, 8, waited_s=2.0),
        ran("bad", 8, 10, AttemptState.FAILED, waited_s=1.0),
        needed={"fit[0]": ["load"], "fit[1]": ["load"], "bad": ["fit[1]"]},
    )

    rows = [row.text for row in gantt(made, width=43, encoding="utf-8")]
    plain = [row.text for row in gantt(made, width=43, encoding="ascii")]

    assert rows == [
        "load    ████                  2.0 s",
        "fit[2]      ▒▒▒▒████████      2 times 4.0 s",
        "bad                   ··▞▞▞▞  2.0 s",
    ]
    assert plain == [
        "load    ####                  2.0 s",
        "fit[2]      ====########      2 times 4.0 s",
        "bad                   ..xxxx  2.0 s",
    ]


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("utf-8", "█ critical path  ▒ other  · waiting  ▞ failed"),
        ("ascii", "# critical path  = other  . waiting  x failed"),
        ("latin-1", "# critical path  = other  . waiting  x failed"),
    ],
)
def test_the_picture_has_a_legend(encoding: str, line: str) -> None:
    """What each mark means, in the marks of the picture."""
    assert "  ".join(f"{mark} {word}" for _, mark, word in legend(encoding)) == line


def test_a_limit_of_memory_is_what_the_peak_is_held_against() -> None:
    """Not the machine's, which the step cannot have; without a limit, the machine's."""
    limited = {"detail": {"memory_bytes": 2**30}}

    near = profiled(ran("fit", peak_bytes=950 * 2**20, **limited))
    far = profiled(ran("fit", peak_bytes=500 * 2**20, **limited))
    large = profiled(ran("fit", peak_bytes=15 * 2**30, detail={"memory_bytes": 30 * 2**30}))

    assert rules(near)["full"] == (
        "`fit` held 0.93 of the 1.00 GiB of its `memory`: raise it before an attempt fails"
    )
    assert "full" not in rules(far)
    assert "full" not in rules(large)


def test_a_limit_of_memory_is_recorded_with_the_attempt(opened: Opener) -> None:
    """So that a profile knows it; a step without one records nothing."""
    limited = FAN.replace("@step\n    def total", '@step(resources={"memory": "1GiB"})\n    def total')
    project = opened({"pipelines/p.py": limited})

    run = project.run("fan")

    costs = {each.name: each.memory_bytes for each in profile(project.rooms, run.id).steps}
    details = {each.node: each.detail for each in project.rooms.attempts.of_run(run.id)}
    assert costs == {"load": None, "other": None, "fit": None, "total": 2**30}
    assert details["total"] == {"memory_bytes": 2**30} and details["load"] == {}


def test_the_command_shows_the_legend_below_the_picture(opened: Opener) -> None:
    """Between the bars and the table of times."""
    project = opened({"pipelines/p.py": FAN})
    project.run("fan")

    lines = mlwright("runs", "profile", "latest", cwd=project.root, PYTHONIOENCODING="ascii").stdout

    assert "\n  # critical path  = other  . waiting  x failed\ntime\n" in lines


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "fit[0]", "fit[1]", "sehr-langer-name-eines-schrittes", "단계"]),
            st.floats(0, 10),
            st.floats(0, 5),
            st.floats(0, 20),
            st.sampled_from([AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.CANCELLED]),
        ),
        max_size=8,
        unique_by=lambda each: each[0],
    ),
    st.integers(20, 200),
    st.sampled_from(["utf-8", "ascii", "latin-1"]),
)
def test_a_picture_fits_the_screen(spans: list[tuple[Any, ...]], width: int, encoding: str) -> None:
    """Whatever ran when: bars are equally wide, each attempt has a cell, and the screen can show it."""
    attempts = [
        ran(node, began, began + wall, state, waited_s=waited) for node, began, wall, waited, state in spans
    ]

    rows = gantt(profiled(*attempts, run=took(15)), width=width, encoding=encoding)

    bars = ["".join(text for _, text in row.bar) for row in rows]
    assert len({len(bar) for bar in bars}) <= 1
    assert all({ink for ink, _ in row.bar} - {"idle", "waiting"} for row in rows)
    assert len({cell_len(row.label) for row in rows}) <= 1
    for row in rows:
        row.text.encode(encoding)
    assert width < 60 or encoding != "utf-8" or all(cell_len(row.text) <= width for row in rows)


def test_a_real_fan_out_is_profiled(opened: Opener) -> None:
    """Elements are one step; the reduce stands behind them; a second run knows what the first one took."""
    project = opened({"pipelines/p.py": FAN})
    project.run("fan")
    project.run("fan", rate=2, seed=1)
    slow_down(project, "total", 5.0)

    made = profile(project.rooms, "latest")

    steps = {step.name: step for step in made.steps}
    assert {name: (step.label, step.elements) for name, step in steps.items()} == {
        "load": ("load", 1),
        "other": ("other", 1),
        "fit": ("fit[5]", 5),
        "total": ("total", 1),
    }
    assert list(made.critical_steps)[-2:] == ["fit", "total"]
    assert all(step.earlier_runs == 1 and step.ratio for step in steps.values())
    assert steps["total"].ratio == pytest.approx(1.0)
    assert made.efficiency is not None and 0 < made.efficiency <= 1
    assert made.busy_s >= made.critical_s > 5.0


def slow_down(project: Project, node: str, wall_s: float) -> None:
    """As if every attempt at a node had taken so long."""
    with project.rooms.database.transaction() as tx:
        tx.execute("UPDATE attempt SET wall_s = :wall_s WHERE node = :node", wall_s=wall_s, node=node)


def test_a_step_that_is_never_reused_is_found_to_do_the_same_again(opened: Opener) -> None:
    """Three runs in which it made the same bytes are counted; one in which it made others ends the count."""
    project = opened({"pipelines/p.py": FAN})
    project.run("fan")
    (project.root / "pipelines/p.py").write_text(
        (project.root / "pipelines/p.py").read_text().replace("return 7", "return 8")
    )
    for _ in range(3):
        project.run("fan")
    slow_down(project, "other", 40.0)

    made = profile(project.rooms, "latest")

    assert rules(made)["repeated"].startswith("`other` took 40.0 s and was run again in each of 3 runs")


def test_a_run_in_which_all_was_reused_says_what_that_saved(opened: Opener) -> None:
    """The second of two equal runs ran only what is never cached; the rest is told by what it had taken."""
    project = opened({"pipelines/p.py": FAN})
    project.run("fan")
    slow_down(project, "load", 100.0)
    project.run("fan")

    made = profile(project.rooms, "latest")

    steps = {step.name: step for step in made.steps}
    assert steps["load"].saved_s == 100.0
    assert made.saved_s >= 100.0
    assert [span.node for span in made.critical_path] == ["other"]


def test_the_command_draws_without_colour_into_a_pipe_and_answers_in_json(make_project: Maker) -> None:
    """Into a pipe no escape goes, nor a box character where the encoding has none; JSON holds all numbers."""
    root = make_project({"pipelines/p.py": FAN})
    mlwright("run", "fan", cwd=root)

    shown = mlwright("runs", "profile", "latest", cwd=root, PYTHONIOENCODING="ascii")
    answer = json.loads(mlwright("runs", "profile", "latest", "--json", cwd=root).stdout)

    assert shown.returncode == 0, shown.stderr
    assert "\x1b" not in shown.stdout and shown.stdout.isascii()
    assert re.search(r"^  fit\[5\] [ .]*[=#][ .=#]* +5 times ", shown.stdout, re.MULTILINE)
    assert "critical path" in shown.stdout
    assert {"critical_path", "efficiency", "steps", "spans", "suggestions", "saved_s"} <= set(answer)
    assert {step["name"] for step in answer["steps"]} == {"load", "other", "fit", "total"}


def test_the_command_colours_on_a_terminal(make_project: Maker) -> None:
    """On a terminal the critical path is red."""
    root = make_project({"pipelines/p.py": FAN})
    mlwright("run", "fan", cwd=root)
    ours, theirs = os.openpty()

    with subprocess.Popen(
        [str(COMMAND), "runs", "profile", "latest"], cwd=root, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
    os.close(ours)

    assert process.returncode == 0
    assert b"\x1b[31m" in said
