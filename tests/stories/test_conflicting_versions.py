"""Two steps whose packages exclude each other, in one pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import installed, write

PYPROJECT = """
[project]
name = "both"
version = "0"
requires-python = ">=3.11,<3.13"
dependencies = []

[dependency-groups]
old = ["numpy==1.26.4", "pandas<3", "pyarrow<22"]
new = ["numpy>=2.2", "pandas>=3", "pyarrow>=22"]

[tool.uv]
package = false
conflicts = [[{ group = "old" }, { group = "new" }]]

[tool.mlwright]
"""

PIPELINE = """
from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlwright import pipeline, step

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class Measured(NamedTuple):
    table: pd.DataFrame
    array: np.ndarray


@step(environment="old")
def measure() -> Measured:
    import numpy as np
    import pandas as pd

    array = np.random.default_rng(0).normal(size=(5, 3))
    return Measured(pd.DataFrame(array, columns=list("abc")).assign(unit=["m", "s", None, "m", "s"]), array)


@step(environment="new")
def double(table: pd.DataFrame, array: np.ndarray) -> Measured:
    return Measured(table.assign(a=table["a"] * 2), array * 2)


@step(environment="old")
def report(before: np.ndarray, table: pd.DataFrame, array: np.ndarray) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    return {
        "numpy": np.__version__,
        "pandas": pd.__version__.partition(".")[0],
        "doubled": bool((array == before * 2).all() and (table["a"] == before[:, 0] * 2).all()),
        "units": table["unit"].fillna("none").tolist(),
    }


@step(environment="new")
def versions(array: np.ndarray) -> dict[str, str]:
    import numpy as np
    import pandas as pd

    return {"numpy": np.__version__.partition(".")[0], "pandas": pd.__version__.partition(".")[0]}


@pipeline
def both():
    first = measure()
    second = double(first.table, first.array)
    report(first.array, second.table, second.array)
    versions(second.array)
"""


def done(*arguments: str, cwd: Path) -> str:
    """What a command says that must succeed."""
    ended = installed(*arguments, cwd=cwd)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, after a run of its pipeline."""
    root = tmp_path_factory.mktemp("versions")
    write(root, {"pyproject.toml": PYPROJECT, "pipelines/both.py": PIPELINE})
    done("environments", "lock", cwd=root)
    done("run", "both", cwd=root)
    return root


def result(project: Path, step: str) -> Any:
    target = project / f"{step}.json"
    done("artifacts", "checkout", f"latest/{step}", str(target), "--force", cwd=project)
    return json.loads(target.read_text())


def test_steps_with_two_versions_of_numpy_hand_each_other_tables_and_arrays(project: Path) -> None:
    """NumPy 1.26 makes a table and an array, NumPy 2 works on them, and 1.26 reads what it gave."""
    assert result(project, "report") == {
        "numpy": "1.26.4",
        "pandas": "2",
        "doubled": True,
        "units": ["m", "s", "none", "m", "s"],
    }
    assert result(project, "versions") == {"numpy": "2", "pandas": "3"}


def test_it_is_made_again_bit_for_bit(project: Path) -> None:
    """Each step has its own environment again, and gives the same bytes."""
    told = done("runs", "reproduce", "latest", cwd=project)

    assert "6 of 6 outputs are identical" in told
