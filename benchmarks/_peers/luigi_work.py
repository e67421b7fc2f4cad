"""The work in Luigi: `luigi_work.py chain|fan N`, in an empty folder.

Recorded: one JSON file for each task, written by rename; no run, no attempts, no code, no environment. The
chain runs in Luigi's own process with its local scheduler. The fan-out has two workers, and Luigi forks a
process for each task then.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import luigi

WORKERS = {"chain": 1, "fan": 2}


class Recorded(luigi.Task):  # type: ignore[misc]
    """A task whose value is a file."""

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(f"{self.task_id}.json")

    def write(self, value: Any) -> None:
        with self.output().open("w") as file:
            json.dump(value, file)


def read(target: luigi.LocalTarget) -> Any:
    with target.open() as file:
        return json.load(file)


class Link(Recorded):
    """A step of the chain."""

    number = luigi.IntParameter()

    def requires(self) -> list[luigi.Task]:
        return [Link(number=self.number - 1)] if self.number else []

    def run(self) -> None:
        self.write(sum(read(each) for each in self.input()) + 1)


class One(Recorded):
    """An element of the fan-out."""

    number = luigi.IntParameter()

    def run(self) -> None:
        self.write(self.number + 1)


class Total(Recorded):
    """The reduce."""

    count = luigi.IntParameter()

    def requires(self) -> list[luigi.Task]:
        return [One(number=number) for number in range(self.count)]

    def run(self) -> None:
        self.write(sum(read(each) for each in self.input()))


def main(shape: str, count: int) -> None:
    last = Link(number=count - 1) if shape == "chain" else Total(count=count)
    done = luigi.build([last], local_scheduler=True, workers=WORKERS[shape], log_level="WARNING")
    wanted = count if shape == "chain" else count * (count + 1) // 2
    assert done
    assert read(last.output()) == wanted


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
