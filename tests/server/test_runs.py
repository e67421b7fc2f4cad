"""Runs over MLflow's protocol, and what is reported of them."""

from __future__ import annotations

import json

import pytest

from tests.server.conftest import Up


def test_a_run_is_told_as_it_was_made(up: Up) -> None:
    """A new run has all that MLflow's clients look for."""
    asked = {
        "experiment_id": "0",
        "user_id": "ada",
        "run_name": "first",
        "start_time": "1700000000123",
        "tags": [{"key": "team", "value": "a"}],
    }
    made = up.post("runs/create", asked).json["run"]
    identity = made["info"]["run_id"]

    told = up.get("runs/get", run_id=identity).json["run"]
    old = up.get("runs/get", run_uuid=identity).json["run"]

    assert made["info"] == told["info"] == old["info"]
    assert told["info"] == {
        "run_id": identity,
        "run_uuid": identity,
        "experiment_id": "0",
        "run_name": "first",
        "user_id": "ada",
        "status": "RUNNING",
        "start_time": 1_700_000_000_123,
        "artifact_uri": f"mlflow-artifacts:/0/{identity}/artifacts",
        "lifecycle_stage": "active",
    }
    assert up.data(identity)["tags"] == {"team": "a", "mlflow.runName": "first"}


def test_a_run_without_a_name_gets_one(up: Up) -> None:
    """A name is made up; the tag that clients look at says the same."""
    identity = up.run()

    info = up.get("runs/get", run_id=identity).json["run"]["info"]

    assert info["run_name"]
    assert up.data(identity)["tags"]["mlflow.runName"] == info["run_name"]


def test_a_name_is_told_in_one_way(up: Up) -> None:
    """The name and the tag that says it go together, whoever changes which."""
    run = up.run(tags=[{"key": "mlflow.runName", "value": "by tag"}])
    names = [up.get("runs/get", run_id=run).json["run"]["info"]["run_name"]]

    up.post("runs/set-tag", {"run_id": run, "key": "mlflow.runName", "value": "by set-tag"})
    names.append(up.get("runs/get", run_id=run).json["run"]["info"]["run_name"])
    up.post("runs/log-batch", {"run_id": run, "tags": [{"key": "mlflow.runName", "value": "by batch"}]})
    names.append(up.get("runs/get", run_id=run).json["run"]["info"]["run_name"])
    up.post("runs/update", {"run_id": run, "run_name": "by update"})
    both = up.post(
        "runs/create",
        {"experiment_id": "0", "run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]},
    )

    assert names == ["by tag", "by set-tag", "by batch"]
    assert up.data(run)["tags"]["mlflow.runName"] == "by update"
    assert both.refused == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    ("status", "told"),
    [("FINISHED", "FINISHED"), ("KILLED", "KILLED"), (4, "FAILED"), (2, "SCHEDULED"), ("RUNNING", "RUNNING")],
)
def test_a_status_is_what_the_client_said_last(up: Up, status: str | int, told: str) -> None:
    """Statuses come by name or by number, and any may follow any."""
    run = up.run()
    up.post("runs/update", {"run_id": run, "status": "FAILED", "end_time": 1})

    answer = up.post("runs/update", {"run_id": run, "status": status, "end_time": "2000"}).json["run_info"]

    assert (answer["status"], answer["end_time"]) == (told, 2000)
    assert up.get("runs/get", run_id=run).json["run"]["info"] == answer


def test_deleting_and_restoring(up: Up) -> None:
    """A deleted run is still told, and takes nothing until it is restored; both are the same twice."""
    run = up.run()
    deleted = [up.post("runs/delete", {"run_id": run}).json for _ in range(2)]

    refused = [
        up.post("runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": 1}),
        up.post("runs/log-parameter", {"run_id": run, "key": "p", "value": "1"}),
        up.post("runs/set-tag", {"run_id": run, "key": "t", "value": "1"}),
        up.post("runs/update", {"run_id": run, "status": "FINISHED"}),
    ]
    stage = up.get("runs/get", run_id=run).json["run"]["info"]["lifecycle_stage"]
    restored = [up.post("runs/restore", {"run_id": run}).json for _ in range(2)]

    assert deleted == restored == [{}, {}]
    assert [each.refused for each in refused] == [(400, "INVALID_PARAMETER_VALUE")] * 4
    assert stage == "deleted"
    assert up.post("runs/set-tag", {"run_id": run, "key": "t", "value": "1"}).json == {}


def test_a_run_that_is_not_there_is_named(up: Up) -> None:
    """Every method on an unknown run is 404; without a run, what is missing is named."""
    answers = [
        up.get("runs/get", run_id="nobody"),
        up.post("runs/update", {"run_id": "nobody", "status": "FAILED"}),
        up.post("runs/delete", {"run_id": "nobody"}),
        up.post("runs/log-metric", {"run_id": "nobody", "key": "m", "value": 1, "timestamp": 1}),
        up.post("runs/log-batch", {"run_id": "nobody"}),
        up.post("runs/log-inputs", {"run_id": "nobody"}),
        up.post("runs/create", {"experiment_id": "987654"}),
    ]

    assert [each.refused for each in answers] == [(404, "RESOURCE_DOES_NOT_EXIST")] * len(answers)
    assert up.get("runs/get").message == "Missing value for required parameter 'run_id'."


def test_a_batch_is_kept_whole_or_not_at_all(up: Up) -> None:
    """When one thing in a batch cannot be kept, nothing of it is."""
    run = up.run()
    up.post("runs/log-parameter", {"run_id": run, "key": "lr", "value": "0.1"})
    batch = {
        "run_id": run,
        "metrics": [{"key": "loss", "value": 0.5, "timestamp": 1, "step": 1}],
        "params": [{"key": "depth", "value": "3"}, {"key": "lr", "value": "0.2"}],
        "tags": [{"key": "t", "value": "v"}],
    }

    refused = up.post("runs/log-batch", batch)
    nothing = up.data(run)
    batch["params"][1]["value"] = "0.1"  # type: ignore[index]
    taken = up.post("runs/log-batch", batch)

    assert refused.refused == (400, "INVALID_PARAMETER_VALUE")
    assert all(word in refused.message for word in ("lr", "0.1", "0.2"))
    assert (nothing["metrics"], nothing["params"], "t" in nothing["tags"]) == ({}, {"lr": "0.1"}, False)
    assert taken.json == {}
    assert up.data(run)["params"] == {"lr": "0.1", "depth": "3"}
    assert up.data(run)["metrics"]["loss"] == {"key": "loss", "value": 0.5, "timestamp": 1, "step": 1}


def test_tags_are_taken_away(up: Up) -> None:
    """A tag that is not there cannot be taken away."""
    run = up.run()
    up.post("runs/set-tag", {"run_id": run, "key": "t", "value": "v"})

    gone = up.post("runs/delete-tag", {"run_id": run, "key": "t"})
    again = up.post("runs/delete-tag", {"run_id": run, "key": "t"})

    assert gone.json == {}
    assert again.refused == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "t" not in up.data(run)["tags"]


def test_datasets_that_a_run_has_read_are_told(up: Up) -> None:
    """An input comes back as it was logged; what it does not have is left out."""
    run = up.run()
    dataset = {"name": "iris", "digest": "abc", "source_type": "local", "source": "{}", "schema": "s"}
    given = {"tags": [{"key": "mlflow.data.context", "value": "training"}], "dataset": dataset}

    up.post("runs/log-inputs", {"run_id": run, "datasets": [given]})
    up.post("runs/log-inputs", {"run_id": run, "datasets": [given]})

    assert up.get("runs/get", run_id=run).json["run"]["inputs"] == {"dataset_inputs": [given]}


def test_models_of_older_clients_are_noted_in_a_tag(up: Up) -> None:
    """Each model that a client of MLflow 2 logs is added to the tag where it looks for them."""
    run = up.run()
    model = {
        "run_id": run,
        "artifact_path": "model",
        "utc_time_created": "2026-11-20 10:00:00",
        "flavors": {"sklearn": {"code": None, "config": {"secret": 1}}},
        "signature": {},
    }
    for path in ("model", "other"):
        told = json.dumps({**model, "artifact_path": path})
        assert up.post("runs/log-model", {"run_id": run, "model_json": told}).json == {}

    noted = json.loads(up.data(run)["tags"]["mlflow.log-model.history"])

    assert [each["artifact_path"] for each in noted] == ["model", "other"]
    assert noted[0]["flavors"] == {"sklearn": {"code": None}}
    assert "signature" not in noted[0]


@pytest.mark.parametrize("words", ["{", "[]", "{}", '{"run_id": 1}', "[" * 100_000])
def test_models_that_are_none_are_refused(up: Up, words: str) -> None:
    """What does not describe a model is not noted."""
    answer = up.post("runs/log-model", {"run_id": up.run(), "model_json": words})

    assert answer.refused == (400, "INVALID_PARAMETER_VALUE")


def test_runs_are_searched_with_what_was_reported(up: Up) -> None:
    """Filter, order, view and tokens are MLflow's; each run has its metrics, parameters and tags."""
    experiment = up.experiment("searched")
    runs = [up.run(experiment, run_name=f"r{n}") for n in range(5)]
    for n, run in enumerate(runs):
        metrics = [{"key": "auc", "value": n / 10, "timestamp": n, "step": n}]
        params = [{"key": "n", "value": str(n)}]
        up.post("runs/log-batch", {"run_id": run, "metrics": metrics, "params": params})
    up.post("runs/delete", {"run_id": runs[4]})
    asked = {
        "experiment_ids": [experiment],
        "filter": "metrics.auc > 0 and params.n != '2'",
        "order_by": ["metrics.auc DESC"],
        "max_results": 1,
    }

    first = up.post("runs/search", asked).json
    second = up.post("runs/search", {**asked, "page_token": first["next_page_token"]}).json
    both = up.post("runs/search", {**asked, "run_view_type": "ALL", "max_results": 10}).json
    nothing = up.post("runs/search", {"experiment_ids": []})

    assert [each["info"]["run_id"] for each in first["runs"]] == [runs[3]]
    assert first["runs"][0] == up.get("runs/get", run_id=runs[3]).json["run"]
    assert [each["info"]["run_id"] for each in second["runs"]] == [runs[1]]
    assert "next_page_token" not in second
    assert [each["info"]["run_id"] for each in both["runs"]] == [runs[4], runs[3], runs[1]]
    assert nothing.json == {}
