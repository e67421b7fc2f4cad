"""Projects of the benchmarks' own, in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from _processes import MLWRIGHT, PYTHON, Cost, cost_of

from mlwright.app import Project

_MEASURED = Path(__file__).with_name("_measured.py")

_PYPROJECT = """
[project]
name = "benchmark"
version = "0"
requires-python = ">=3.11"
dependencies = [{dependencies}]

[tool.uv]
package = false

[tool.mlwright]
workers = 2
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run cost: the whole process, from the run's begin to its end, and the engine's peak of memory.

    Args:
        metrics: that its steps logged.
    """

    process: Cost
    seconds: float
    peak_bytes: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Workbench:
    """A project whose environment is built."""

    folder: Path

    def command(self, *arguments: str) -> Cost:
        """The installed command."""
        return cost_of([MLWRIGHT, *arguments], self.folder)

    def run(self, pipeline: str, *, seed: int, memory: bool = False, **parameters: int) -> Ran:
        """`mlwright run`. A seed that no run had before makes every step a miss of the cache.

        Args:
            memory: measure the engine's peak, in a process that is started a little differently.
        """
        given = [text for name, value in parameters.items() for text in ("-p", f"{name}={value}")]
        arguments = ["run", pipeline, "--seed", str(seed), *given]
        peak = self.folder / "peak.txt"
        process = (
            cost_of([PYTHON, _MEASURED, peak, *arguments], self.folder)
            if memory
            else self.command(*arguments)
        )
        with Project.open(self.folder) as project:
            run = project.runs.get("latest")
            metrics = {each.name: each.value for each in project.runs.metrics(run.id)}
        assert run.finished_us is not None
        seconds = (run.finished_us - run.created_us) / 1e6
        return Ran(process, seconds, int(peak.read_text()) if memory else 0, metrics)

    def forget_large(self) -> None:
        """Take away the bytes of large values: every round makes others."""
        for path in (self.folder / ".mlwright" / "objects").rglob("*"):
            if path.is_file() and path.stat().st_size >= 2**20:
                path.unlink()


@contextmanager
def workbench(source: str, dependencies: Sequence[str] = ()) -> Iterator[Workbench]:
    """A new project with `source` as its pipelines and its environment built, that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-") as name:
        folder = Path(name) / "project"
        pipelines = folder / "pipelines" / "work.py"
        pipelines.parent.mkdir(parents=True)
        pipelines.write_text(source)
        wanted = ", ".join(f'"{each}"' for each in dependencies)
        (folder / "pyproject.toml").write_text(_PYPROJECT.format(dependencies=wanted))
        made = Workbench(folder)
        made.command("environments", "lock")
        made.command("environments", "sync")
        yield made
