"""`runs diff`: two runs beside each other, from what they were made with to what they made."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mlwright.app import Project
from mlwright.environments.locks import current_python, make_lock
from mlwright.kernel import edges
from mlwright.kernel.edges import Edge
from mlwright.kernel.errors import NotFound
from mlwright.kernel.ids import RunId
from mlwright.tracking import Run, RunState
from mlwright.workflow.compare import Changed, MetricChange, RunComparison, Side, compare_runs, compared
from mlwright.workflow.reproduce import plan_reproduction
from mlwright.workflow.sections import Section, comparison_sections
from tests.conftest import Maker, mlwright, write

Opener = Callable[[dict[str, str]], Project]

FILES = {
    "pipelines/p.py": """
        from mlwright import Dataset, log_metric, pipeline, step
        from features import clean

        @step
        def read(data: Dataset) -> str:
            return data.open().read().decode()

        @step
        def shout(index: int, text: str, times: int) -> str:
            return clean(text) * times

        @step
        def count(texts: list[str]) -> int:
            log_metric("letters", sum(map(len, texts)))
            return len(texts)

        @pipeline
        def loud(data: Dataset = Dataset("notes@latest"), times: int = 1):
            count(shout.map([0, 1, 2], text=read(data), times=times))
    """,
    "features.py": "def clean(text):\n    return text.strip()\n",
}


def prepared(opened: Opener) -> Project:
    """A project with a dataset and one run."""
    project = opened(FILES)
    (project.root / "note.txt").write_text("hello")
    project.datasets.add(project.root / "note.txt", "notes")
    project.run("loud")
    return project


def ids(project: Project) -> list[str]:
    """The runs, oldest first."""
    return [run.id for run in project.runs.list(reverse=True)]


def verdicts(found: RunComparison) -> dict[tuple[str, str], str]:
    return {(each.node, each.output): each.verdict for each in found.outputs}


def section(found: RunComparison, title: str, **options: bool) -> Section:
    return next(each for each in comparison_sections(found, **options) if each.title == title)


def test_a_run_does_not_differ_from_itself(opened: Opener) -> None:
    """Nothing differs, every output is identical, and the terminal says so in a word for each."""
    project = prepared(opened)

    found = compare_runs(project.rooms, "latest", "latest", with_diff=True)

    assert found.code and not (found.files or found.units)
    assert not (found.data or found.parameters or found.settings or found.packages or found.machine)
    assert set(verdicts(found).values()) == {"identical"}
    assert [each.difference for each in found.metrics] == [0.0]
    for title in ("code", "data", "parameters", "environment", "machine"):
        assert section(found, title) == Section(title, more=("the same",))
    assert section(found, "outputs").more == ("5 of 5 are identical",)


def test_changed_parameters_and_seed_change_what_comes_of_them(opened: Opener) -> None:
    """What was set differs, the metrics by so much, and so do the outputs behind; those before do not."""
    project = prepared(opened)
    project.run("loud", times=3, seed=2)

    found = compare_runs(project.rooms, *ids(project))

    assert found.parameters == (Changed("times", 1, 3),)
    assert found.settings == (Changed("seed", 0, 2),)
    assert found.metrics == (MetricChange("letters", 15.0, 45.0, 30.0),)
    assert verdicts(found) == {
        ("read", "result"): "identical",
        **{(f"shout[{index}]", "result"): "different" for index in range(3)},
        ("count", "result"): "identical",
    }
    assert section(found, "outputs").rows == (("shout[]", "result", "", "", "3 different"),)
    assert section(found, "outputs").more == ("2 of 5 are identical",)


def test_changed_code_is_told_by_files_by_units_and_line_by_line(opened: Opener) -> None:
    """The files that differ, the functions with the steps that reach them, and with `diff` the lines."""
    project = prepared(opened)
    write(
        project.root,
        {"features.py": "def clean(text):\n    return text.upper()\n", "notes.md": "new\n", "blob.bin": ""},
    )
    (project.root / "blob.bin").write_bytes(b"\0\1")
    project.run("loud")

    plain = compare_runs(project.rooms, *ids(project))
    shown = compare_runs(project.rooms, *ids(project), with_diff=True)

    assert [(each.path, each.verdict, each.diff) for each in plain.files] == [
        ("blob.bin", "added", ""),
        ("features.py", "changed", ""),
        ("notes.md", "added", ""),
    ]
    assert [(each.unit, each.verdict, each.steps) for each in plain.units] == [
        ("features:clean", "changed", ("shout",))
    ]
    blob, features, notes = (each.diff for each in shown.files)
    assert blob == "(not shown: it is large, or no text)"
    assert features.splitlines() == [
        "--- then/features.py",
        "+++ now/features.py",
        "@@ -1,2 +1,2 @@",
        " def clean(text):",
        "-    return text.strip()",
        "+    return text.upper()",
    ]
    assert notes.splitlines()[:2] == ["--- /dev/null", "+++ now/notes.md"]
    assert ("changed", "features:clean", "reached by shout") in section(plain, "code").rows
    assert "-    return text.strip()" in section(shown, "code").more


def test_a_new_version_of_a_dataset_is_told_by_both_numbers(opened: Opener) -> None:
    """What the same reference meant then and means now."""
    project = prepared(opened)
    (project.root / "note.txt").write_text("good-bye")
    project.datasets.add(project.root / "note.txt", "notes")
    project.run("loud")

    found = compare_runs(project.rooms, *ids(project))

    assert found.data == (Changed("data:notes@latest", "notes@1", "notes@2"),)
    assert verdicts(found)["read", "result"] == "different"


def test_steps_that_only_one_run_has_are_missing_in_the_other(opened: Opener) -> None:
    """A renamed step is missing on both sides, under either name; a failed one has no output."""
    project = prepared(opened)
    text = (project.root / "pipelines/p.py").read_text()
    (project.root / "pipelines/p.py").write_text(text.replace("count(", "number("))
    project.run("loud")

    found = compare_runs(project.rooms, *ids(project))

    assert verdicts(found)["count", "result"] == verdicts(found)["number", "result"] == "missing"
    took = {each.step: (each.then_states, each.now_states) for each in found.durations}
    assert took["count"] == ({"succeeded": 1}, {})
    assert took["number"] == ({}, {"succeeded": 1})
    assert took["shout"] == ({"succeeded": 3}, {"reused": 3})


PYLOCK = """
lock-version = "1.0"
created-by = "test"
[[packages]]
name = "alpha"
version = "1.0"
wheels = [{{ url = "u", hashes = {{ sha256 = "{alpha}" }} }}]
[[packages]]
name = "beta"
version = "{beta}"
[[packages]]
name = "{third}"
version = "3"
[[packages]]
name = "own"
directory = {{ path = "." }}
"""


def run_with(project: Project, pylock: str) -> str:
    """A recorded run with an environment of these packages, and a second one beside."""
    lock = make_lock(pylock.encode(), project.rooms.objects.put(pylock.encode()).digest, current_python())
    with project.rooms.database.transaction() as tx:
        run, _ = project.runs.begin(tx, project="small", pipeline="p", seed=0, parameters={}, pins={})
        project.environments.record(tx, lock)
        edges.add(tx, [Edge(run.end, role, lock.end) for role in ("environment", "environment:gpu")])
    return run.id


def test_packages_are_added_removed_changed_or_other_files_of_one_version(opened: Opener) -> None:
    """The packages of each environment are compared by version; of the same version, by their files."""
    project = opened({})
    then = run_with(project, PYLOCK.format(alpha="aa", beta="1.0", third="gone"))
    now = run_with(project, PYLOCK.format(alpha="bb", beta="2.0", third="new"))

    found = compare_runs(project.rooms, then, now)

    rows = {row[0]: row[1:] for row in section(found, "environment").rows}
    assert [name for name in rows if "/" not in name] == ["alpha", "beta", "gone", "new"]
    assert [name for name in rows if "/" in name] == ["gpu/alpha", "gpu/beta", "gpu/gone", "gpu/new"]
    assert rows["beta"] == ("1.0", "2.0")
    assert (rows["gone"], rows["new"]) == (("3", ""), ("", "3"))
    assert all(cell.startswith("1.0 b3:") for cell in rows["alpha"]) and len(set(rows["alpha"])) == 2


def side(**more: Any) -> Side:
    run = Run(
        RunId("01A"), "small", "p", RunState.SUCCEEDED, 0, 0, 1_000_000, None, {}, **more.pop("run", {})
    )
    known: dict[str, Any] = {
        **{"parameters": {}, "metrics": {}, "files": {}, "units": {}, "data": {}, "packages": {}},
        **{"outputs": {}, "groups": ()},
    }
    return Side(run, **{**known, **more})


def test_another_machine_is_named_by_what_differs() -> None:
    """Processor, instruction sets, processors and memory, in words."""
    machines = [
        {"cpus": 2, "memory_bytes": 2**34, "processor": "A", "features": "avx", "gpus": []},
        {"cpus": 8, "memory_bytes": 2**35, "processor": "A", "features": "avx avx2", "gpus": ["0"]},
    ]
    then, now = (side(run={"machine": machine}) for machine in machines)

    found = compared(then, now)

    assert section(found, "machine").rows == (
        ("cpus", "2", "8"),
        ("features", "avx", "avx avx2"),
        ("gpus", "[]", "['0']"),
        ("memory_bytes", "16.0 GiB", "32.0 GiB"),
    )


def test_a_metric_of_one_side_or_that_is_no_number_has_no_difference() -> None:
    """What cannot be subtracted is shown, and that is all."""
    then, now = (
        side(metrics={"auc": 0.5, "loss": math.nan, "old": 1.0}),
        side(metrics={"auc": 0.75, "loss": 1.0}),
    )

    found = {each.name: each.difference for each in compared(then, now).metrics}

    assert found == {"auc": 0.25, "loss": None, "old": None}


LOGGING = {
    "pipelines/p.py": """
        import os
        from mlwright import log_artifact, pipeline, step

        @step(retries=1, cache=False)
        def talk(word: str, mark: str) -> int:
            try:
                os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                log_artifact(word, "notes/word")
                log_artifact(os.environ["MLWRIGHT_TEST_LUCK"], "luck")
                return 1
            log_artifact("of a try that failed", "lost")
            raise ValueError("once")

        @pipeline
        def talking(mark: str, word: str = "a"):
            talk(word, mark)
    """,
}


def test_what_was_logged_is_compared_like_outputs(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name it was logged as, of the try that succeeded; also when a run is made again."""
    project = opened(LOGGING)
    monkeypatch.setenv("MLWRIGHT_TEST_LUCK", "1")
    project.run("talking", mark=str(tmp_path / "mark"))
    second = project.run("talking", mark=str(tmp_path / "mark"), word="b")
    monkeypatch.setenv("MLWRIGHT_TEST_LUCK", "2")

    found = compare_runs(project.rooms, "latest~1", "latest")
    again = project.reproduce(second.id)
    planned = plan_reproduction(project.rooms, second.id)

    assert verdicts(found) == {
        ("talk", "result"): "identical",
        ("talk", "logged:luck"): "identical",
        ("talk", "logged:notes/word"): "different",
    }
    assert [(each.output, each.verdict) for each in again.comparisons] == [
        ("result", "identical"),
        ("logged:luck", "different"),
        ("logged:notes/word", "identical"),
    ]
    assert [change.why.partition(" ")[0] for change in planned.changes if change.action == "run"] == [
        "result",
        "logged:luck",
        "logged:notes/word",
    ]


def test_many_outputs_of_a_mapped_step_are_one_line() -> None:
    """Elements are counted by what became of them; a single one that differs is shown; `all` shows each."""
    outputs = {(f"fit[{index}]", "result"): "a" * 64 for index in range(1000)}
    one = outputs | {("fit[7]", "result"): "b" * 64}
    two = one | {("fit[8]", "result"): "c" * 64}

    single = compared(side(outputs=outputs), side(outputs=one))
    several = compared(side(outputs=outputs), side(outputs=two))

    assert section(single, "outputs").rows == (
        ("fit[7]", "result", f"b3:{'a' * 12}", f"b3:{'b' * 12}", "different"),
    )
    assert section(several, "outputs").rows == (("fit[]", "result", "", "", "998 identical, 2 different"),)
    assert section(several, "outputs").more == ("998 of 1000 are identical",)
    assert len(section(several, "outputs", every=True).rows) == 1000


def test_one_identical_output_is_not_several() -> None:
    """The verb follows the number."""
    outputs = {("fit", "a"): "a" * 64, ("fit", "b"): "b" * 64}

    found = compared(side(outputs=outputs), side(outputs=outputs | {("fit", "b"): "c" * 64}))

    assert section(found, "outputs").more == ("1 of 2 is identical",)


values = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([1.0, 0.0, "1", "a"])
    | st.lists(st.integers())
)


@given(st.dictionaries(st.sampled_from("abc"), values), st.dictionaries(st.sampled_from("abc"), values))
def test_what_differs_is_exactly_what_is_listed(then: dict[str, Any], now: dict[str, Any]) -> None:
    """A parameter is listed when it is not the same value of the same type; both ways mirror each other."""
    forth, back = (
        compared(side(parameters=one), side(parameters=other)).parameters
        for one, other in ((then, now), (now, then))
    )

    same = {name for name in {*then, *now} if repr(then.get(name, "-")) == repr(now.get(name, "-"))}
    assert {each.name for each in forth} == {*then, *now} - same
    assert back == tuple(replace(each, then=each.now, now=each.then) for each in forth)


def test_the_command_shows_both_runs_and_answers_in_json(make_project: Maker, tmp_path: Path) -> None:
    """`runs diff A B --diff` prints sections and lines of code; `--json` holds the same."""
    root = make_project({"pipelines/p.py": SIMPLE})
    mlwright("run", "simple", cwd=root)
    (root / "pipelines/p.py").write_text((root / "pipelines/p.py").read_text().replace("x + 1", "x + 2"))
    mlwright("run", "simple", "-p", "x=5", cwd=root)
    with Project.open(root) as project:
        then, now = ids(project)

    shown = mlwright("runs", "diff", then[:10], "latest", "--diff", cwd=root)
    answer = json.loads(mlwright("runs", "diff", then, now, "--json", cwd=root).stdout)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"then  run {then[:10]} of simple: succeeded" in shown.stdout
    assert "  -    return x + 1\n  +    return x + 2\n" in shown.stdout
    assert re.search(r"^  changed +pipelines\.p:add +reached by add$", shown.stdout, re.MULTILINE)
    assert [each["name"] for each in answer["parameters"]] == ["x"]
    assert answer["outputs"] == [
        {
            "node": "add",
            "output": "result",
            "then": answer["outputs"][0]["then"],
            "now": answer["outputs"][0]["now"],
        }
    ]
    assert answer["then"]["id"] == then


SIMPLE = """
from mlwright import pipeline, step

@step
def add(x: int) -> int:
    return x + 1

@pipeline
def simple(x: int = 1):
    add(x)
"""


def test_a_run_that_is_not_there_is_said_to_be_so(opened: Opener) -> None:
    """Either side must be a run."""
    with pytest.raises(NotFound, match="there is no run '01ZZ'"):
        compare_runs(opened({}).rooms, "01ZZ", "latest")
