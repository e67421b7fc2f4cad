"""Several processes that run one pipeline at once, from the very first beginning of a workspace on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import COMMAND, Maker
from tests.workflow.outside import Outside

PROCESSES = 8
SEED = 11
PIPELINE = """
    import random

    from mlwright import log_metric, pipeline, step
    from mlwright.steps import gate

    @step
    def draw(count: int) -> list[int]:
        return [random.randrange(1000) for _ in range(count)]

    @step
    def block(number: int) -> bytes:
        print("block", number)
        return random.randbytes(20_000)

    @step
    def total(numbers: list[int], blocks: list[bytes]) -> dict[str, int]:
        log_metric("numbers", len(numbers))
        return {"numbers": sum(numbers), "blocks": sum(map(len, blocks))}

    @pipeline
    def crowd():
        gate(total(draw(10), block.map([1, 2, 3, 4])), "blocks == 80000")
"""
NODES = ["draw", "total", *(f"block[{index}]" for index in range(4))]


@pytest.mark.parametrize("cache", [True, False])
def test_processes_that_start_one_pipeline_at_once_do_not_disturb_each_other(
    make_project: Maker, cache: bool
) -> None:
    """In a project without a workspace, all eight come to their end, and each records its own run whole."""
    root = make_project({"pipelines/p.py": PIPELINE})
    shutil.rmtree(root / ".mlwright")
    command = [str(COMMAND), "run", "crowd", "--seed", str(SEED), *([] if cache else ["--no-cache"])]
    environment = {**os.environ, "CI": "true"}

    processes = [
        subprocess.Popen(
            command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for _ in range(PROCESSES)
    ]
    words = [process.communicate(timeout=120)[1].decode() for process in processes]

    assert [process.returncode for process in processes] == [0] * PROCESSES, words
    outside = Outside(root)
    outside.check(SEED)
    runs, tries = outside.runs(SEED), outside.tries(SEED)
    assert list(runs.values()) == ["succeeded"] * PROCESSES
    assert Counter(each.node for each in tries) == dict.fromkeys([*NODES, "gate"], PROCESSES)
    allowed = {"succeeded", "reused"} if cache else {"succeeded"}
    assert {each.state for each in tries if each.node != "gate"} <= allowed
    for node in NODES:
        assert len({outside.digests(run, node)["result"] for run in runs}) == 1
    assert {run: outside.metrics(run) for run in runs} == {run: {"numbers": 10.0} for run in runs}
    assert list((outside.local / "local/scratch").iterdir()) == []
    assert leftovers(outside.local) == []


def leftovers(workspace: Path) -> list[str]:
    """What is half made."""
    places = [
        "objects/incoming/*",
        "local/snapshots/making-*",
        "local/environments/*making*",
        "objects/WORKSPACE.*",
    ]
    return [str(path) for place in places for path in workspace.glob(place)]
