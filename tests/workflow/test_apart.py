"""A model whose packages and the server's exclude each other: it is served, and predicts over datasets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from mlwright.app import Project
from mlwright.runtimes import way_of
from mlwright.serving import Client
from tests.conftest import mlwright, write

PYPROJECT = """
[project]
name = "old"
version = "0"
requires-python = ">=3.11"
dependencies = ["pandas>=2.2", "pyarrow>=20", "scikit-learn>=1.7", "skops>=0.13", "starlette<1"]

[tool.uv]
package = false

[tool.mlwright]
"""

PIPELINE = """
import pandas as pd
from sklearn.tree import DecisionTreeClassifier

from mlwright import Dataset, pipeline, step
from mlwright.steps import register


@step
def load(data: Dataset) -> pd.DataFrame:
    return data.table().to_pandas()


@step
def fit(table: pd.DataFrame) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(random_state=0).fit(table[["age"]], table["ill"])


@pipeline
def ills(data: Dataset = Dataset("people@latest")):
    table = load(data)
    register("tree", fit(table), example=table)
"""
PEOPLE = "age,ill\n" + "".join(f"{age}.5,{'yes' if age > 40 else 'no'}\n" for age in range(18, 90))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Its model was made beside a starlette that no server of ours takes."""
    root = write(
        tmp_path_factory.mktemp("apart") / "project",
        {"pyproject.toml": PYPROJECT, "pipelines/p.py": PIPELINE, "people.csv": PEOPLE},
    )
    with Project.open(root) as opened:
        opened.environments.lock()
        opened.datasets.add(root / "people.csv", "people")
        opened.run("ills")
        yield opened


def test_it_is_served_in_a_process_of_its_own_and_the_record_says_so(project: Project) -> None:
    """It answers, with what excludes what on record, and said by `serve`, `models show` and the metrics."""
    said: list[str] = []

    with project.serve("tree@1", runtime="native", preparing=said.append) as server:
        with Client(server.url) as client:
            answered = client.predict([{"age": 20.5}, {"age": 60.5}])
        with urlopen(f"{server.url}/metrics") as metrics:
            figures = metrics.read().decode()

    assert answered.predictions == ["no", "yes"]
    assert 'mlwright_model_info{model="tree",version="1",runtime="child"} 1' in figures
    detail = project.models.detail("tree@1")
    assert detail.apart is not None
    assert detail.apart.why.startswith("the model has starlette 0.")
    assert any(detail.apart.why in each for each in said)
    assert way_of([detail], "native") == "child"
    shown = mlwright("models", "show", "tree@1", cwd=project.root)
    assert f"in a process of its own: {detail.apart.why}" in shown.stdout


def test_it_predicts_over_a_dataset(project: Project) -> None:
    """Rows are read where the server's packages are, and asked about where the model's are."""
    made = project.predict("tree@1", "people@1", runtime="native", proba=True)

    project.datasets.checkout(made.version.reference, out := Path(project.root, "out.csv"))

    lines = out.read_text().splitlines()
    assert lines[0] == "age,ill,prediction,probability_no,probability_yes"
    assert lines[1:3] == ["18.5,no,no,1.0,0.0", "19.5,no,no,1.0,0.0"]
    assert all(line.split(",")[1] == line.split(",")[2] for line in lines[1:])
