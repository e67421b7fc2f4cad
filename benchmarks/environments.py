"""Claim: an environment that is there costs a start, and one whose packages are known costs seconds.

    python benchmarks/environments.py [there new]             every figure, or those named

Unit: seconds of whole processes; medians of five rounds, in which ours and the baseline take turns.

The project depends on NumPy, pandas and scikit-learn, which are fetched once, before anything is measured:
uv's cache is warm. The baseline is uv on the same project and lock, without us: `uv sync --frozen`. It
makes no inventory, and what it makes is not named by what is in it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from _figures import Figure, medians, say_figures
from _processes import MLWRIGHT, cost_of
from uv import find_uv_bin

_PYPROJECT = """
[project]
name = "benchmark"
version = "0"
requires-python = ">=3.11"
dependencies = ["numpy", "pandas", "scikit-learn"]

[tool.uv]
package = false

[tool.mlwright]
"""
_SYNC = [find_uv_bin(), "sync", "--quiet", "--frozen"]


def there() -> Iterator[Figure]:
    with _project() as project:
        took = medians(
            lambda number: {"ours": cost_of([MLWRIGHT, "environments", "sync"], project).wall_s},
            lambda number: {"uv": cost_of(_SYNC, project).wall_s},
        )
    yield Figure("sync of an environment that is there (s)", took["ours"], took["uv"], "uv sync", "0.3")


def new() -> Iterator[Figure]:
    with _project() as project:

        def ours(number: int) -> Mapping[str, float]:
            shutil.rmtree(project / ".mlwright" / "local" / "environments")
            return {"ours": cost_of([MLWRIGHT, "environments", "sync"], project).wall_s}

        def uv(number: int) -> Mapping[str, float]:
            shutil.rmtree(project / ".venv")
            return {"uv": cost_of(_SYNC, project).wall_s}

        took = medians(ours, uv)
    packages = "NumPy, pandas, scikit-learn"
    yield Figure(f"a new one: {packages} (s)", took["ours"], took["uv"], "uv sync", "5")


@contextmanager
def _project() -> Iterator[Path]:
    """A project whose packages are in uv's cache, with an environment of ours and one of uv's."""
    with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-") as name:
        folder = Path(name)
        (folder / "pyproject.toml").write_text(_PYPROJECT)
        for command in ([MLWRIGHT, "environments", "lock"], [MLWRIGHT, "environments", "sync"], _SYNC):
            cost_of(command, folder)
        yield folder


if __name__ == "__main__":
    say_figures(there, new)
