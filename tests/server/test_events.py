"""Changes that clients of MLflow's protocol make are events, with what was there before and after."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlwright.kernel import chain, events
from mlwright.kernel.database import Transaction, all_migrations
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.server.commits import Commits
from mlwright.server.protocols.mlflow.routes import ROUTES
from mlwright.server.routes import Permission
from tests.conftest import PYPROJECT, write
from tests.happened import happened
from tests.server.conftest import API, Up

REPORTED = "what is reported of a run or a logged model is a record of its own"
NO_EVENT = {
    "POST mlflow/runs/log-metric": REPORTED,
    "POST mlflow/runs/log-parameter": REPORTED,
    "POST mlflow/runs/set-tag": REPORTED,
    "POST mlflow/runs/delete-tag": REPORTED,
    "POST mlflow/runs/log-batch": REPORTED,
    "POST mlflow/runs/log-inputs": REPORTED,
    "POST mlflow/runs/log-model": REPORTED,
    "POST mlflow/runs/outputs": REPORTED,
    "POST mlflow/logged-models/{model}/params": REPORTED,
    "PATCH mlflow/logged-models/{model}/tags": REPORTED,
    "DELETE mlflow/logged-models/{model}/tags/{key:path}": REPORTED,
    "POST mlflow/artifacts/presigned-upload-url": "nothing changes",
    "POST mlflow/artifacts/presigned-download-url": "nothing changes",
    "POST mlflow-artifacts/mpu/create/{path:path}": "the file is not there yet",
    "PUT mlflow-artifacts/mpu/parts/{name}/{number}": "the file is not there yet",
    "POST mlflow-artifacts/mpu/abort/{path:path}": "the file was never there",
}
"""Routes that change something and record no event, with the reason."""
EVENTS = {
    "POST mlflow/experiments/create": "experiment.created",
    "POST mlflow/experiments/update": "experiment.renamed",
    "POST mlflow/experiments/delete": "experiment.deleted",
    "POST mlflow/experiments/restore": "experiment.restored",
    "POST mlflow/experiments/set-experiment-tag": "experiment.tagged",
    "POST mlflow/experiments/delete-experiment-tag": "experiment.untagged",
    "POST mlflow/runs/create": "run.reported",
    "POST mlflow/runs/update": "run.renamed",
    "POST mlflow/runs/delete": "run.deleted",
    "POST mlflow/runs/restore": "run.restored",
    "PUT mlflow-artifacts/artifacts/{path:path}": "file.replaced",
    "DELETE mlflow-artifacts/artifacts/{path:path}": "file.removed",
    "POST mlflow-artifacts/mpu/complete/{path:path}": "file.replaced",
    "POST mlflow/registered-models/create": "model.registered",
    "PATCH mlflow/registered-models/update": "model.described",
    "POST mlflow/registered-models/rename": "model.renamed",
    "DELETE mlflow/registered-models/delete": "model.unregistered",
    "POST mlflow/registered-models/set-tag": "model.tagged",
    "DELETE mlflow/registered-models/delete-tag": "model.untagged",
    "POST mlflow/registered-models/alias": "alias.moved",
    "DELETE mlflow/registered-models/alias": "alias.removed",
    "POST mlflow/model-versions/create": "model.added",
    "PATCH mlflow/model-versions/update": "version.described",
    "POST mlflow/model-versions/transition-stage": "version.staged",
    "DELETE mlflow/model-versions/delete": "model.removed",
    "POST mlflow/model-versions/set-tag": "version.tagged",
    "DELETE mlflow/model-versions/delete-tag": "version.untagged",
    "POST mlflow/logged-models": "logged-model.reported",
    "PATCH mlflow/logged-models/{model}": "logged-model.finished",
    "DELETE mlflow/logged-models/{model}": "logged-model.deleted",
}
"""What each of the others records: the tests below make each such change but for that of files in parts."""


class Story:
    """One change after the other, each with what it recorded."""

    def __init__(self, up: Up, database: SqliteDatabase) -> None:
        self._up, self._database = up, database
        self._seen = len(happened(database))  # what the server records of its own

    def ask(self, method: str, path: str, asked: Any) -> Any:
        """Ask for a change; what is answered."""
        place = API if not path.startswith("/") else ""
        body = asked if isinstance(asked, bytes) else json.dumps(asked)
        answered = self._up.ask(method, place + path, body, {"content-type": "application/json"})
        assert answered.status == 200, answered.body
        return json.loads(answered.body or b"null")

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """The verbs and details since the last time."""
        found = happened(self._database)
        new, self._seen = found[self._seen :], len(found)
        return [(event.verb, event.detail) for event in new]


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """A server, and a look at what it records."""
    root = write(tmp_path / "small", {"pyproject.toml": PYPROJECT})
    up = Up(root)
    database = SqliteDatabase(root / ".mlwright" / "metadata.db")
    yield Story(up, database)
    assert chain.verify(database).fault == ""
    database.close()
    up.close()


def change(before: object, after: object, **more: object) -> dict[str, object]:
    return {**more, "before": before, "after": after}


def test_every_route_that_changes_something_is_an_event_or_says_why_not() -> None:
    """Whoever adds a route says which event it records."""
    place = "/api/2.0/"
    changing = {
        f"{route.method} {route.path.removeprefix(place)}"
        for route in ROUTES
        if route.permission is not Permission.READ and route.path.startswith(place)
    }
    page = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text(encoding="utf-8")

    assert changing == {*EVENTS, *NO_EVENT}
    assert not {*EVENTS} & {*NO_EVENT}
    assert [verb for verb in EVENTS.values() if f"`{verb}`" not in page] == []


def test_experiments_and_runs(story: Story) -> None:
    """Made, renamed, tagged, ended, deleted and brought back: each is told once, the same again never."""
    made = story.ask("POST", "experiments/create", {"name": "e", "tags": [{"key": "k", "value": "v"}]})
    it = {"experiment_id": made["experiment_id"]}
    assert story.told() == [("experiment.created", {"name": "e", "tags": {"k": "v"}})]
    for _ in range(2):
        story.ask("POST", "experiments/update", {**it, "new_name": "f"})
        story.ask("POST", "experiments/set-experiment-tag", {**it, "key": "k", "value": "w"})
    story.ask("POST", "experiments/delete-experiment-tag", {**it, "key": "k"})
    assert story.told() == [
        ("experiment.renamed", change("e", "f")),
        ("experiment.tagged", change("v", "w", tag="k")),
        ("experiment.untagged", change("w", None, tag="k")),
    ]
    story.ask("POST", "experiments/delete", it)
    story.ask("POST", "experiments/restore", it)
    assert story.told() == [
        ("experiment.deleted", change("active", "deleted", name="f")),
        ("experiment.restored", change("deleted", "active", name="f")),
    ]
    run = story.ask("POST", "runs/create", {**it, "run_name": "one"})["run"]["info"]["run_id"]
    story.ask("POST", "runs/log-metric", {"run_id": run, "key": "loss", "value": 1.0, "timestamp": 1})
    story.ask("POST", "runs/set-tag", {"run_id": run, "key": "k", "value": "v"})
    for _ in range(2):
        story.ask("POST", "runs/update", {"run_id": run, "run_name": "two", "status": "FINISHED"})
    story.ask("POST", "runs/update", {"run_id": run, "status": "RUNNING"})
    for path in ("runs/delete", "runs/restore"):
        for _ in range(2):
            story.ask("POST", path, {"run_id": run})
    assert story.told() == [
        ("run.reported", {"experiment": int(it["experiment_id"]), "name": "one"}),
        ("run.renamed", change("one", "two")),
        ("run.succeeded", change("running", "succeeded")),
        ("run.started", change("succeeded", "running")),
        ("run.deleted", change("active", "deleted")),
        ("run.restored", change("deleted", "active")),
    ]


def test_models_and_their_files(story: Story) -> None:
    """Registered, described, tagged, staged, pointed at, and taken away; files replaced and removed."""
    run = story.ask("POST", "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    place = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/model/MLmodel"
    for data in (b"flavors: {}\n", b"flavors: {}\n", b"flavors: {python_function: {}}\n"):
        story.ask("PUT", place, data)
    verbs = [verb for verb, _ in story.told()]
    assert verbs == ["run.reported", "file.replaced"]
    story.ask("POST", "registered-models/create", {"name": "m", "description": "d"})
    for _ in range(2):
        story.ask("PATCH", "registered-models/update", {"name": "m", "description": "e"})
        story.ask("POST", "registered-models/set-tag", {"name": "m", "key": "k", "value": "v"})
        story.ask("DELETE", "registered-models/delete-tag", {"name": "m", "key": "gone"})
    story.ask("DELETE", "registered-models/delete-tag", {"name": "m", "key": "k"})
    assert story.told() == [
        ("model.registered", {"description": "d", "tags": {}}),
        ("model.described", change("d", "e")),
        ("model.tagged", change(None, "v", tag="k")),
        ("model.untagged", change("v", None, tag="k")),
    ]
    asked = {"name": "m", "source": f"mlflow-artifacts:/0/{run}/artifacts/model", "run_id": run}
    for _ in range(2):
        story.ask("POST", "model-versions/create", asked)
    added = story.told()
    assert [(verb, told["reference"]) for verb, told in added] == [
        ("model.added", "m@1"),
        ("model.added", "m@2"),
    ]
    digest = added[0][1]["digest"]
    one, two = {"name": "m", "version": "1"}, {"name": "m", "version": "2"}
    for _ in range(2):
        story.ask("PATCH", "model-versions/update", {**one, "description": "first"})
        story.ask("POST", "model-versions/set-tag", {**one, "key": "k", "value": "v"})
        story.ask("POST", "registered-models/alias", {**one, "alias": "best"})
    story.ask("DELETE", "model-versions/delete-tag", {**one, "key": "k"})
    story.ask("POST", "model-versions/transition-stage", {**one, "stage": "Staging"})
    archiving = {"stage": "Staging", "archive_existing_versions": True}
    story.ask("POST", "model-versions/transition-stage", {**two, **archiving})
    story.ask("POST", "registered-models/alias", {**two, "alias": "best"})
    story.ask("DELETE", "registered-models/alias", {"name": "m", "alias": "best"})
    assert story.told() == [
        ("version.described", change("", "first", reference="m@1")),
        ("version.tagged", change(None, "v", reference="m@1", tag="k")),
        ("alias.moved", change(None, "m@1", alias="m@best", reason="")),
        ("version.untagged", change("v", None, reference="m@1", tag="k")),
        ("version.staged", change("None", "Staging", reference="m@1")),
        ("version.staged", change("Staging", "Archived", reference="m@1")),
        ("version.staged", change("None", "Staging", reference="m@2")),
        ("alias.moved", change("m@1", "m@2", alias="m@best", reason="")),
        ("alias.removed", change("m@2", None, alias="m@best", reason="")),
    ]
    story.ask("DELETE", "model-versions/delete", two)
    story.ask("POST", "registered-models/rename", {"name": "m", "new_name": "n"})
    story.ask("DELETE", "registered-models/delete", {"name": "n"})
    story.ask("DELETE", place, {})
    was = {"digest": digest, "message": ""}
    last = story.told()
    assert last[:4] == [
        ("model.removed", change(was, None, reference="m@2", reason="")),
        ("model.renamed", change("m", "n")),
        ("model.removed", change(was, None, reference="n@1", reason="")),
        ("model.unregistered", change({"description": "e", "tags": {}}, None, reason="")),
    ]
    assert last[4][0] == "file.removed"
    logged = story.ask("POST", "logged-models", {"experiment_id": "0", "name": "net"})
    model = logged["model"]["info"]["model_id"]
    ready = {"model_id": model, "status": "LOGGED_MODEL_READY"}
    for _ in range(2):
        story.ask("PATCH", f"logged-models/{model}", ready)
    story.ask("DELETE", f"logged-models/{model}", {})
    assert story.told() == [
        ("logged-model.reported", {"experiment": 0, "run": None, "name": "net"}),
        ("logged-model.finished", change("pending", "ready")),
        ("logged-model.deleted", change("active", "deleted")),
    ]


def test_what_a_client_changes_has_the_actor_it_was_asked_by(tmp_path: Path) -> None:
    """The thread that writes records each change in the name of who asked, also when it is made again."""
    database = SqliteDatabase(tmp_path / "metadata.db")
    database.migrate(all_migrations())

    def tell(tx: Transaction) -> None:
        events.record(tx, "run.started", End("run", "1"))

    def fail(tx: Transaction) -> None:
        raise Conflict("not this one")

    async def ask() -> None:
        commits = Commits(database, asyncio.get_running_loop())

        async def as_one(name: str) -> None:
            with events.acting_as(name):
                await commits.write(tell)

        await asyncio.gather(
            *(as_one(f"person {n}") for n in range(20)), commits.write(fail), return_exceptions=True
        )
        await asyncio.to_thread(commits.close)

    asyncio.run(ask())

    assert [event.actor for event in happened(database)] == [f"person {n}" for n in range(20)]
    database.close()
