"""Predictions over datasets: runs whose result is a version of a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from mlwright.app import Project
from mlwright.environments import Environments, Lock
from mlwright.kernel.errors import Conflict, Invalid, NotFound, WorkFailed
from mlwright.kernel.ids import short
from mlwright.tracking import Run
from tests.conftest import PYPROJECT, mlwright, write
from tests.workflow.lent import lend

PIPELINE = """
import pandas as pd
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

from mlwright import Dataset, pipeline, step
from mlwright.steps import register


@step
def load(data: Dataset) -> pd.DataFrame:
    return data.table().to_pandas()


@step
def fit(train: pd.DataFrame) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=2, random_state=0).fit(train[["age", "size"]], train["ill"])


@step
def line(train: pd.DataFrame) -> LinearRegression:
    return LinearRegression().fit(train[["age"]], train["size"])


@pipeline
def ills(data: Dataset = Dataset("people@latest")):
    table = load(data)
    register("ills", fit(table), {"accuracy": 1.0}, example=table)
    register("sizes", line(table), {"error": 0.0}, example=table)
"""

PEOPLE = "id,age,size,ill\n" + "".join(
    f"{age:04},{age},{age % 7},{'yes' if age > 40 else 'no'}\n" for age in range(18, 90)
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a dataset of 72 rows and two models; what predicts is in its environment already."""
    root = write(
        tmp_path_factory.mktemp("predicting") / "project",
        {"pyproject.toml": PYPROJECT, "pipelines/p.py": PIPELINE, "people.csv": PEOPLE},
    )

    def as_it_is(environments: Environments, lock: Lock, requirements: list[str]) -> Lock:
        return lock

    with pytest.MonkeyPatch.context() as patched, Project.open(root) as opened:
        patched.setattr(Environments, "resolve_with", as_it_is)  # else an index would be asked
        opened.environments.lock()
        lend(opened)
        opened.datasets.add(root / "people.csv", "people")
        opened.run("ills")
        yield opened


def add(project: Project, name: str, file: str, content: str | pd.DataFrame) -> str:
    """Make a file a version of a dataset."""
    path = project.root / file
    if isinstance(content, str):
        path.write_text(content)
    else:
        content.to_parquet(path)
    return project.datasets.add(path, name)[0].reference


def text_of(project: Project, reference: str) -> str:
    """The only file of a dataset."""
    with project.dataset(reference).open() as file:
        return file.read().decode()


def newest(project: Project) -> Run:
    return project.runs.list(kind="prediction", limit=1)[0]


def states(project: Project, run: str) -> dict[str, str]:
    return {each.node: str(each.state) for each in project.rooms.attempts.of_run(project.runs.get(run).id)}


def test_each_row_is_predicted_and_kept_as_it_was(project: Project) -> None:
    """Parts of the table are predicted each by itself, and the rows come out in their order."""
    made = project.predict("ills@champion", "people@1", "scores", rows=30)

    header, *rows = text_of(project, "scores@1").splitlines()
    assert header == "id,age,size,ill,prediction"
    assert [row.rpartition(",")[0] for row in rows] == PEOPLE.splitlines()[1:]
    assert [row.split(",")[4] for row in rows] == [row.split(",")[3] for row in rows]
    assert (made.version.reference, made.rows) == ("scores@1", 72)
    assert {"predict[0]", "predict[1]", "predict[2]"} < states(project, made.run).keys()
