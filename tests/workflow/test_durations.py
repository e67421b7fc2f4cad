"""How long steps take, from run to run: what is longest is begun first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlwright.app import Project
from mlwright.workflow.durations import Durations, durations_of

Opener = Callable[[dict[str, str]], Project]

FILES = {
    "pipelines/p.py": """
    import time
    from mlwright import pipeline, step

    @step(cache=False)
    def quick(number: int) -> float:
        return time.time()

    @step(cache=False)
    def slow() -> float:
        began = time.time()
        while time.time() < began + 0.3:
            time.sleep(0.01)
        return began

    @pipeline
    def both():
        quick(1)
        quick(2)
        slow()
    """
}


def test_what_took_longest_last_time_begins_first(opened: Opener) -> None:
    """With one processor, the slow step goes before those written above it, from the second run on."""
    project = opened(FILES)
    pyproject = project.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + "workers = 1\n")
    with Project.open(project.root) as narrow:
        first, second = narrow.run("both"), narrow.run("both")

        begun = [
            [attempt.node for attempt in narrow.rooms.attempts.of_run(run.id)] for run in (first, second)
        ]

    assert begun == [["quick", "quick-2", "slow"], ["slow", "quick", "quick-2"]]


def test_durations_are_kept_by_project_and_step(opened: Opener) -> None:
    """A mean for each address, weighed with what was known."""
    project = opened(FILES)
    project.run("both")

    known = durations_of(project.rooms.database, "small").known

    assert set(known) == {"pipelines.p:quick", "pipelines.p:slow"}
    assert known["pipelines.p:slow"] >= 0.3
    assert durations_of(project.rooms.database, "another").known == {}


def test_later_runs_count_more_than_all_that_came_before(opened: Opener) -> None:
    """The latest dozen attempts weigh as much as everything older together."""
    database = opened(FILES).rooms.database
    for seconds, attempts in ((10.0, 100), (1.0, 12)):
        seen = Durations({})
        for _ in range(attempts):
            seen.saw("p:step", seconds)
        with database.transaction() as tx:
            seen.record(tx, "small")

    assert durations_of(database, "small").known["p:step"] == pytest.approx(5.5)


def test_a_step_is_brief_by_what_is_known_then_by_what_is_seen() -> None:
    """An unknown step is not; one that turns out to be slow no longer is."""
    durations = Durations({"p:known": 0.001, "p:long": 2.0})

    assert durations.brief("p:known")
    assert not durations.brief("p:long")
    assert not durations.brief("p:unknown")

    durations.saw("p:known", 1.0)
    durations.saw("p:unknown", 0.0001)

    assert not durations.brief("p:known")
    assert durations.brief("p:unknown")
