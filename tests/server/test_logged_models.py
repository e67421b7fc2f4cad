"""Logged models and what is registered of them, asked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.server.protocols.mlflow.artifacts import PAGE
from mlwright.tracking.files import Files
from tests.server.conftest import API, Up


def logged(up: Up, name: str) -> str:
    """A new logged model's id, for which a name is registered too."""
    up.post("registered-models/create", {"name": name})
    made = up.post("logged-models", {"experiment_id": "0", "name": name}).json
    return str(made["model"]["info"]["model_id"])


def test_a_copy_comes_of_no_run_that_nobody_knows(up: Up, project: Path) -> None:
    """What a client says of a run stands in the copy, and makes no edge where there is no such run."""
    model = logged(up, "net")
    asked = {"name": "net", "source": f"models:/{model}", "model_id": model, "run_id": "nonsense"}
    up.post("model-versions/create", asked)

    made = up.post("model-versions/create", {"name": "net", "source": "models:/net/1"})

    copied = made.json["model_version"]
    assert (copied["version"], copied["run_id"]) == ("2", "nonsense")
    with Project.open(project) as opened:
        end = opened.models.versions.resolve("net@2").end
        roles = {edge.role for edge in edges.made_from(opened.rooms.database, end)}
    assert "logged_model" in roles and "run" not in roles


def test_an_experiment_beyond_64_bits_has_no_logged_models(up: Up) -> None:
    """An id that no experiment can have is the request's fault."""
    assert up.post("logged-models/search", {"experiment_ids": ["9" * 19]}).refused == (
        400,
        "INVALID_PARAMETER_VALUE",
    )


@pytest.mark.parametrize("text", ["oops", "{}", "[" * 65_536, f'["{"x" * 65_530}"]'])
def test_a_tag_that_lists_no_versions_is_named(up: Up, text: str) -> None:
    """A client may write into the tag with the versions of a logged model what it likes."""
    model = logged(up, "tagged")
    tag = {"key": "mlflow.modelVersions", "value": text}
    up.ask(
        "PATCH",
        f"{API}logged-models/{model}/tags",
        json.dumps({"tags": [tag]}),
        {"content-type": "application/json"},
    )

    asked = {"name": "tagged", "source": f"models:/{model}", "model_id": model}
    refused = up.post("model-versions/create", asked)

    assert refused.refused == (400, "INVALID_PARAMETER_VALUE")
    assert "mlflow.modelVersions" in refused.message


def test_a_source_that_is_encoded_again_and_again_is_refused(up: Up) -> None:
    """What decodes ten times without end is no source; it is not decoded on."""
    model = logged(up, "encoded")
    asked = {"name": "encoded", "source": f"models:/{model}/%{'25' * 1000}41", "model_id": model}

    refused = up.post("model-versions/create", asked)

    assert refused.refused == (400, "INVALID_PARAMETER_VALUE")
    assert "again and again" in refused.message


def test_many_files_are_told_page_by_page(up: Up, project: Path) -> None:
    """More files than a page holds are all told, each once."""
    model = logged(up, "wide")
    wanted = {f"{number:05}" for number in range(PAGE + 5)}
    with Project.open(project) as opened:
        files = Files(opened.rooms.objects)
        with files.upload() as upload:
            upload.write(b"x")
            received = upload.put()
        with opened.rooms.database.transaction() as tx:
            for name in wanted:
                files.put(tx, f"0/models/{model}/artifacts/{name}", received)

    path = f"logged-models/{model}/artifacts/directories"
    first = up.get(path).json
    second = up.get(path, page_token=first["next_page_token"]).json

    assert (len(first["files"]), len(second["files"])) == (PAGE, 5)
    assert {each["path"] for each in first["files"] + second["files"]} == wanted
    assert "next_page_token" not in second


def test_what_was_measured_on_a_dataset_is_searched_apart(up: Up) -> None:
    """A filter and an order that name a dataset look at what was measured on that alone."""
    experiment = up.experiment("measured on data")
    run, names = up.run(experiment), {}
    for name, values in {"a": {"1": 0.9, "2": 0.1}, "b": {"1": 0.5, "2": 0.6}, "c": {"": 0.99}}.items():
        made = up.post("logged-models", {"experiment_id": experiment, "name": name}).json["model"]["info"]
        names[made["model_id"]] = name
        for digest, value in values.items():
            data = {"dataset_name": "d", "dataset_digest": digest} if digest else {}
            metric = {"key": "auc", "value": value, "timestamp": 1, "model_id": made["model_id"], **data}
            assert up.post("runs/log-metric", {"run_id": run, **metric}).status == 200

    def found(text: str = "", digest: str = "", **order: object) -> str:
        asked = {"experiment_ids": [experiment], "filter": text}
        if digest:
            asked["datasets"] = [{"dataset_name": "d", "dataset_digest": digest}]
        asked["order_by"] = [{"field_name": "metrics.auc", **order}] if order else [{"field_name": "name"}]
        models = up.post("logged-models/search", asked).json.get("models", [])
        return "".join(names[each["info"]["model_id"]] for each in models)

    assert found("metrics.auc > 0.55") == "abc"
    assert (found("metrics.auc > 0.55", "1"), found("metrics.auc > 0.55", "2")) == ("a", "b")
    assert (found("metrics.auc > 0.2 AND metrics.auc < 0.55", "1"), found(digest="1")) == ("b", "ab")
    assert found(digest="3") == ""
    assert found(ascending=False, dataset_digest="1") == "abc"
    assert found(ascending=False, dataset_digest="2") == "bac"
    assert found(ascending=True, dataset_digest="2", dataset_name="d") == "abc"
