"""Removal: what something refers to stays, what goes leaves its number and who, when and why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.events import actor
from mlwright.kernel.ids import new_id
from mlwright.kernel.plan import Change, Plan
from mlwright.versioning import Datasets, Version
from mlwright.workspace import Workspace
from tests.conftest import mlwright
from tests.happened import happened
from tests.versioning.conftest import counted, digest, made


@pytest.fixture
def patients(workspace: Workspace, datasets: Datasets) -> list[Version]:
    """Three versions of `patients`."""
    with workspace.database.transaction() as tx:
        return [
            datasets.versions.add(
                tx, "patients", made(tx, digest(beginning), "tree").id, message=beginning, about={}
            )
            for beginning in ("aa", "bb", "cc")
        ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a dataset, a run that read it, and a model that came of it."""
    with counted(tmp_path_factory.mktemp("removal")) as opened:
        yield opened


def rows(workspace: Workspace) -> dict[str, int]:
    """How many rows each table has."""
    tables = ("version", "artifact", "edge", "alias", "removed", "search", "event")
    return {name: workspace.database.read(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in tables}


def test_what_nothing_refers_to_goes_with_its_edges(
    workspace: Workspace, datasets: Datasets, patients: list[Version]
) -> None:
    """Version, artifact, edges and words are gone in one transaction, which records the event."""
    plan = datasets.remove("patients@2", reason="wrong units")

    assert plan == Plan(
        "remove datasets", (Change("remove", "patients@2", "2 bytes; its number stays taken"),)
    )
    assert [version.number for version in datasets.versions.named("patients")] == [3, 1]
    assert edges.made_from(workspace.database, patients[1].end) == []
    assert edges.made_into(workspace.database, End("tree", digest("bb"))) == []
    assert [found.version.number for found in datasets.search("bb", limit=9)] == []
    event = happened(workspace.database)[-1]
    assert (event.verb, event.subject) == ("dataset.removed", patients[1].end)
    assert event.detail == {
        "reference": "patients@2",
        "before": {"digest": patients[1].digest, "message": patients[1].message},
        "after": None,
        "reason": "wrong units",
    }


def test_afterwards_it_is_said_what_became_of_it(datasets: Datasets, patients: list[Version]) -> None:
    """`NAME@V` says when it was removed, by whom and why; when all are gone, the name does."""
    datasets.remove("patients@3", reason="wrong units")

    with pytest.raises(NotFound) as one:
        datasets.versions.resolve("patients@3")
    datasets.remove("patients", every=True)
    with pytest.raises(NotFound) as name:
        datasets.versions.resolve("patients")

    assert re.fullmatch(
        rf"patients@3 was removed 2\d\d\d-\d\d-\d\d .* by {re.escape(actor())}: wrong units",
        one.value.message,
    )
    assert name.value.message.startswith("no version of dataset `patients` is left: patients@3 was removed")


def test_all_of_a_name_go_and_none_of_another(
    workspace: Workspace, datasets: Datasets, patients: list[Version]
) -> None:
    """Every version under a name is gone with its words; one of another name is found as before."""
    with workspace.database.transaction() as tx:
        other = datasets.versions.add(
            tx, "patients_old", made(tx, digest("dd"), "tree").id, message="aa", about={}
        )

    datasets.remove("patients", every=True)

    left = rows(workspace)
    assert {name: left[name] for name in ("version", "artifact", "removed", "search")} == {
        "version": 1,
        "artifact": 1,
        "removed": len(patients),
        "search": 1,
    }
    assert [found.version for found in datasets.search("aa", limit=9)] == [other]


def test_a_number_is_never_given_again(
    workspace: Workspace, datasets: Datasets, patients: list[Version], table: Path
) -> None:
    """The next version counts on, also when none is left; nobody can ask for a number that is gone."""
    datasets.remove("patients", every=True)

    planned = datasets.plan_add(table, "patients")
    version, _ = datasets.add(table, "patients")

    assert planned.changes[0].subject == version.reference == "patients@4"
    refused = pytest.raises(Conflict, match="its number is not given again")
    with refused, workspace.database.transaction() as tx:
        artifact = made(tx, digest("dd"))
        datasets.versions.add(tx, "patients", artifact.id, message="", about={}, number=2)


def test_an_alias_keeps_its_version(datasets: Datasets, patients: list[Version]) -> None:
    """It is named, with the way to take it away; then the version can go; the history keeps numbers."""
    datasets.alias("patients@1", "golden", reason="checked")

    with pytest.raises(Conflict) as refused:
        datasets.remove("patients@1")
    datasets.remove_alias("patients", "golden", reason="no more")
    datasets.remove("patients@1")

    assert refused.value.message == "patients@1 is in use: the alias patients@golden"
    assert refused.value.hint == "mlwright datasets alias patients golden --delete"
    moves = datasets.versions.alias_moves("patients")
    assert [(move.from_number, move.to_number, move.reason) for move in moves] == [
        (1, None, "no more"),
        (None, 1, "checked"),
    ]


def test_many_referrers_are_counted(
    workspace: Workspace, datasets: Datasets, patients: list[Version]
) -> None:
    """Ten are named, then how many more there are; a run and its attempts are one."""
    runs = [new_id() for _ in range(15)]
    with workspace.database.transaction() as tx:
        for run in runs:
            attempt = End("attempt", new_id())
            edges.add(tx, [Edge(End("run", run), "data:patients", patients[0].end)])
            edges.add(tx, [Edge(attempt, "of", End("run", run)), Edge(attempt, "input:a", patients[0].end)])

    with pytest.raises(Conflict) as refused:
        datasets.remove("patients@1")

    assert refused.value.message.count("run ") == 10
    assert refused.value.message.endswith(" and 5 more")


def test_one_that_is_in_use_keeps_all_that_were_named(
    workspace: Workspace, datasets: Datasets, patients: list[Version]
) -> None:
    """Of several versions all go or none."""
    datasets.alias("patients@2", "golden")
    before = rows(workspace)

    for ask in (
        lambda: datasets.remove("patients@1", "patients@2"),
        lambda: datasets.remove("patients", every=True),
    ):
        with pytest.raises(Conflict, match="patients@2 is in use"):
            ask()

    assert rows(workspace) == before


def test_a_plan_removes_nothing(workspace: Workspace, datasets: Datasets, patients: list[Version]) -> None:
    """It says what would go; the same version named twice goes once."""
    before = rows(workspace)

    plan = datasets.plan_remove("patients@1", "patients@b3:aa00", "patients@3")

    assert [change.subject for change in plan.changes] == ["patients@1", "patients@3"]
    assert rows(workspace) == before


def test_a_name_alone_is_not_enough(datasets: Datasets, patients: list[Version]) -> None:
    """Without --all a version is to be named, with it none; an unknown name is not found."""
    with pytest.raises(Invalid) as bare:
        datasets.remove("patients")
    with pytest.raises(Invalid, match="names one version"):
        datasets.remove("patients@1", every=True)
    with pytest.raises(NotFound):
        datasets.remove("patient@1")
    with pytest.raises(NotFound):
        datasets.remove("patients@7")

    assert bare.value.hint == "name one: patients@3; or remove all of them: patients --all"


def test_bytes_that_another_version_has_stay_its(
    workspace: Workspace, datasets: Datasets, patients: list[Version]
) -> None:
    """An artifact that another version names is not taken away."""
    with workspace.database.transaction() as tx:
        twin = datasets.versions.add(tx, "twins", patients[0].artifact_id, message="", about={})

    datasets.remove("patients@1")

    assert datasets.versions.resolve("twins") == twin
    assert len(edges.made_into(workspace.database, End("tree", digest("aa")))) == 1


def test_the_door_names_the_run_and_the_model(project: Project) -> None:
    """`datasets rm` of what a run used ends with exit code 4, names run and model, and removes nothing."""
    run = project.runs.get("latest").id[:10]

    refused = mlwright("datasets", "rm", "patients@1", cwd=project.root)
    planned = mlwright("datasets", "rm", "patients@1", "--dry-run", cwd=project.root)

    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr == (
        f"error: patients@1 is in use: model lines@1, run {run}\n"
        "hint: what a run used stays, so that it can be explained: mlwright lineage patients@1 --down\n"
    )
    assert planned.stderr == refused.stderr
    assert mlwright("datasets", "show", "patients@1", cwd=project.root).returncode == 0


def test_the_door_removes_and_says_so_ever_after(project: Project) -> None:
    """`datasets rm` prints its plan, with --dry-run first; lists, events and `show` know."""
    (project.root / "notes.txt").write_text("a")
    mlwright("datasets", "add", "notes.txt", "--name", "notes", cwd=project.root)

    planned = mlwright("datasets", "rm", "notes@1", "--dry-run", cwd=project.root)
    done = mlwright("datasets", "rm", "notes@1", "-m", "a draft", cwd=project.root)
    shown = mlwright("datasets", "show", "notes@1", cwd=project.root)
    events = mlwright("events", cwd=project.root)

    assert planned.stdout == "plan: remove datasets\n  remove  notes@1  1 byte; its number stays taken\n"
    assert done.stdout == planned.stdout.removeprefix("plan: ")
    assert shown.returncode == 3
    assert "notes@1 was removed" in shown.stderr and "a draft" in shown.stderr
    assert "dataset.removed" in events.stdout and "dataset notes@1 (removed)" in events.stdout
    listed = json.loads(mlwright("datasets", "list", "--json", cwd=project.root).stdout)
    assert [each["version"]["name"] for each in listed] == ["patients"]


def test_an_alias_is_taken_away_at_the_door_of_either_kind(project: Project) -> None:
    """`--delete` plans, deletes, and says what is not there."""
    mlwright("models", "alias", "lines@1", "stable", cwd=project.root)

    planned = mlwright("models", "alias", "lines", "stable", "--delete", "--dry-run", cwd=project.root)
    done = mlwright("models", "alias", "lines", "stable", "--delete", "-m", "over", cwd=project.root)
    again = mlwright("models", "alias", "lines", "stable", "--delete", cwd=project.root)

    assert planned.stdout == "plan: alias\n  remove  lines@stable  is lines@1 now\n"
    assert done.stdout == planned.stdout.removeprefix("plan: ")
    assert (again.returncode, again.stderr) == (
        3,
        "error: model `lines` has no alias `stable`\nhint: known: champion\n",
    )
    assert project.models.versions.alias_moves("lines")[0].to_number is None
