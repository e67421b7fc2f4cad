"""Experiments over MLflow's protocol."""

from __future__ import annotations

from tests.server.conftest import Up


def test_an_experiment_is_told_as_it_was_made(up: Up) -> None:
    """Its id is a text, its moments are milliseconds, its artifacts are the server's to keep."""
    tags = [{"key": "team", "value": "a"}, {"key": "empty"}]
    identity = up.post("experiments/create", {"name": "made", "tags": tags}).json["experiment_id"]

    told = up.get("experiments/get", experiment_id=identity).json["experiment"]
    named = up.get("experiments/get-by-name", experiment_name="made").json["experiment"]

    assert named == told
    assert told.pop("creation_time") == told.pop("last_update_time") > 1_700_000_000_000
    assert sorted(told.pop("tags"), key=lambda tag: tag["key"]) == [
        {"key": "empty", "value": ""},
        {"key": "team", "value": "a"},
    ]
    assert told == {
        "experiment_id": identity,
        "name": "made",
        "artifact_location": f"mlflow-artifacts:/{identity}",
        "lifecycle_stage": "active",
        "workspace": "default",
    }


def test_names_are_taken_once(up: Up) -> None:
    """A name that is there, or that a deleted experiment has, is refused with MLflow's code."""
    identity = up.experiment("once")
    other = up.experiment("other")

    again = up.post("experiments/create", {"name": "once"})
    renamed = up.post("experiments/update", {"experiment_id": other, "new_name": "once"})
    up.post("experiments/delete", {"experiment_id": identity})
    deleted = up.post("experiments/create", {"name": "once"})

    assert again.refused == (400, "RESOURCE_ALREADY_EXISTS")
    assert renamed.status == 400
    assert deleted.refused == (400, "RESOURCE_ALREADY_EXISTS")
    assert "deleted" in deleted.message


def test_deleting_and_restoring_take_the_runs_along(up: Up) -> None:
    """A deleted experiment takes no runs, tags or names; restored, all of it is back."""
    identity = up.experiment("gone")
    run = up.run(identity)

    up.post("experiments/delete", {"experiment_id": identity})
    stage = up.get("experiments/get", experiment_id=identity).json["experiment"]["lifecycle_stage"]
    of_run = up.get("runs/get", run_id=run).json["run"]["info"]["lifecycle_stage"]
    refused = [
        up.post("runs/create", {"experiment_id": identity}),
        up.post("experiments/set-experiment-tag", {"experiment_id": identity, "key": "a", "value": "b"}),
        up.post("experiments/update", {"experiment_id": identity, "new_name": "new"}),
    ]
    twice = up.post("experiments/delete", {"experiment_id": identity})
    restored = up.post("experiments/restore", {"experiment_id": identity})
    again = up.post("experiments/restore", {"experiment_id": identity})

    assert (stage, of_run) == ("deleted", "deleted")
    assert [each.refused for each in refused] == [(400, "INVALID_PARAMETER_VALUE")] * 3
    assert twice.refused == again.refused == (404, "RESOURCE_DOES_NOT_EXIST")
    assert restored.json == {}
    assert up.get("runs/get", run_id=run).json["run"]["info"]["lifecycle_stage"] == "active"


def test_tags_are_set_and_taken_away(up: Up) -> None:
    """A tag's last value counts; one that is not there cannot be taken away."""
    identity = up.experiment("tagged")
    for value in ("1", "2"):
        up.post("experiments/set-experiment-tag", {"experiment_id": identity, "key": "a", "value": value})
    tags = up.get("experiments/get", experiment_id=identity).json["experiment"]["tags"]

    gone = up.post("experiments/delete-experiment-tag", {"experiment_id": identity, "key": "a"})
    again = up.post("experiments/delete-experiment-tag", {"experiment_id": identity, "key": "a"})

    assert tags == [{"key": "a", "value": "2"}]
    assert gone.json == {}
    assert again.refused == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "tags" not in up.get("experiments/get", experiment_id=identity).json["experiment"]


def test_an_experiment_that_is_not_there_is_named(up: Up) -> None:
    """An unknown id or name is 404; what is no id at all is 400."""
    assert up.get("experiments/get", experiment_id="987654").refused == (404, "RESOURCE_DOES_NOT_EXIST")
    assert up.get("experiments/get-by-name", experiment_name="no").refused == (404, "RESOURCE_DOES_NOT_EXIST")
    assert up.get("experiments/get", experiment_id="x").refused == (400, "INVALID_PARAMETER_VALUE")
    assert up.get("experiments/get").message == "Missing value for required parameter 'experiment_id'."


def test_a_place_of_its_own_is_refused(up: Up) -> None:
    """A client does not choose where the server keeps files."""
    answer = up.post("experiments/create", {"name": "placed", "artifact_location": "file:///etc"})

    assert answer.refused == (400, "INVALID_PARAMETER_VALUE")
    assert "artifact_location" in answer.message


def test_experiments_are_searched_page_by_page(up: Up) -> None:
    """Filter, order, view and tokens are MLflow's."""
    for name in ("search-a", "search-b", "search-c"):
        up.experiment(name)
    deleted = up.experiment("search-d")
    up.post("experiments/delete", {"experiment_id": deleted})
    asked = {"filter": "name LIKE 'search-%'", "order_by": ["name ASC"], "max_results": 2}

    first = up.post("experiments/search", asked).json
    second = up.post("experiments/search", {**asked, "page_token": first["next_page_token"]}).json
    both = up.post("experiments/search", {**asked, "view_type": "ALL", "max_results": 9}).json
    gone = up.get(
        "experiments/search", filter="name LIKE 'search-%'", view_type="DELETED_ONLY", max_results=9
    )

    assert [each["name"] for each in first["experiments"]] == ["search-a", "search-b"]
    assert [each["name"] for each in second["experiments"]] == ["search-c"]
    assert "next_page_token" not in second
    assert len(both["experiments"]) == 4
    assert [each["name"] for each in gone.json["experiments"]] == ["search-d"]
    assert up.post("experiments/search", {"filter": "name = 'none'", "max_results": 5}).json == {}
