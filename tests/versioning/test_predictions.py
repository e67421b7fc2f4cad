"""Recorded predictions: brought in once, found by id, listed by model, and taken away."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.ids import VersionId
from mlwright.versioning import Models
from mlwright.versioning.predictions import PredictionRecord, Predictions
from mlwright.workspace import Workspace
from tests.conftest import mlwright
from tests.happened import happened
from tests.versioning.conftest import counted, digest, made

DAY_US = 86_400_000_000


def record(version: str, number: int, model: str = "lines@1") -> PredictionRecord:
    """The answer to the request with a number, so many seconds after 1970."""
    identity = f"{version}-{number:012d}"
    return PredictionRecord(identity, model, number * 1_000_000, 500, 1, 2.0, {"age": [number]})


@pytest.fixture
def versions(workspace: Workspace) -> list[VersionId]:
    """Two versions of the model `lines`, and one of `words`."""
    models = Models(workspace.database)
    with workspace.database.transaction() as tx:
        return [
            models.versions.add(tx, name, made(tx, digest(beginning)).id, message="", about={}).id
            for name, beginning in (("lines", "aa"), ("lines", "bb"), ("words", "cc"))
        ]


@pytest.fixture
def predictions(workspace: Workspace) -> Predictions:
    return Predictions(workspace.database, workspace.objects, Models(workspace.database).versions)


def test_the_same_records_twice_are_kept_once(predictions: Predictions, versions: list[VersionId]) -> None:
    """Whoever brings a file in again, since it died before it could remove it, changes nothing."""
    records = [record(versions[0], 1), record(versions[2], 2)]

    first, second = predictions.add(records), predictions.add(records)

    assert (first, second) == (2, 0)
    assert [each.id for each in predictions.page(limit=10).found] == [records[1].id, records[0].id]


def test_records_of_a_version_that_is_not_there_are_left_out(
    predictions: Predictions, versions: list[VersionId]
) -> None:
    """The others of the same file are kept."""
    gone = "01JD8" + "0" * 21

    assert predictions.add([record(gone, 1), record(versions[0], 2)]) == 1
    assert len(predictions.page(limit=10).found) == 1


def test_pages_tell_each_record_once(predictions: Predictions, versions: list[VersionId]) -> None:
    """The newest first, over the borders of batches, of one model or of one version."""
    for begin in range(0, 30, 10):
        predictions.add([record(versions[0], number) for number in range(begin, begin + 10)])
    predictions.add([record(versions[1], 99, "lines@2")])
    predictions.add([record(versions[2], 50, "words@1")])

    told, token = [], ""
    while True:
        page = predictions.page("lines", limit=7, token=token)
        told += [each.at_us // 1_000_000 for each in page.found]
        token = page.token
        if not token:
            break

    assert told == [99, *range(29, -1, -1)]
    assert [each.model for each in predictions.page("lines@2", limit=7).found] == ["lines@2"]
    with pytest.raises(Invalid, match="the page token does not belong to this search"):
        predictions.page("words", limit=7, token=predictions.page("lines", limit=7).token)


def test_one_is_found_by_its_id(predictions: Predictions, versions: list[VersionId]) -> None:
    """With all that was kept; one that is not in the sample is told from one of nobody."""
    kept = record(versions[0], 7)
    predictions.add([kept])

    found = predictions.find(kept.id)

    assert found == kept
    with pytest.raises(NotFound, match=r"nothing is recorded of the prediction .* which lines@1 gave"):
        predictions.find(f"{versions[0]}-000000000008")
    with pytest.raises(NotFound):
        predictions.find("nonsense")


def test_old_ones_go_by_age_and_by_model(
    workspace: Workspace, predictions: Predictions, versions: list[VersionId]
) -> None:
    """A batch goes with its edges when its last record is old enough; the event says what went."""
    predictions.add([record(versions[0], 1)])
    predictions.add([record(versions[0], 10 * 86_400)])
    predictions.add([record(versions[2], 2, "words@1")])

    plan = predictions.plan_removal("lines", before="1970-01-05")
    done = predictions.remove("lines", before="1970-01-05")

    assert plan == done
    assert plan.changes[0].subject == "1 recorded prediction"
    assert [each.at_us for each in predictions.page(limit=9).found] == [10 * DAY_US, 2_000_000]
    edges = workspace.database.read("SELECT count(*) AS n FROM edge WHERE from_kind = 'prediction_batch'")
    assert edges[0]["n"] == 4
    assert [event.verb for event in happened(workspace.database)][-1] == "prediction.removed"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a model that has answered."""
    with counted(tmp_path_factory.mktemp("predictions")) as opened:
        version = opened.models.versions.resolve("lines")
        opened.predictions.add([record(version.id, number) for number in (1, 2)])
        yield opened


def test_the_door_lists_and_shows(project: Project) -> None:
    """`predictions list` names them, the newest first; `show` tells the values that were kept."""
    listed = mlwright("predictions", "list", "--model", "lines", "--json", cwd=project.root)
    newest = json.loads(listed.stdout)[0]

    shown = mlwright("predictions", "show", newest["id"], cwd=project.root)

    assert newest["model"] == "lines@1"
    assert newest["weight"] == 2.0
    assert newest["id"] in shown.stdout
    assert "age  2" in shown.stdout


def test_a_version_that_has_answered_stays_until_its_records_go(project: Project) -> None:
    """They would say nothing without it; the message names the command that takes them away."""
    refused = mlwright("models", "rm", "lines@1", cwd=project.root)
    planned = mlwright("predictions", "rm", "--before", "1d", "--dry-run", cwd=project.root)
    done = mlwright("predictions", "rm", "--before", "1d", cwd=project.root)

    assert refused.returncode == 4
    assert "its recorded predictions (mlwright predictions rm)" in refused.stderr
    assert "2 recorded predictions" in planned.stdout
    assert done.returncode == 0
    assert project.predictions.page(limit=9).found == []
    assert project.verify().faults == ()
