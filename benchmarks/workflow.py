"""Claim: a recorded, cached, isolated step costs less than anybody notices.

    python benchmarks/workflow.py                              everything
    python benchmarks/workflow.py chain fan cached cold array  what is named
    python benchmarks/workflow.py peers                        others on the same work: `make bench-peers`

Unit: in each line; medians of five rounds, ours and the baselines in turns, after one that warms up. Work:
steps that add one to a number, in two worker processes; every attempt, value, fingerprint and edge is
recorded in SQLite with synchronous = FULL. "In the scheduler" is from the run's first record to its last
one, the start of the workers included; "whole process" is `mlwright run` from the shell's side, with a
module of one pipeline that was traced before. The cache is asked for each step, and misses: every round
has a seed of its own.

Baselines, each in a process of its own beside ours: one durable commit for each step; a Python process that
calls the functions and records nothing; `multiprocessing.Pool(2)` with `chunksize=1`, forked, its start
included; 100 look-ups through an index and one commit of 100 rows; 1 GiB written once, flushed to the disk
and hashed once. "Further task" is the difference of the processor time between 10,000 and 1,000 tasks, in
all processes together: start-up falls out. "Cold" is a new project whose environment is built, with nothing
of its code traced, stored or run before; files are in the page cache, byte code is there. "Handed" is from
the moment when one step's function has the array to the moment when the next one's has added it up, less
the time that adding up took in the first one's memory.

A process on a shared machine varies by a third: compare ratios, and look at the load. The flush of a disk is
what the folder for temporary files (TMPDIR) lies on. What each peer records stands in its file in `_peers/`.
Needs 4 GiB of memory and 3 GiB of disk for `array`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from _figures import Figure, Measure, medians, say_figures
from _peers import installed
from _processes import PYTHON, Cost, cost_of
from _projects import workbench

BASELINES = Path(__file__).with_name("_baselines.py")
MIB = 2**20

NO_OPS = """
from mlwright import pipeline, step


@step
def one(x: int) -> int:
    return x + 1


@step
def total(xs: list[int]) -> int:
    return sum(xs)


@pipeline
def chain(n: int = 100):
    x = 0
    for _ in range(n):
        x = one(x)


@pipeline
def fan(n: int = 1000):
    total(one.map(list(range(n))))
"""

ARRAY = """
import time

import numpy as np

from mlwright import log_metric, pipeline, step


@step
def make(mebibytes: int) -> np.ndarray:
    made = np.random.random(mebibytes * 2**17)
    began = time.monotonic()
    made.sum()
    ended = time.monotonic()
    log_metric("adding_s", ended - began)
    log_metric("made_at_s", time.monotonic())
    return made


@step
def add_up(array: np.ndarray) -> float:
    total = float(array.sum())
    log_metric("added_at_s", time.monotonic())
    return total


@pipeline
def hand(mebibytes: int = 1024):
    add_up(make(mebibytes))
"""


def baseline(name: str, count: int) -> tuple[float, Cost]:
    """The seconds of a baseline, and what its whole process cost."""
    with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-") as folder:
        cost = cost_of([PYTHON, BASELINES, name, str(count)], Path(folder))
    return float(cost.output), cost


def seconds_of(name: str, count: int) -> Measure:
    """Measures the seconds of a baseline."""
    return lambda number: {name: baseline(name, count)[0]}


def process_of(name: str, count: int) -> Measure:
    """Measures a baseline's whole process."""

    def measure(number: int) -> Mapping[str, float]:
        cost = baseline(name, count)[1]
        return {"process": cost.wall_s, "process cpu": cost.cpu_s}

    return measure


def chain() -> Iterator[Figure]:
    with workbench(NO_OPS) as bench:

        def ours(number: int) -> Mapping[str, float]:
            ran = bench.run("chain", seed=number)
            return {"inside": ran.seconds, "whole": ran.process.wall_s, "cpu": ran.process.cpu_s}

        took = medians(ours, seconds_of("commits", 100), process_of("calls", 100))
    yield Figure(
        "chain of 100: a step, in the scheduler (ms)",
        took["inside"] * 10,
        took["commits"] * 10,
        "a durable commit",
        "<= 0.3",
    )
    yield Figure(
        "chain of 100: whole process (s)", took["whole"], took["process"], "Python calling them", "<= 0.35"
    )
    yield Figure(
        "chain of 100: processor time, all processes (s)",
        took["cpu"],
        took["process cpu"],
        "Python calling them",
    )


def fan() -> Iterator[Figure]:
    few, many = 1_000, 10_000
    with workbench(NO_OPS) as bench:

        def ours(count: int) -> Measure:
            def measure(number: int) -> Mapping[str, float]:
                ran = bench.run("fan", seed=number, memory=True, n=count)
                return {
                    f"task of {count}": ran.seconds / count * 1e3,
                    f"memory of {count}": ran.peak_bytes / MIB,
                    f"cpu of {count}": ran.process.cpu_s,
                }

            return measure

        def pool(count: int) -> Measure:
            def measure(number: int) -> Mapping[str, float]:
                seconds, cost = baseline("pool", count)
                return {f"pool of {count}": seconds / count * 1e3, f"pool cpu of {count}": cost.cpu_s}

            return measure

        took = medians(ours(few), pool(few), ours(many), pool(many))
    yield Figure(
        f"fan-out of {few:,} and reduce: a task (ms)",
        took[f"task of {few}"],
        took[f"pool of {few}"],
        "multiprocessing.Pool(2)",
        "<= 0.2",
    )
    yield Figure(
        f"fan-out of {many:,} and reduce: a task (ms)",
        took[f"task of {many}"],
        took[f"task of {few}"],
        f"ours of {few:,}",
        "ratio <= 1.3",
    )
    yield Figure(
        f"fan-out of {many:,}: peak memory of the scheduler (MiB)",
        took[f"memory of {many}"],
        took[f"memory of {few}"],
        f"ours of {few:,}",
        "<= 150",
    )
    yield Figure(
        "fan-out: processor time of a further task (ms)",
        (took[f"cpu of {many}"] - took[f"cpu of {few}"]) / (many - few) * 1e3,
        (took[f"pool cpu of {many}"] - took[f"pool cpu of {few}"]) / (many - few) * 1e3,
        "multiprocessing.Pool(2)",
    )


def cached() -> Iterator[Figure]:
    with workbench(NO_OPS) as bench:
        bench.run("chain", seed=0)

        def ours(number: int) -> Mapping[str, float]:
            ran = bench.run("chain", seed=0)
            return {"inside": ran.seconds, "whole": ran.process.wall_s}

        took = medians(ours, seconds_of("lookups", 100), process_of("calls", 100))
    yield Figure(
        "cached chain of 100: in the scheduler (ms)",
        took["inside"] * 1e3,
        took["lookups"] * 1e3,
        "100 look-ups, one commit",
        "<= 6",
    )
    yield Figure(
        "cached chain of 100: whole process (s)",
        took["whole"],
        took["process"],
        "Python calling them",
        "<= 0.2",
    )


def cold() -> Iterator[Figure]:
    def ours(number: int) -> Mapping[str, float]:
        with workbench(NO_OPS) as bench:
            return {"whole": bench.command("run", "chain", "-p", "n=1").wall_s}

    took = medians(ours, process_of("calls", 1))
    yield Figure(
        "cold run of 1 step: whole process (s)", took["whole"], took["process"], "Python calling it", "<= 0.3"
    )


def array() -> Iterator[Figure]:
    large, small = 1024, 1
    with workbench(ARRAY, ["numpy>=2"]) as bench:

        def ours(mebibytes: int) -> Measure:
            def measure(number: int) -> Mapping[str, float]:
                ran = bench.run("hand", seed=number, memory=True, mebibytes=mebibytes)
                bench.forget_large()
                told = ran.metrics
                return {
                    f"handed {mebibytes}": told["added_at_s"] - told["made_at_s"] - told["adding_s"],
                    f"memory {mebibytes}": ran.peak_bytes / MIB,
                }

            return measure

        took = medians(ours(large), seconds_of("write_and_hash", large), ours(small))
    yield Figure(
        "1 GiB array handed to the next step (s)",
        took[f"handed {large}"],
        took["write_and_hash"],
        "write, flush and hash it once",
        "ratio <= 1.3",
    )
    yield Figure(
        "1 GiB array: peak memory of the scheduler (MiB)",
        took[f"memory {large}"],
        took[f"memory {small}"],
        "ours with 1 MiB",
        "ratio 1",
    )


def peers() -> Iterator[Figure]:
    count = 100
    found = installed()
    if not found:
        print("(no peers are installed: make bench-peers)", file=sys.stderr)
        return
    with workbench(NO_OPS) as bench:

        def ours(shape: str) -> Measure:
            return lambda number: {shape: bench.run(shape, seed=number, n=count).process.wall_s}

        for shape, name in (("chain", "chain of 100"), ("fan", "fan-out of 100 and reduce")):
            took = medians(ours(shape), *(peer.measure(shape, count) for peer in found))
            for peer in found:
                yield Figure(f"{name}: whole process (s)", took[shape], took[peer.name], peer.title)


if __name__ == "__main__":
    say_figures(chain, fan, cached, cold, array, peers)
