"""Fan-out and conditions, run for real: lists known before and given by steps, reduces, skips, defaults."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.kernel.errors import WorkFailed
from mlwright.tracking import Run, RunState
from mlwright.workflow import Request
from mlwright.workflow.detail import run_detail

Opener = Callable[[dict[str, str]], Project]

MAPS = '''
    import random
    from pathlib import Path
    from typing import NamedTuple
    from mlwright import log_metric, pipeline, step

    class Pair(NamedTuple):
        low: int
        high: int

    @step
    def numbers(count: int) -> list[int]:
        return list(range(count))

    @step
    def square(number: int, plus: int = 0) -> int:
        if number == 99:
            raise ValueError("no ninety-nine")
        return number * number + plus

    @step(seed=None)
    def twice(number: int) -> int:
        return 2 * number

    @step
    def drawn(number: int) -> float:
        return random.random()

    @step
    def pair(low: int, high: int) -> Pair:
        return Pair(low, high)

    @step
    def total(values: list[int]) -> int:
        return sum(values)

    @step
    def parts(count: int) -> list[Path]:
        made = []
        for index in range(count):
            Path(f"part-{index}").write_text("x" * (index * 5000))
            made.append(Path(f"part-{index}").resolve())
        return made

    @step
    def size(part: Path) -> int:
        return part.stat().st_size

    @step
    def is_large(value: int) -> bool:
        return value > 10

    @step
    def best(large: int = -1, small: int = -2) -> list[int]:
        return [large, small]

    @pipeline
    def known(numbers_given: list[int] = [3, 1, 2], plus: int = 0):
        """A list that is known before the run."""
        total(square.map(numbers_given, plus=plus))

    @pipeline
    def given(count: int = 4):
        """A list that a step gives, through two maps."""
        total(twice.map(square.map(numbers(count))))

    @pipeline
    def together(count: int = 3):
        """Two lists at once, and the fields of what comes of them."""
        pairs = pair.map(numbers(count), [10, 20, 30])
        total(pairs.low)
        total(pairs.high)

    @pipeline
    def files(count: int = 3):
        """A list of what no codec takes as a whole."""
        found = parts(count)
        total(size.map(found))

    @pipeline
    def draws(count: int = 3):
        drawn.map(numbers(count))

    @pipeline
    def doubles():
        twice.map([5, 5, 6])

    @pipeline
    def branches(value: int = 20):
        """Two branches that meet."""
        large = is_large(value)
        high = square(value, when=large)
        twice(high)
        low = twice.map([value, value], when=large)
        best(large=high, small=total(low))
'''


@pytest.fixture
def project(opened: Opener) -> Project:
    """A project with the pipelines above."""
    return opened({"pipelines/maps.py": MAPS})


def states(project: Project, run: Run) -> dict[str, str]:
    return {each.node: each.state.value for each in project.rooms.attempts.of_run(run.id)}


def value(project: Project, run: Run, node: str, output: str = "result") -> Any:
    for each in run_detail(project.rooms, run.id).attempts:
        if each.attempt.node == node:
            return json.loads(project.rooms.objects.get(each.outputs[output].digest))
    raise AssertionError(f"no attempt at {node}")


def test_a_list_known_before_is_mapped_in_its_order(project: Project) -> None:
    """Each element is an attempt of its own; who takes the output gets the list, in order."""
    run = project.run("known", plus=1)

    nodes = ["square[0]", "square[1]", "square[2]", "total"]
    assert states(project, run) == dict.fromkeys(nodes, "succeeded")
    assert [value(project, run, f"square[{index}]") for index in range(3)] == [10, 2, 5]
    assert value(project, run, "total") == 17


def test_an_element_more_runs_only_that_element(project: Project) -> None:
    """The others are the same work at the same index; the reduce takes another list."""
    project.run("known", numbers_given=[3, 1, 2])

    run = project.run("known", numbers_given=[3, 1, 2, 5])

    found = states(project, run)
    assert [found[f"square[{index}]"] for index in range(4)] == ["reused"] * 3 + ["succeeded"]
    assert found["total"] == "succeeded"


def test_a_list_that_a_step_gives_is_mapped(project: Project) -> None:
    """Through two maps, element by element; a second run reuses all of it."""
    first = project.run("given", count=4)
    second = project.run("given", count=4)

    assert value(project, first, "total") == 2 * (0 + 1 + 4 + 9)
    assert set(states(project, second).values()) == {"reused"}
    assert len(states(project, second)) == 1 + 4 + 4 + 1


def test_lists_are_mapped_together_and_fields_come_back_as_lists(project: Project) -> None:
    """As Python's map takes several iterables; each field of the outputs is a list."""
    run = project.run("together")

    assert (value(project, run, "total"), value(project, run, "total-2")) == (3, 60)


def test_lists_of_different_lengths_fail_before_any_element(project: Project) -> None:
    """The message names both; what is behind is skipped."""
    with pytest.raises(WorkFailed, match=r"different lengths: `low` has 2, `high` has 3"):
        project.run("together", count=2)

    run = project.runs.list(limit=1)[0]
    assert states(project, run) == {
        "numbers": "succeeded",
        "pair": "failed",
        "total": "skipped",
        "total-2": "skipped",
    }


def test_a_list_of_files_is_kept_and_mapped_element_by_element(project: Project) -> None:
    """Each file is an artifact of its own; an empty one and large ones come back whole."""
    run = project.run("files")
    again = project.run("files")

    outputs = next(
        each.outputs for each in run_detail(project.rooms, run.id).attempts if each.attempt.node == "parts"
    )
    assert sorted(outputs) == ["result[0]", "result[1]", "result[2]"]
    assert value(project, run, "total") == 15_000
    assert set(states(project, again).values()) == {"reused"}


def test_nothing_to_map_over_gives_an_empty_list(project: Project) -> None:
    """No element, no attempt; the reduce gets []."""
    run = project.run("known", numbers_given=[])

    assert states(project, run) == {"total": "succeeded"}
    assert value(project, run, "total") == 0


def test_an_element_that_fails_lets_the_others_finish(project: Project) -> None:
    """The run fails with its error, the reduce is skipped, and resume runs that element only."""
    with pytest.raises(WorkFailed, match=r"`square\[1\]` of run .* failed: ValueError: no ninety-nine"):
        project.run("known", numbers_given=[1, 99, 2])
    run = project.runs.list(limit=1)[0]

    assert states(project, run) == {
        "square[0]": "succeeded",
        "square[1]": "failed",
        "square[2]": "succeeded",
        "total": "skipped",
    }

    module = project.root / "pipelines" / "maps.py"
    module.write_text(module.read_text().replace("number == 99", "number == 98"))
    resumed, error = project.pipelines.run(project.pipelines.resume(run.id))

    assert (resumed.state, error) == (RunState.SUCCEEDED, None)
    assert value(project, resumed, "total") == 1 + 99 * 99 + 4


def test_each_element_has_a_seed_of_its_own(project: Project) -> None:
    """Elements differ, and a run without the cache draws the same again."""
    run = project.run("draws")
    again = project.run("draws", cache=False)

    drawn = [value(project, run, f"drawn[{index}]") for index in range(3)]
    assert len(set(drawn)) == 3
    assert drawn == [value(project, again, f"drawn[{index}]") for index in range(3)]


def test_equal_elements_of_a_step_without_a_seed_are_the_same_work(project: Project) -> None:
    """Another index is no other work where no seed is given."""
    project.run("doubles")

    module = project.root / "pipelines" / "maps.py"
    module.write_text(module.read_text().replace("[5, 5, 6]", "[6, 5, 5]"))
    run = project.run("doubles")

    assert set(states(project, run).values()) == {"reused"}


def test_a_condition_that_holds_changes_nothing(project: Project) -> None:
    """Steps on it run as always."""
    run = project.run("branches", value=20)

    assert set(states(project, run).values()) == {"succeeded"}
    assert value(project, run, "best") == [400, 80]


def test_a_condition_that_does_not_hold_skips_what_is_behind_up_to_a_default(project: Project) -> None:
    """The steps on it and those that need them are skipped, the run succeeds, and defaults stand in."""
    run = project.run("branches", value=5)

    assert run.state is RunState.SUCCEEDED
    assert states(project, run) == {
        "is_large": "succeeded",
        "square": "skipped",
        "twice": "skipped",
        "twice-2": "skipped",
        "total": "skipped",
        "best": "succeeded",
    }
    assert value(project, run, "best") == [-1, -2]


def test_the_plan_says_what_becomes_of_elements_and_conditions(project: Project) -> None:
    """Elements that are reused are counted; a condition that is known to be false is told."""
    project.run("known", numbers_given=[3, 1, 2])
    project.run("branches", value=5)

    known = project.pipelines.plan(Request("known", {"numbers_given": [3, 1, 2, 5]}))
    branches = project.pipelines.plan(Request("branches", {"value": 5}))

    mapped, reduce = known.changes
    assert (mapped.action, mapped.subject) == ("run", "square[4]")
    assert mapped.why.startswith("3 of 4 are reused; ")
    assert (reduce.action, reduce.why) == ("wait", "for square")
    assert {change.subject: change.action for change in branches.changes} == {
        "is_large": "reuse",
        "square": "skip",
        "twice": "skip",
        "twice-2": "skip",
        "total": "skip",
        "best": "reuse",
    }


def test_a_map_over_what_is_no_list_is_told(opened: Opener) -> None:
    """The message names the step, the argument and what it was given."""
    project = opened(
        {
            "pipelines/p.py": """
            from typing import Any
            from mlwright import pipeline, step

            @step
            def gives() -> Any:
                return {"a": 1}

            @step
            def takes(x: int) -> int:
                return x

            @pipeline
            def wrong():
                takes.map(gives())
            """
        }
    )

    with pytest.raises(WorkFailed, match=r"`takes` is mapped over `x`, which is no list but \{") as raised:
        project.run("wrong")

    assert raised.value.hint == "let `gives` return a list"


def test_a_condition_that_is_neither_true_nor_false_is_told(opened: Opener) -> None:
    """Only a bool is a condition."""
    project = opened(
        {
            "pipelines/p.py": """
            from typing import Any
            from mlwright import pipeline, step

            @step
            def gives() -> Any:
                return 3

            @step
            def takes() -> int:
                return 1

            @pipeline
            def wrong():
                takes(when=gives())
            """
        }
    )

    with pytest.raises(WorkFailed, match="the condition of `takes` is 3, neither true nor false"):
        project.run("wrong")


def test_what_was_logged_by_elements_is_found_again(opened: Opener, tmp_path: Path) -> None:
    """A parameter with another value stands under its element's name; each keeps its own artifacts."""
    project = opened(
        {
            "pipelines/p.py": """
            from mlwright import log_artifact, log_param, pipeline, step

            @step
            def fit(depth: int) -> int:
                log_param("depth", depth)
                log_artifact({"depth": depth}, "notes/depth.json")
                return depth

            @pipeline
            def fits():
                fit.map([2, 3])
            """
        }
    )

    run = project.run("fits")

    logged = project.runs.logged_parameters(run.id)
    assert sorted(logged.values()) == [2, 3]
    assert "depth" in logged
    for index in (0, 1):
        attempt = next(each for each in project.rooms.attempts.of_run(run.id) if each.node == f"fit[{index}]")
        rows = project.rooms.database.read(
            "SELECT role FROM edge WHERE to_kind = 'attempt' AND to_id = :id AND role LIKE 'logged:%'",
            id=attempt.id,
        )
        assert [row["role"] for row in rows] == ["logged:notes/depth.json"]


def test_lineage_leads_through_maps_and_conditions(project: Project) -> None:
    """An element is made from the list it was cut from, a step on a condition from that condition."""
    given, branches = project.run("given", count=2), project.run("branches", value=20)

    assert origins(project, given, "square[1]") == {"input:number": "numbers"}
    assert origins(project, given, "twice[1]") == {"input:number": "square[1]"}
    assert origins(project, branches, "square") == {"when": "is_large"}
    assert origins(project, branches, "twice-2[0]") == {"when": "is_large"}


def origins(project: Project, run: Run, node: str) -> dict[str, str]:
    """What an attempt was made from: the node that gave it, by role."""
    attempts = {each.id: each for each in project.rooms.attempts.of_run(run.id)}
    attempt = next(each for each in attempts.values() if each.node == node)
    database = project.rooms.database
    return {
        edge.role: attempts[edges.made_from(database, edge.earlier)[-1].earlier.id].node
        for edge in edges.made_from(database, attempt.end)
        if edge.earlier.kind == "artifact"
    }
