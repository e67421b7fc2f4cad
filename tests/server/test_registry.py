"""MLflow's registry over our own: what its client registers is a version here; it loads ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.kernel.errors import Incompatible
from mlwright.sdk.codecs import codec_named
from mlwright.storage import load_tree
from tests.conftest import PYPROJECT, mlwright, write
from tests.mlflow import run_client
from tests.server.conftest import Up
from tests.workflow.lent import lend

PIPELINE = """
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from xgboost import XGBClassifier

from mlwright import Dataset, pipeline, step
from mlwright.steps import register

COLUMNS = ["age", "weight"]


class Always:
    def predict(self, table):
        return [1 for _ in range(len(table))]


@step
def load(data: Dataset) -> pd.DataFrame:
    return data.table().to_pandas()


@step
def forest(train: pd.DataFrame) -> RandomForestClassifier:
    ill = train["ill"].map({0: "no", 1: "yes"})
    return RandomForestClassifier(10, random_state=0).fit(train[COLUMNS], ill)


@step
def boosted(train: pd.DataFrame) -> XGBClassifier:
    return XGBClassifier(n_estimators=5).fit(train[COLUMNS], train["ill"])


@step
def always(train: pd.DataFrame) -> Always:
    return Always()


@step
def score(model: object, table: pd.DataFrame) -> dict[str, float]:
    return {"rows": float(len(table))}


@step
def examples(table: pd.DataFrame) -> pd.DataFrame:
    return table[COLUMNS]


@pipeline
def ills(data: Dataset = Dataset("people@latest")):
    table = load(data)
    example = examples(table)
    for name, made in {"forest": forest(table), "boosted": boosted(table), "always": always(table)}.items():
        register(name, made, score(made, table), example=example)
"""
PEOPLE = "age,weight,ill\n" + "".join(
    f"{age},{age % 7 + 0.5},{int(age > 40 or age % 7 == 3)}\n" for age in range(18, 90)
)
ASKED = {"age": [20, 45, 33, 70], "weight": [1.5, 6.5, 3.5, 0.5]}

LOGGED = """
    import json, sys, warnings
    warnings.filterwarnings("ignore")
    import mlflow
    import pandas as pd
    from mlflow import MlflowClient
    from sklearn.linear_model import LogisticRegression

    client, told = MlflowClient(), {}
    table = pd.DataFrame({"age": [41.0, 63.0, 50.0, 30.0] * 5, "weight": [1.5, 2.5, 3.5, 1.0] * 5})
    model = LogisticRegression().fit(table, [0, 1, 1, 0] * 5)
    mlflow.set_experiment("ills")
    with mlflow.start_run() as run:
        mlflow.log_param("depth", 3)
        mlflow.log_metric("auc", 0.9)
        mlflow.set_tag("mlflow.source.git.commit", "c0ffee")
        logged = mlflow.sklearn.log_model(
            model, name="model", registered_model_name="logged", input_example=table.head(2),
            serialization_format="skops",
        )
        mlflow.log_metric("loss", 0.25, model_id=logged.model_id)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose pipeline registered three models."""
    place = tmp_path_factory.mktemp("registry") / "ills"
    write(place, {"pyproject.toml": PYPROJECT, "pipelines/p.py": PIPELINE, "people.csv": PEOPLE})
    with Project.open(place) as project:
        project.environments.lock()
        lend(project)
        project.datasets.add(place / "people.csv", "people")
        project.run("ills")
    return place


@pytest.fixture(scope="module")
def up(root: Path) -> Iterator[Up]:
    """A server of that project."""
    server = Up(root)
    yield server
    server.close()


def client(up: Up, folder: Path, code: str, *arguments: object) -> Any:
    """What a script with MLflow's own client prints last, as JSON."""
    ran = run_client(code, up.url, folder, *arguments)
    up.hang_up()
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def delete(up: Up, path: str, body: dict[str, str]) -> tuple[int, Any]:
    """Ask a method that deletes."""
    answered = up.ask(
        "DELETE", f"/api/2.0/mlflow/{path}", json.dumps(body), {"content-type": "application/json"}
    )
    return answered.status, answered.json


def answers(project: Project, reference: str) -> list[Any]:
    """What a model of ours says of the table, read by its own codec."""
    detail = project.models.detail(reference)
    path = project.rooms.objects.path(detail.artifact.digest)
    model = codec_named(detail.artifact.codec).decode(path, detail.artifact.type, path.parent)
    return [*map(str, model.predict(pd.DataFrame(ASKED)))]


def test_models_of_ours_answer_the_same_in_mlflow(up: Up, root: Path, tmp_path: Path) -> None:
    """MLflow's client loads what pipelines made, by alias and number, and it answers as ours does."""
    told = client(
        up,
        tmp_path,
        """
        import json, sys, warnings
        warnings.filterwarnings("ignore")
        import mlflow
        import pandas as pd

        table = pd.DataFrame(json.loads(sys.argv[1]))
        told = {}
        for reference in ("forest@champion", "boosted/1"):
            model = mlflow.pyfunc.load_model(f"models:/{reference}")
            told[reference] = [str(each) for each in model.predict(table)]
            told[reference + " takes"] = model.metadata.get_input_schema().to_dict()
            told[reference + " run"] = model.metadata.run_id
        told["native"] = [
            type(mlflow.sklearn.load_model("models:/forest/1")).__name__,
            type(mlflow.xgboost.load_model("models:/boosted@champion")).__name__,
        ]
        print(json.dumps(told))
        """,
        json.dumps(ASKED),
    )

    with Project.open(root) as project:
        assert told["forest@champion"] == answers(project, "forest@champion")
        assert told["boosted/1"] == answers(project, "boosted@1")
        assert told["forest@champion run"] == project.models.detail("forest@1").run
    assert told["forest@champion takes"] == [
        {"name": "age", "type": "long", "required": True},
        {"name": "weight", "type": "double", "required": True},
    ]
    assert told["native"] == ["RandomForestClassifier", "XGBClassifier"]


def test_a_model_that_only_a_pickle_holds_is_refused_with_the_reason(up: Up, root: Path) -> None:
    """MLflow's clients are told in one sentence, and so is who exports it."""
    asked = up.get("model-versions/get-download-uri", name="always", version="1")
    exported = mlwright("models", "export", "always@1", "exported", "--format", "mlflow", cwd=root)

    assert asked.refused == (400, "INVALID_PARAMETER_VALUE")
    assert "always@1 cannot be a model of MLflow's: it is stored as pickle" in asked.message
    assert exported.returncode == 5 and "it is stored as pickle" in exported.stderr
    assert not (root / "exported").exists()


def test_an_export_for_mlflow_is_the_folder_of_the_protocol(up: Up, root: Path, tmp_path: Path) -> None:
    """What is exported has the files that are served, to the byte; MLflow loads it from the disk."""
    ran = mlwright("models", "export", "forest@1", str(tmp_path / "out"), "--format", "mlflow", cwd=root)
    uri = up.get("model-versions/get-download-uri", name="forest", version="1").json["artifact_uri"]
    place = uri.removeprefix("mlflow-artifacts:/")

    listed = up.ask("GET", f"/api/2.0/mlflow-artifacts/artifacts?path={place}").json["files"]
    told = client(
        up,
        tmp_path,
        """
        import json, mlflow, pandas as pd, sys
        print(json.dumps(list(mlflow.pyfunc.load_model("out").predict(pd.DataFrame(json.loads(sys.argv[1]))))))
        """,
        json.dumps(ASKED),
    )

    assert ran.returncode == 0, ran.stderr
    names = [each["path"] for each in listed]
    assert {"MLmodel", "model.skops", "input_example.json"} <= set(names)
    for name in names:
        served = up.ask("GET", f"/api/2.0/mlflow-artifacts/artifacts/{place}/{name}").body
        assert served == (tmp_path / "out" / name).read_bytes(), name
    with Project.open(root) as project:
        assert told == answers(project, "forest@1")


def test_nobody_writes_into_a_version(up: Up) -> None:
    """The place of a version's files can be read, and neither stored to nor deleted."""
    uri = up.get("model-versions/get-download-uri", name="forest", version="1").json["artifact_uri"]
    place = f"/api/2.0/mlflow-artifacts/artifacts/{uri.removeprefix('mlflow-artifacts:/')}/MLmodel"
    before = up.ask("GET", place).body

    stored, deleted = up.ask("PUT", place, b"other"), up.ask("DELETE", place)

    assert stored.status == 400 and deleted.status == 400
    assert up.ask("GET", place).body == before


def test_what_a_client_registers_is_a_version_beside_ours(up: Up, root: Path, tmp_path: Path) -> None:
    """log_model, alias, copy, stages and load_model work; our registry shows the version and its origin."""
    told = client(
        up,
        tmp_path,
        LOGGED
        + """
    client.set_registered_model_alias("logged", "champion", 1)
    loaded = mlflow.pyfunc.load_model("models:/logged@champion")
    told["same"] = list(loaded.predict(table)) == list(model.predict(table))
    told["second"] = mlflow.register_model(logged.model_uri, "logged").version
    client.copy_model_version("models:/logged/1", "logged (copy)")
    told["copied"] = list(mlflow.pyfunc.load_model("models:/logged (copy)/1").predict(table.head(2)).tolist())
    client.transition_model_version_stage("logged", 1, "Production")
    client.transition_model_version_stage("logged", 2, "production", archive_existing_versions=True)
    told["stages"] = {each.version: each.current_stage for each in client.get_latest_versions("logged")}
    staged = mlflow.pyfunc.load_model("models:/logged/Production")
    told["staged"] = staged.metadata.model_id == logged.model_id
    told["found"] = [each.name for each in client.search_registered_models("name LIKE 'logged%'")]
    versions = client.search_model_versions("name = 'logged'", order_by=["version_number ASC"])
    told["versions"] = [each.version for each in versions]
    told["outputs"] = [each.model_id for each in client.get_run(run.info.run_id).outputs.model_outputs]
    told["models"] = [
        (each.model_id, {metric.key: metric.value for metric in each.metrics}["loss"])
        for each in mlflow.search_logged_models(
            [run.info.experiment_id], filter_string="metrics.loss < 1", output_format="list"
        )
    ]
    told |= {"run": run.info.run_id, "model": logged.model_id}
    print(json.dumps(told))
    """,
    )

    assert told["same"] and told["copied"] == [0, 1] and told["second"] == "2" and told["staged"]
    assert told["stages"] == {"1": "Archived", "2": "Production"}
    assert told["found"] == ["logged", "logged (copy)"] and told["versions"] == ["1", "2"]
    assert told["outputs"] == [told["model"]] and told["models"] == [[told["model"], 0.25]]
    listed = mlwright("models", "list", cwd=root).stdout
    assert "logged@2" in listed and "champion=@1" in listed and "logged (copy)@1" in listed
    shown = mlwright("models", "show", "logged@champion", cwd=root).stdout
    assert "depth=3" in shown and "auc" in shown and "commit c0ffee" in shown and "mlflow.sklearn" in shown
    with Project.open(root) as project:
        version = project.models.versions.resolve("logged@champion")
        ends = {edge.role: edge.earlier.id for edge in edges.made_from(project.rooms.database, version.end)}
        assert (ends["run"], ends["logged_model"]) == (told["run"], told["model"])
        with pytest.raises(Incompatible, match="never loaded here"):
            project.models.servable("logged@1")


def test_a_version_keeps_its_files_whatever_becomes_of_their_source(up: Up, root: Path) -> None:
    """Files are frozen when they are registered: what is stored there later changes no version."""
    run = up.run()
    store = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/m"
    up.ask("PUT", f"{store}/MLmodel", b"flavors:\n  python_function:\n    loader_module: x\n")
    up.ask("PUT", f"{store}/data/weights", b"\1" * 5000)
    up.post("registered-models/create", {"name": "frozen"})
    source = f"runs:/{run}/m"
    made = up.post("model-versions/create", {"name": "frozen", "source": source, "run_id": run}).json

    up.ask("PUT", f"{store}/MLmodel", b"other")
    up.ask("DELETE", f"{store}/data/weights")
    uri = up.get("model-versions/get-download-uri", name="frozen", version="1").json["artifact_uri"]
    place = f"/api/2.0/mlflow-artifacts/artifacts/{uri.removeprefix('mlflow-artifacts:/')}"

    assert made["model_version"]["source"] == source
    assert up.ask("GET", f"{place}/MLmodel").body.startswith(b"flavors:")
    assert up.ask("GET", f"{place}/data/weights").body == b"\1" * 5000
    assert mlwright("models", "verify", "frozen@1", cwd=root).returncode == 0
    with Project.open(root) as project:
        digest = project.models.versions.resolve("frozen@1").digest
        assert [each.path for each in load_tree(project.rooms.objects, digest).entries] == [
            "MLmodel",
            "data/weights",
        ]


def test_autolog_registers_what_was_fitted(up: Up, tmp_path: Path) -> None:
    """scikit-learn's autologger makes run, logged model and version by one call of fit."""
    told = client(
        up,
        tmp_path,
        """
        import json, warnings
        warnings.filterwarnings("ignore")
        import mlflow
        import pandas as pd
        from sklearn.linear_model import LogisticRegression

        mlflow.sklearn.autolog(serialization_format="skops", registered_model_name="auto")
        table = pd.DataFrame({"age": [41.0, 63.0, 50.0, 30.0] * 5})
        model = LogisticRegression(C=2).fit(table, [0, 1, 1, 0] * 5)
        loaded = mlflow.sklearn.load_model("models:/auto/1")
        print(json.dumps([loaded.C, list(loaded.predict(table)) == list(model.predict(table))]))
        """,
    )

    assert told == [2, True]


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "etc",
        "http://127.0.0.1/x",
        "s3://bucket/key",
        "dbfs:/x",
        "mlflow-artifacts:/../x",
        "mlflow-artifacts://host/0/RUN/artifacts/m",
        "mlflow-artifacts:/0/RUN/artifacts/../../x",
        "mlflow-artifacts:/0/RUN/artifacts/%2e%2e/x",
        "mlflow-artifacts:/0/RUN/artifacts/%252e%252e/x",
        "mlflow-artifacts:/0/RUN/artifacts\\..\\x",
        "mlflow-artifacts:/0/01JD8ZZZZZZZZZZZZZZZZZZZZZ/artifacts/m",
        "mlflow-artifacts:/models/x",
        "runs:/RUN/../x",
        "runs:/01JD8ZZZZZZZZZZZZZZZZZZZZZ/m",
        "models:/m-1234",
        "mlflow-artifacts:/0/RUN/artifacts/m\0",
    ],
)
def test_a_source_that_is_no_place_of_the_run_is_refused(up: Up, source: str) -> None:
    """Nothing that names a file, a host, a bucket or another run's files is registered."""
    run = up.run()
    up.post("registered-models/create", {"name": "hostile"})

    asked = {"name": "hostile", "source": source.replace("RUN", run), "run_id": run}
    refused = up.post("model-versions/create", asked)

    assert refused.refused == (400, "INVALID_PARAMETER_VALUE")
    assert "latest_versions" not in up.get("registered-models/get", name="hostile").json["registered_model"]


@pytest.mark.parametrize("name", ["a/b", "a:b", "a@b", "..", " ", " a", "-a", "a\0b", "x" * 257, "a\nb"])
def test_a_name_that_no_reference_can_have_is_refused(up: Up, name: str) -> None:
    """A name stands in references, addresses and on terminals, and means one thing in each."""
    assert up.post("registered-models/create", {"name": name}).refused == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "1", "a b", "a.b", "x" * 256])
def test_an_alias_that_means_something_else_is_refused(up: Up, alias: str) -> None:
    """What reads as a version of its own, or as no word, is no alias."""
    asked = {"name": "forest", "alias": alias, "version": "1"}

    assert up.post("registered-models/alias", asked).refused == (400, "INVALID_PARAMETER_VALUE")


def test_what_is_missing_is_told_as_mlflow_does(up: Up) -> None:
    """Each method has MLflow's code for what is not there, and for what is there already."""
    missing = (404, "RESOURCE_DOES_NOT_EXIST")
    up.post("registered-models/create", {"name": "twice"})

    assert up.get("registered-models/get", name="none").refused == missing
    assert up.get("model-versions/get", name="forest", version="99").refused == missing
    assert up.get("model-versions/get", name="forest", version="x").refused[1] == "INVALID_PARAMETER_VALUE"
    assert (
        up.get("registered-models/alias", name="forest", alias="none").refused[1] == "INVALID_PARAMETER_VALUE"
    )
    assert up.get("logged-models/m-none").refused == missing
    assert up.post("registered-models/create", {"name": "twice"}).refused == (400, "RESOURCE_ALREADY_EXISTS")
    assert up.post("registered-models/create", {"name": "p", "tags": [PROMPT]}).refused == (
        501,
        "NOT_IMPLEMENTED",
    )


PROMPT = {"key": "mlflow.prompt.is_prompt", "value": "true"}


def test_words_tags_and_names_change(up: Up) -> None:
    """Descriptions and tags of a model and of its versions, ours too, are what was said last."""
    up.post("registered-models/create", {"name": "before", "tags": [{"key": "team", "value": "a"}]})
    up.ask(
        "PATCH",
        "/api/2.0/mlflow/registered-models/update",
        json.dumps({"name": "before", "description": "d"}),
        JSON,
    )
    renamed = up.post("registered-models/rename", {"name": "before", "new_name": "after"}).json
    up.post("model-versions/set-tag", {"name": "boosted", "version": "1", "key": "stage", "value": "b"})
    up.ask(
        "PATCH",
        "/api/2.0/mlflow/model-versions/update",
        json.dumps({"name": "boosted", "version": "1", "description": "five trees"}),
        JSON,
    )
    kept = up.post("registered-models/rename", {"name": "boosted", "new_name": "bushes"})

    version = up.get("model-versions/get", name="boosted", version="1").json["model_version"]
    found = up.get("model-versions/search", filter="tags.stage = 'b' and name = 'boosted'").json

    assert renamed["registered_model"]["description"] == "d"
    assert renamed["registered_model"]["tags"] == [{"key": "team", "value": "a"}]
    assert up.get("registered-models/get", name="before").status == 404
    assert (version["description"], version["tags"]) == ("five trees", [{"key": "stage", "value": "b"}])
    assert [each["version"] for each in found["model_versions"]] == ["1"]
    assert kept.refused[0] == 400 and "made here" in kept.message


JSON = {"content-type": "application/json"}


def test_a_version_goes_with_its_aliases_and_its_number_stays_taken(up: Up) -> None:
    """Deleting takes the aliases that mean a version too; the number is not given again."""
    run = up.run()
    source = f"mlflow-artifacts:/0/{run}/artifacts/m"
    up.post("registered-models/create", {"name": "short"})
    for _ in range(2):
        up.post("model-versions/create", {"name": "short", "source": source, "run_id": run})
    up.post("registered-models/alias", {"name": "short", "alias": "best", "version": "2"})

    gone = delete(up, "model-versions/delete", {"name": "short", "version": "2"})
    third = up.post("model-versions/create", {"name": "short", "source": source, "run_id": run}).json

    assert gone == (200, {})
    assert up.get("registered-models/alias", name="short", alias="best").status == 400
    assert third["model_version"]["version"] == "3"
    assert delete(up, "registered-models/delete", {"name": "short"}) == (200, {})
    assert up.get("registered-models/get", name="short").status == 404


def test_searches_go_page_by_page(up: Up) -> None:
    """A page ends where it was asked to, and its token leads on; a token of another search is refused."""
    for number in range(3):
        up.post("registered-models/create", {"name": f"page {number}"})
    asked = {"filter": "name LIKE 'page %'", "order_by": "name DESC", "max_results": 2}

    first = up.get("registered-models/search", **asked).json
    second = up.get("registered-models/search", **asked, page_token=first["next_page_token"]).json
    other = up.get("registered-models/search", page_token=first["next_page_token"])

    names = [each["name"] for page in (first, second) for each in page["registered_models"]]
    assert names == ["page 2", "page 1", "page 0"] and "next_page_token" not in second
    assert other.refused == (400, "INVALID_PARAMETER_VALUE")
    assert up.get("registered-models/search", filter="colour = 'a'").refused == (
        400,
        "INVALID_PARAMETER_VALUE",
    )
