"""`runs show` and `runs list`: what is known of runs, in a page that fits a screen."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.compute import this_machine
from mlwright.kernel.errors import NotFound, WorkFailed
from mlwright.workflow.attempts import AttemptState
from mlwright.workflow.detail import AttemptDetail, logs, run_detail
from mlwright.workflow.group import attempts_at, element_of, groups_of
from mlwright.workflow.runs_api import show_run
from mlwright.workflow.sections import detail_sections
from mlwright.workflow.why import why
from tests.conftest import COMMAND, Maker, mlwright
from tests.processes import until

Opener = Callable[[dict[str, str]], Project]

FAN = """
    from pathlib import Path
    from mlwright import log_artifact, log_metric, log_param, pipeline, step

    @step(retries=1)
    def fit(x: int, mark: str) -> int:
        if x == 1 and not Path(mark).exists():
            Path(mark).touch()
            raise ValueError("once")
        return x

    @step
    def total(parts: list[int]) -> int:
        log_metric("sum", sum(parts))
        log_param("elements", len(parts))
        log_artifact({"parts": parts}, "report.json")
        if sum(parts) > 100:
            raise ValueError("too much")
        return sum(parts)

    @pipeline
    def fan(mark: str, numbers: list[int]):
        total(fit.map(numbers, mark=mark))
"""


def rows(project: Project, title: str, **options: bool) -> list[tuple[str, ...]]:
    """The table of the newest run under a title, with its head."""
    found = detail_sections(show_run(project, "latest"), **options)
    section = next(each for each in found if each.title == title)
    return [section.head, *section.rows]


def column(table: list[tuple[str, ...]], name: str) -> dict[str, str]:
    """A column of a table, by the first one."""
    place = table[0].index(name)
    return {row[0]: row[place] for row in table[1:]}


def test_a_mapped_step_is_one_line_with_its_tries(opened: Opener, tmp_path: Path) -> None:
    """Elements are counted by their state, and so are tries made again; what is empty has no column."""
    project = opened({"pipelines/p.py": FAN})
    project.run("fan", mark=str(tmp_path / "mark"), numbers=[0, 1, 2])
    first = rows(project, "steps")
    project.run("fan", mark=str(tmp_path / "mark"), numbers=[0, 1, 2, 3])
    second = rows(project, "steps")

    assert column(first, "state") == {"fit[3]": "3 succeeded", "total": "succeeded"}
    assert column(first, "made")["fit[3]"] == "1 tried again"
    assert column(second, "state")["fit[4]"] in {"3 reused, 1 succeeded", "1 succeeded, 3 reused"}
    assert column(first, "peak")["fit[3]"].endswith(" MiB")


def test_all_elements_and_tries_are_shown_when_asked_for(opened: Opener, tmp_path: Path) -> None:
    """With `all`, each try of each element has a row of its own."""
    project = opened({"pipelines/p.py": FAN})
    project.run("fan", mark=str(tmp_path / "mark"), numbers=[0, 1])

    states = column(rows(project, "steps", every=True), "state")

    assert states == {
        "fit[0]": "succeeded",
        "fit[1]": "failed",
        "fit[1] (try 2)": "succeeded",
        "total": "succeeded",
    }


def test_what_was_logged_and_where_it_ran_is_shown(opened: Opener, tmp_path: Path) -> None:
    """Parameters that a step set, metrics, artifacts with the step that logged them, and the machine."""
    project = opened({"pipelines/p.py": FAN})
    run = project.run("fan", mark=str(tmp_path / "mark"), numbers=[4, 5])

    shown = {
        title: column(
            [("name", "value", *[""] * 5), *(row + ("",) * 5 for row in rows(project, title)[1:])], "value"
        )
        for title in ("parameters", "metrics", "machine")
    }
    (artifact,) = rows(project, "artifacts")[1:]

    assert shown["parameters"]["elements"] == "2"
    assert shown["parameters"]["seed"] == "0"
    assert shown["metrics"] == {"sum": "9"}
    assert shown["machine"]["cpus"] == str(run.machine["cpus"])
    assert artifact[0] == "report.json"
    assert artifact[-1] == "by total"


def test_a_reused_step_has_what_it_reuses(opened: Opener, tmp_path: Path) -> None:
    """Outputs and logged artifacts of a reused attempt are those of the attempt it names."""
    project = opened({"pipelines/p.py": FAN})
    for _ in range(2):
        project.run("fan", mark=str(tmp_path / "mark"), numbers=[0, 1])
    newest, oldest = (run_detail(project.rooms, run.id) for run in project.runs.list())

    again = {each.attempt.node: each for each in newest.attempts}
    before = {each.attempt.node: each for each in oldest.attempts}

    assert again["total"].attempt.state is AttemptState.REUSED
    assert again["total"].reuses == before["total"].attempt.id
    assert again["total"].outputs == before["total"].outputs != {}
    assert again["total"].logged == before["total"].logged != {}


def test_the_command_shows_one_line_and_answers_all_in_json(make_project: Maker, tmp_path: Path) -> None:
    """`runs show` collapses the fan-out, `--all` does not, and `--json` holds every attempt."""
    root = make_project({"pipelines/p.py": FAN})
    numbers = json.dumps(list(range(12)))
    mlwright("run", "fan", "-p", f"mark={tmp_path / 'mark'}", "-p", f"numbers={numbers}", cwd=root)

    shown = mlwright("runs", "show", "latest", cwd=root)
    every = mlwright("runs", "show", "latest", "--all", cwd=root)
    answer = json.loads(mlwright("runs", "show", "latest", "--json", cwd=root).stdout)

    assert shown.returncode == 0, shown.stderr
    assert re.search(r"^  fit\[12\] +12 succeeded +", shown.stdout, re.MULTILINE)
    assert "fit[11]" not in shown.stdout and "  fit[11] " in every.stdout
    assert len(answer["attempts"]) == 14
    assert answer["attempts"][-1]["logged"]["report.json"]["codec"] == "json"


def test_a_failed_element_is_named_in_the_line(opened: Opener, tmp_path: Path) -> None:
    """The one line of a fan-out says which element failed first and why."""
    project = opened({"pipelines/p.py": FAN.replace("x == 1 and not Path(mark).exists()", "x in (1, 2)")})
    with pytest.raises(WorkFailed):
        project.run("fan", mark=str(tmp_path / "mark"), numbers=[0, 1, 2])

    shown = rows(project, "steps")

    assert "2 failed" in column(shown, "state")["fit[3]"]
    assert re.fullmatch(r"2 tried again; fit\[[12]\]: .*ValueError: once", column(shown, "made")["fit[3]"])


def test_the_list_shows_what_it_was_asked_for(make_project: Maker, tmp_path: Path) -> None:
    """Filters narrow the list, and what they speak of has a column; what is wrong exits with 2."""
    root = make_project({"pipelines/p.py": FAN})
    for numbers in ("[1, 2]", "[3, 4]", "[5, 6]"):
        mlwright("run", "fan", "-p", f"mark={tmp_path / 'mark'}", "-p", f"numbers={numbers}", cwd=root)

    shown = mlwright(
        *("runs", "list", "--metric", "sum>3", "--param", "elements=2", "--sort", "metric:sum"),
        *("--since", "2h", "--kind", "pipeline", "--state", "succeeded"),
        cwd=root,
    )
    wrong = mlwright("runs", "list", "--since", "yesterday", cwd=root)
    answer = json.loads(mlwright("runs", "list", "--metric", "sum>=11", "--json", cwd=root).stdout)

    head, *table = (line.split() for line in shown.stdout.splitlines())
    assert head == ["RUN", "PIPELINE", "STATE", "BEGAN", "TOOK", "ELEMENTS", "SUM"]
    assert [row[-2:] for row in table] == [["2", "11"], ["2", "7"]]
    assert (wrong.returncode, "is no point in time" in wrong.stderr) == (2, True)
    assert len(answer) == 1


def test_elements_are_nodes_of_their_step(opened: Opener, tmp_path: Path) -> None:
    """`fit` means all its elements, `fit[1]` one with its tries; others are named."""
    project = opened({"pipelines/p.py": FAN})
    run = project.run("fan", mark=str(tmp_path / "mark"), numbers=[0, 1])
    attempts = project.rooms.attempts.of_run(run.id)

    found = {
        step: [(each.node, each.number) for each in attempts_at(attempts, step, "R")]
        for step in ("fit", "fit[1]")
    }

    assert sorted(found["fit"]) == [("fit[0]", 1), ("fit[1]", 1), ("fit[1]", 2)]
    assert found["fit[1]"] == [("fit[1]", 1), ("fit[1]", 2)]
    with pytest.raises(NotFound, match=r"step `fit` of run R has 2 elements: there is no `fit\[2\]`"):
        attempts_at(attempts, "fit[2]", "R")
    with pytest.raises(NotFound, match=r"step `total` of run R has no elements: there is no `total\[0\]`"):
        attempts_at(attempts, "total[0]", "R")
    with pytest.raises(NotFound, match="run R has no step `fat`") as refusal:
        attempts_at(attempts, "fat", "R")
    assert refusal.value.hint == "did you mean `fit`?"


HALTING = """
    import time
    from pathlib import Path
    from mlwright import pipeline, step

    @step(tags={"owner": "ml", "kind": "slow"})
    def fit(x: int, folder: str) -> int:
        if x >= 2:
            Path(folder, f"begun-{x}").touch()
        while x >= 2 and not Path(folder, "go").exists():
            time.sleep(0.005)
        return x

    @step
    def total(parts: list[int]) -> int:
        return sum(parts)

    @pipeline
    def halting(folder: str, numbers: list[int]):
        total(fit.map(numbers, folder=folder))
"""


def test_a_running_run_counts_the_elements_that_have_not_begun(opened: Opener, tmp_path: Path) -> None:
    """The label has all elements; those that wait are counted, and found not to have begun."""
    project = opened({"pipelines/p.py": HALTING})
    project.run("halting", folder=str(tmp_path), numbers=[0])
    running = this_machine().cpus
    numbers = [0, 1, *range(2, 2 + running + 3)]
    label, last = f"fit[{len(numbers)}]", f"fit[{len(numbers) - 1}]"
    expected = {"1 reused", "1 succeeded", "3 not begun", f"{running} running"}

    def steps() -> list[tuple[str, ...]]:
        return rows(project, "steps")[1:]

    with subprocess.Popen(
        [str(COMMAND), "run", "halting", "-p", f"folder={tmp_path}", "-p", f"numbers={numbers}"],
        cwd=project.root,
        stdout=subprocess.DEVNULL,
    ) as engine:
        try:
            # What is taken to be brief is recorded when it turns out not to be.
            until(lambda: any(row[0] == label and set(row[1].split(", ")) == expected for row in steps()))
            told = why(project.rooms, "latest", "fit")
            with pytest.raises(NotFound, match=rf"`{re.escape(last)}` of run \w+ has not begun"):
                logs(project.rooms, "latest", last)
        finally:
            (tmp_path / "go").touch()

    assert engine.returncode == 0
    assert told.elements["not begun"] == 3
    assert column(rows(project, "steps"), "state")[label] == f"1 reused, {len(numbers) - 1} succeeded"


def test_the_run_before_the_latest_is_named_wherever_a_run_is(opened: Opener, tmp_path: Path) -> None:
    """In commands about runs, artifacts and lineage."""
    project = opened({"pipelines/p.py": FAN})
    first = project.run("fan", mark=str(tmp_path / "mark"), numbers=[0])
    project.run("fan", mark=str(tmp_path / "mark"), numbers=[1])

    told = [
        mlwright(*line.split(), cwd=project.root).stdout
        for line in (
            *("runs show latest~1", "runs logs latest~1 --json", "runs profile latest~1"),
            *("runs diff latest~1 latest", "artifacts list latest~1", "artifacts show latest~1/total"),
            *("lineage latest~1", "lineage latest~1/total"),
        )
    ]

    del told[1]
    assert [first.id[:10] in each for each in told] == [True] * 7


def test_tags_of_a_step_are_recorded_and_shown(opened: Opener, tmp_path: Path) -> None:
    """Of an attempt that ran and one that was reused; without tags there is no column and no word."""
    project = opened({"pipelines/p.py": HALTING})
    for _ in range(2):
        project.run("halting", folder=str(tmp_path), numbers=[0, 1])

        details = {each.attempt.node: each.attempt.detail for each in attempts_of(project)}
        assert column(rows(project, "steps"), "tags") == {"fit[2]": "owner=ml, kind=slow", "total": ""}
        assert details["fit[1]"] == {"tags": {"owner": "ml", "kind": "slow"}}
        assert details["total"] == {}


def attempts_of(project: Project) -> tuple[AttemptDetail, ...]:
    return run_detail(project.rooms, "latest").attempts


@pytest.mark.parametrize(
    ("node", "name", "index"),
    [
        ("fit", "fit", None),
        ("fit[0]", "fit", 0),
        ("fit[12]", "fit", 12),
        ("evaluate[diagnosis@champion]", "evaluate[diagnosis@champion]", None),
        ("evaluate[diagnosis@3][4]", "evaluate[diagnosis@3]", 4),
    ],
)
def test_which_element_of_which_step_a_node_is(node: str, name: str, index: int | None) -> None:
    """Digits in brackets at the end are an index; a reference in brackets is part of a name."""
    assert element_of(node) == (name, index)


def test_no_attempts_are_no_steps() -> None:
    """A run that has not begun a step has none."""
    assert groups_of([]) == []
