"""A replica of two models: of numbers only, and of all types of columns."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlwright.serving import ReplicaSpec, Server, start
from mlwright.serving.spec import ModelSpec
from tests.serving.conftest import PYTHON

CLIENTS = Path(sys.executable).parents[1] / "peers" / "clients" / "bin" / "python"
"""Of the environment that `scripts/setup.py test` makes beside ours."""


def run_client(code: str, folder: Path, told: Any) -> Any:
    """Run a client in its own environment; `told` is on its standard input as JSON, and so is its answer."""
    (folder / "told.json").write_text(json.dumps(told))
    done = subprocess.run(
        [str(CLIENTS), "-W", "ignore", "-c", textwrap.dedent(code)],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "said.json").read_text())


@pytest.fixture(scope="session")
def visits() -> pd.DataFrame:
    """A table with a column of each type; weights and wards may be missing."""
    chance = np.random.default_rng(0)
    rows = 60
    table = pd.DataFrame(
        {
            "age": chance.uniform(20, 90, rows),
            "visits": chance.integers(0, 9, rows),
            "smoker": chance.integers(0, 2, rows).astype(bool),
            "ward": chance.choice(["a", "b", 'ü, "quoted"\nlines'], rows),
            "weight": chance.uniform(40, 120, rows),
        }
    )
    table.loc[::7, "weight"] = np.nan
    table.loc[::5, "ward"] = None
    return table


@pytest.fixture(scope="session")
def tree(visits: pd.DataFrame) -> Pipeline:
    """Tells who comes back; takes any finite number, where a tree or a forest takes those of 32 bits."""
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["ward"]), remainder="passthrough"
    )
    back = np.where(visits["age"] + 20 * visits["smoker"] > 70, "yes", "no")
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5, random_state=0)).fit(
        visits, back
    )


@pytest.fixture(scope="session")
def back_spec(make_spec: Callable[..., ReplicaSpec], tree: Pipeline, visits: pd.DataFrame) -> ModelSpec:
    """Of the tree."""
    return replace(make_spec(tree, visits).models[0], model="back@2")


@pytest.fixture(scope="session")
def both(
    spec: ReplicaSpec, back_spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """`diagnosis@1`, the forest, and `back@2`, the tree, answering."""
    folder = tmp_path_factory.mktemp("both")
    with start(ReplicaSpec((*spec.models, back_spec)), PYTHON, folder=folder) as server:
        yield server
