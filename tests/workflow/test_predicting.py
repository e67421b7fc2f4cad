"""Predictions over datasets: runs whose result is a version of a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from mlwright.app import Project
from mlwright.kernel.errors import Conflict, NotFound, WorkFailed
from mlwright.serving import serve_requirements, table_requirements
from mlwright.tracking import Run
from tests.conftest import PYPROJECT, mlwright, write
from tests.processes import until
from tests.server.conftest import Up
from tests.workflow.lent import lend, lend_more

PIPELINE = """
import os
from pathlib import Path

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


class Fragile(DecisionTreeClassifier):
    # Ends its process, once, when it is asked about many rows.
    mark = ""

    def predict(self, table):
        if len(table) > 50 and not Path(self.mark).exists():
            Path(self.mark).touch()
            os._exit(3)
        return super().predict(table)


@step
def fit_fragile(train: pd.DataFrame, mark: str) -> Fragile:
    made = Fragile(random_state=0).fit(train[["age"]], train["ill"])
    made.mark = mark
    return made


@pipeline
def fragile(mark: str, data: Dataset = Dataset("people@latest")):
    table = load(data)
    register("fragile", fit_fragile(table, mark), {"accuracy": 1.0}, example=table)


class Careful:
    def load(self, model) -> None:
        self.model = model

    def predict(self, table: pd.DataFrame) -> list[dict]:
        return [{"is": str(each)} for each in self.model.predict(table[["age", "size"]])]


@pipeline
def careful(data: Dataset = Dataset("people@latest")):
    table = load(data)
    register("careful", fit(table), predictor=Careful, example=table)


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

    with Project.open(root) as opened:
        opened.environments.lock()
        lock = lend(opened)
        for more in ([], table_requirements()):
            lend_more(opened, lock, [*serve_requirements(), *more])
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


def test_the_same_again_is_reused(project: Project) -> None:
    """The same model over the same version: nothing is predicted, no version is made, and both are told."""
    first = project.predict("ills", "people@1", "again", rows=30)

    second = project.predict("ills@1", "people", "again", rows=30)

    assert (first.note, second.note) == ("again@1 added", "again@1 holds these rows already")
    assert set(states(project, second.run).values()) == {"reused", "checked"}
    assert second.version == first.version


def test_a_row_that_does_not_fit_is_named_and_nothing_is_made(project: Project) -> None:
    """Row and column as a server names them, counted from 0 through the whole file, in every format."""
    lines = PEOPLE.splitlines()
    lines[60] = "x,old,3,no"
    add(project, "wrong", "wrong.csv", "\n".join(lines) + "\n")

    with pytest.raises(WorkFailed) as refused:
        project.predict("ills", "wrong", "never", rows=30, executor="inline")

    told = 'dataset wrong@1: row 59: `age` must be an integer, not the string "old"'
    assert refused.value.message.endswith(told), refused.value.message
    assert refused.value.hint == "rows are counted from 0; then: the same command again"
    assert states(project, newest(project).id)["predict[0]"] == "succeeded"
    with pytest.raises(NotFound):
        project.dataset("never")


def test_the_format_of_the_table_is_that_of_the_predictions(project: Project) -> None:
    """Parquet stays Parquet, with the types of its columns; a folder of tables stays a folder."""
    frame = pd.read_csv(project.root / "people.csv", dtype={"id": str})
    add(project, "columns", "people.parquet", frame)
    (project.root / "many").mkdir()
    (project.root / "many" / "a.jsonl").write_text('{"age": 20, "size": 1, "other": null}\n')
    (project.root / "many" / "b.csv").write_text("size,age\n1,80\n")
    project.datasets.add(project.root / "many", "many")

    project.predict("ills", "columns", "from-columns", proba=True, rows=50, executor="inline")
    project.predict("ills", "many", "from-many", executor="inline")

    made = project.dataset("from-columns").table().to_pandas()
    assert made[frame.columns].equals(frame)
    assert made["prediction"].equals(frame["ill"].rename("prediction"))
    assert made["probability_yes"].tolist() == [float(each == "yes") for each in frame["ill"]]
    with project.dataset("from-many").open("a.jsonl") as file:
        assert file.read() == b'{"age": 20, "size": 1, "other": null, "prediction": "no"}\n'
    with project.dataset("from-many").open("b.csv") as file:
        assert file.read() == b"size,age,prediction\n1,80,yes\n"


def test_predictions_lead_to_their_model_data_and_run(project: Project) -> None:
    """Up from the version stand all three, down from the model stands the version; so the model stays."""
    made = project.predict("sizes", "people@1", only_predictions=True, executor="inline")

    up = project.lineage.edges("sizes-predictions@1")
    down = project.lineage.edges("sizes@1", down=True)

    model = project.models.versions.resolve("sizes@1")
    data = project.datasets.versions.resolve("people@1")
    direct = {(edge.role, edge.earlier.id) for edge in up if edge.later == made.version.end}
    assert {("model", model.id), ("data", data.id), ("run", made.run)} < direct
    assert made.version.end in {edge.later for edge in down}
    with pytest.raises(Conflict, match="sizes-predictions@1"):
        project.models.remove("sizes@1")
    (remedy,) = {each.command for each in project.impact("sizes@1").runs}
    assert remedy == "mlwright predict sizes@1 people@1 --to sizes-predictions --only-predictions"


def test_a_column_of_the_same_name_is_refused(project: Project) -> None:
    """Nothing is written over; the predictions alone can be had."""
    add(project, "taken", "taken.csv", "age,size,prediction\n20,1,maybe\n")

    with pytest.raises(WorkFailed, match="it has a column `prediction` already") as refused:
        project.predict("ills", "taken", "taken-scores", executor="inline")
    project.predict("ills", "taken", "taken-scores", only_predictions=True, executor="inline")

    assert "--only-predictions" in str(refused.value.hint)
    assert text_of(project, "taken-scores@1") == "prediction\nno\n"


def test_a_worker_that_dies_is_replaced(project: Project, tmp_path: Path) -> None:
    """A part whose worker died is predicted again; a class of the project's own is found in its code."""
    project.run("fragile", mark=str(tmp_path / "died"))

    made = project.predict("fragile", "people@1")

    tries = project.rooms.attempts.of_run(project.runs.get(made.run).id)
    assert [(each.number, str(each.state)) for each in tries if each.node == "predict[0]"] == [
        (1, "failed"),
        (2, "succeeded"),
    ]
    assert made.rows == 72


def test_a_predictor_of_the_project_answers(project: Project) -> None:
    """Its class comes from the code that was recorded with it; an answer that is no cell is JSON in one."""
    project.run("careful")

    project.predict("careful", "people@1", "carefully")

    assert text_of(project, "carefully@1").splitlines()[1] == '0018,18,4,no,"{""is"": ""no""}"'


@pytest.mark.parametrize(
    ("model", "dataset", "options", "status", "said"),
    [
        ("nobody", "people", [], 3, "there is no model `nobody`"),
        ("ills", "nobody", [], 3, "there is no dataset `nobody`"),
        ("ills", "people", ["--to", "people"], 2, "cannot be a version of `people` itself"),
        ("ills", "people", ["--to", "a b"], 2, "a b"),
        ("sizes", "people", ["--proba"], 2, "sizes@1 gives no probabilities"),
        ("ills", "notes", [], 2, "`notes.txt` of notes@1 is not a table"),
        ("ills", "people", ["--no-wait"], 2, "--no-wait"),
    ],
)
def test_what_cannot_be_predicted_is_said_at_once(
    project: Project, model: str, dataset: str, options: list[str], status: int, said: str
) -> None:
    """The command ends with the status of its kind, and no run is begun."""
    (project.root / "notes.txt").write_text("words\n")
    project.datasets.add(project.root / "notes.txt", "notes")
    before = project.runs.count()

    done = mlwright("predict", model, dataset, *options, cwd=project.root)

    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert project.runs.count() == before


def test_the_command_shows_its_plan_its_run_and_its_result(project: Project) -> None:
    """--dry-run plans; else the run goes by, and the version is named; --json is for programs."""
    arguments = ("predict", "ills@champion", "people@1", "--to", "typed")

    planned = mlwright(*arguments, "--dry-run", cwd=project.root)
    done = mlwright(*arguments, cwd=project.root)
    again = mlwright(*arguments, "--json", cwd=project.root)

    assert planned.returncode == 0, planned.stderr
    assert "plan: run of ills@1 on people@1" in planned.stdout
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("typed@1 added: 72 rows\n")
    told = json.loads(again.stdout)
    assert (told["version"]["name"], told["rows"]) == ("typed", 72)


def test_a_server_accepts_a_prediction_as_a_run(project: Project) -> None:
    """202 and a place to look at; the run is executed like others that are started over HTTP."""
    with closing(Up(project.root, "--port", "0")) as up:
        headers = {"content-type": "application/json", "authorization": f"Bearer {up.token}"}
        body = json.dumps({"dataset": "people@1", "to": "there"})
        asked = up.ask("POST", "/api/v1/models/ills@1/predict", body, headers)
        assert asked.status == 202, asked.body
        run = asked.json["id"]
        assert asked.headers["location"] == f"/api/v1/runs/{run}"
        until(lambda: project.runs.get(run).state.ended)

    assert str(project.runs.get(run).state) == "succeeded"
    assert text_of(project, "there@1") == text_of(project, "scores@1")
