"""What no machine of this size can give is refused before anything is recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import Invalid

Opener = Callable[[dict[str, str]], Project]


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ('{"gpus": 64}', "asks for GPUs: 64, and this machine has"),
        ('{"memory": "1000000GiB"}', "asks for 1e\\+06 GiB of memory, and this machine has"),
    ],
)
def test_a_step_that_asks_for_more_than_there_is_refuses_the_run(
    opened: Opener, resources: str, words: str
) -> None:
    """The message names the step, what it asks for and what there is."""
    project = opened(
        {
            "pipelines/p.py": f"""
            from mlwright import pipeline, step

            @step(resources={resources})
            def greedy() -> int:
                return 1

            @pipeline
            def single():
                greedy()
            """
        }
    )

    with pytest.raises(Invalid, match=f"step `greedy` {words}") as raised:
        project.run("single")

    assert raised.value.where == "pipelines/p.py:4"
    assert project.runs.list() == []


def test_a_step_that_asks_for_more_processors_runs_alone(opened: Opener) -> None:
    """It has the threads it asked for, and no other step beside it."""
    project = opened(
        {
            "pipelines/p.py": """
            import os, time
            from mlwright import pipeline, step

            @step(resources={"cpus": 64})
            def wide(number: int) -> list[float]:
                began = time.time()
                time.sleep(0.05)
                return [began, time.time(), float(os.environ["OMP_NUM_THREADS"])]

            @step
            def apart(spans: list[list[float]]) -> bool:
                ordered = sorted(spans)
                return all(one[1] <= other[0] for one, other in zip(ordered, ordered[1:]))

            @pipeline
            def several():
                apart(wide.map([1, 2, 3]))
            """
        }
    )

    run = project.run("several")

    attempts = project.rooms.attempts.of_run(run.id)
    assert {attempt.cpus for attempt in attempts if attempt.node != "apart"} == {64}
    made = project.artifacts.get(f"{run.id}/apart")
    assert project.rooms.objects.get(made.artifact.digest) == b"true"
