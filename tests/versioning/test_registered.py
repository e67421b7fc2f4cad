"""Registered models: names, versions that clients report, stages, tags and aliases, in our one registry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlwright.kernel import edges
from mlwright.kernel.database import Database
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.grammar import parse_filter
from mlwright.versioning import Models, parse_reference, search
from mlwright.versioning.filters import search_models, search_versions
from mlwright.versioning.references import is_reported_alias, is_reported_name
from mlwright.versioning.reported import Reported, ReportedVersion, ReportedVersions
from mlwright.workspace import Workspace
from tests.happened import happened
from tests.versioning.conftest import digest, made


@pytest.fixture
def database(workspace: Workspace) -> Iterator[Database]:
    yield workspace.database


@pytest.fixture
def versions(database: Database) -> ReportedVersions:
    return ReportedVersions(database)


def report(
    versions: ReportedVersions, database: Database, name: str, beginning: str = "a"
) -> ReportedVersion:
    """A version that a client registers, of a name that is there or is made."""
    with database.transaction() as tx:
        if not database.read("SELECT name FROM registered_model WHERE name = :name", name=name):
            versions.names.create(tx, name)
        told = Reported(
            source="runs:/r/m", tree=Digest(digest(beginning)), size_bytes=7, flavor="mlflow.sklearn"
        )
        return versions.add(tx, name, told)


def ours(database: Database, name: str, beginning: str = "b") -> None:
    """A version that is made here."""
    with database.transaction() as tx:
        Models(database).record(
            tx,
            name,
            made(tx, digest(beginning), "sklearn"),
            signature=None,
            signature_value=None,
            scores=None,
            metrics={},
            parameters={},
            run=None,
            message="ours",
            source={"name": "m.skops", "format": "sklearn"},
        )


def test_a_reported_version_is_one_of_the_registry(versions: ReportedVersions, database: Database) -> None:
    """It has the next number under its name beside ours, and is found by a reference."""
    ours(database, "diagnosis")
    reported = report(versions, database, "diagnosis")

    models = Models(database)

    assert reported.number == 2 and reported.stage == "None"
    assert [each.number for each in models.versions.named("diagnosis")] == [2, 1]
    detail = models.detail("diagnosis@2")
    assert (detail.artifact.type, detail.artifact.ours, detail.signature) == ("mlflow.sklearn", False, None)
    assert models.versions.aliases("diagnosis")["champion"].number == 1


def test_a_version_made_here_is_one_that_clients_know(versions: ReportedVersions, database: Database) -> None:
    """A name is registered with its first version; what nobody said of that, it says itself."""
    ours(database, "diagnosis")

    known = versions.get(database, "diagnosis", 1)

    assert versions.names.get(database, "diagnosis").aliases == {"champion": 1}
    assert (known.description, known.stage, known.source, known.aliases) == (
        "ours",
        "None",
        "",
        ("champion",),
    )


def test_an_alias_that_a_client_moves_keeps_its_history(
    versions: ReportedVersions, database: Database
) -> None:
    """Moves and removals of clients are in the history and among the events; the same again is none."""
    for beginning in "ab":
        report(versions, database, "m", beginning)
    with database.transaction() as tx:
        versions.set_alias(tx, "m", "best", 1)
        versions.set_alias(tx, "m", "best", 2)
        versions.set_alias(tx, "m", "best", 2)
        versions.remove_alias(tx, "m", "best")
        versions.remove_alias(tx, "m", "best")

    moves = Models(database).versions.alias_moves("m")

    assert [(each.from_number, each.to_number) for each in moves] == [(2, None), (1, 2), (None, 1)]
    verbs = [event.verb for event in happened(database)]
    assert verbs.count("alias.moved") == 2 and verbs.count("alias.removed") == 1


def test_stages_move_and_archive(versions: ReportedVersions, database: Database) -> None:
    """A version enters a stage; those that were in it are archived when that is asked for."""
    for beginning in "abc":
        report(versions, database, "m", beginning)
    with database.transaction() as tx:
        versions.move(tx, "m", 1, "production")
        versions.move(tx, "m", 2, "Production")
        versions.move(tx, "m", 3, "PRODUCTION", archive=True)
        with pytest.raises(Invalid, match="not for Archived"):
            versions.move(tx, "m", 1, "archived", archive=True)
        with pytest.raises(Invalid, match="Invalid Model Version stage: best"):
            versions.move(tx, "m", 1, "best")

    stages = {number: versions.get(database, "m", number).stage for number in (1, 2, 3)}

    assert stages == {1: "Archived", 2: "Archived", 3: "Production"}
    assert [each.number for each in versions.latest(database, "m")] == [2, 3]
    assert [each.number for each in versions.latest(database, "m", ["archived"])] == [2]


def test_a_rename_takes_everything_with_it(versions: ReportedVersions, database: Database) -> None:
    """Versions, aliases, their history, tags and removed numbers go with the name."""
    for beginning in "ab":
        report(versions, database, "old", beginning)
    with database.transaction() as tx:
        versions.set_alias(tx, "old", "best", 2)
        versions.names.set_tag(tx, "old", "team", "a")
        versions.remove(tx, "old", 1)
        versions.names.rename(tx, "old", "new name")

    models = Models(database).versions

    assert models.resolve("new name@best").number == 2
    assert versions.names.get(database, "new name").tags == {"team": "a"}
    assert report(versions, database, "new name", "c").number == 3
    with pytest.raises(NotFound):
        versions.names.get(database, "old")
    with pytest.raises(NotFound, match="was removed"):
        models.resolve("new name@1")


def test_what_was_made_here_keeps_its_name(versions: ReportedVersions, database: Database) -> None:
    """A name that stands in the records of runs is not taken away; nor is one given that was used before."""
    ours(database, "diagnosis")
    report(versions, database, "used")
    report(versions, database, "other", "c")

    with database.transaction() as tx:
        with pytest.raises(Conflict, match="diagnosis@1 was made here"):
            versions.names.rename(tx, "diagnosis", "prognosis")
        versions.names.delete(tx, "used")
        with pytest.raises(Conflict, match="not given again"):
            versions.names.rename(tx, "other", "used")
        with pytest.raises(Conflict, match="registered already"):
            versions.names.rename(tx, "other", "diagnosis")

    assert versions.get(database, "diagnosis", 1).number == 1


def test_a_version_that_something_needs_is_not_deleted(
    versions: ReportedVersions, database: Database
) -> None:
    """An alias goes with the version; a run that compared with it, or a deployment of it, keeps it."""
    needed = report(versions, database, "m")
    free = report(versions, database, "m", "b")
    with database.transaction() as tx:
        edges.add(tx, [Edge(End("deployment", "D1"), "serves", needed.end)])
        versions.set_alias(tx, "m", "best", free.number)

    with pytest.raises(Conflict, match="m@1 is in use: deployment D1"), database.transaction() as tx:
        versions.remove(tx, "m", 1)
    with pytest.raises(Conflict), database.transaction() as tx:
        versions.names.delete(tx, "m")
    with database.transaction() as tx:
        versions.remove(tx, "m", 2)

    assert [each.number for each in Models(database).versions.named("m")] == [1]
    assert versions.names.get(database, "m").aliases == {}
    assert database.read("SELECT count(*) AS artifacts FROM artifact")[0]["artifacts"] == 1


def test_a_name_that_is_deleted_is_found_no_more(versions: ReportedVersions, database: Database) -> None:
    """All its versions, aliases and words go; another name, and a dataset of the same, keep theirs."""
    for name in ("gone", "gone", "kept"):
        ours(database, name)
    report(versions, database, "gone")
    with database.transaction() as tx:
        versions.set_alias(tx, "gone", "best", 2)
        search.add(tx, "a-dataset", "dataset", "gone", "", {})

    with database.transaction() as tx:
        versions.names.delete(tx, "gone")

    assert database.read("SELECT alias FROM alias WHERE name = 'gone'") == []
    assert Models(database).versions.named("gone") == []
    assert search.find(database, "model", "gone", 5) == []
    assert len(search.find(database, "model", "kept", 5)) == 1
    assert len(search.find(database, "dataset", "gone", 5)) == 1


def test_a_copy_has_the_same_bytes_under_another_name(versions: ReportedVersions, database: Database) -> None:
    """Both versions are of one artifact, and each can be deleted without the other."""
    first = report(versions, database, "m")
    with database.transaction() as tx:
        versions.names.create(tx, "copy")
        copied = versions.add(
            tx, "copy", Reported(source="models:/m/1", copy_of=first.id, about={"metrics": {}})
        )
        versions.remove(tx, "m", 1)

    assert (copied.digest, copied.size_bytes) == (first.digest, 7)
    assert Models(database).versions.resolve("copy@1").artifact_id == first.artifact_id


def test_a_copy_of_what_was_deleted_meanwhile_is_refused(
    versions: ReportedVersions, database: Database
) -> None:
    """Between reading a version and copying it, it may go: it is not found then."""
    first = report(versions, database, "m")
    with database.transaction() as tx:
        versions.names.create(tx, "copy")
        versions.remove(tx, "m", 1)

    with pytest.raises(NotFound), database.transaction() as tx:
        versions.add(tx, "copy", Reported(source="models:/m/1", copy_of=first.id, about={"metrics": {}}))


def test_searches_know_names_tags_and_numbers(versions: ReportedVersions, database: Database) -> None:
    """Filters and orders of clients find names and versions, ours too, with what was said of them."""
    ours(database, "alpha")
    for beginning in "ab":
        report(versions, database, "beta", beginning)
    with database.transaction() as tx:
        versions.names.set_tag(tx, "beta", "team", "a")
        versions.set_tag(tx, "beta", 2, "good", "yes")

    def names(text: str, *order: str) -> list[str]:
        return search_models(database, parse_filter(text), order, limit=9, token="").found

    def numbers(text: str, *order: str) -> list[str]:
        page = search_versions(database, parse_filter(text), order, limit=9, token="")
        found = [versions.by_id(database, each) for each in page.found]
        return [f"{each.name}@{each.number}" for each in found]

    assert names("") == ["alpha", "beta"] and names("", "name DESC") == ["beta", "alpha"]
    assert names("tags.team = 'a'") == ["beta"] and names("name ILIKE 'AL%'") == ["alpha"]
    assert numbers("version_number >= 1", "name", "version_number DESC") == ["alpha@1", "beta@2", "beta@1"]
    assert numbers("tags.good = 'yes'") == ["beta@2"]
    assert numbers("name = 'beta'", "tags.good") == ["beta@2", "beta@1"]
    assert numbers("source_path = 'runs:/r/m'", "version_number") == ["beta@1", "beta@2"]
    with pytest.raises(Invalid):
        names("colour = 'a'")


@pytest.mark.parametrize("name", ["churn (weekly)", "1st", "한글", "a.b-c_d", "x" * 256, "naïve"])
def test_a_name_of_a_client_can_be_referred_to(name: str) -> None:
    """What a client may call a model, a reference can say with a number or an alias."""
    assert is_reported_name(name)
    assert parse_reference(f"{name}@3", "model").number == 3
    assert parse_reference(f"{name}@best_1", "model").alias == "best_1"
    assert parse_reference(f"{name}@-a", "model").alias == "-a"


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a/b", "a:b", "a@b", ".", "..", "-a", "a\tb", "\ud800", "x" * 257]
)
def test_a_name_that_reads_as_something_else_is_none(name: str) -> None:
    """Nothing that a path, a reference, an option or a terminal takes for something else."""
    assert not is_reported_name(name)


@pytest.mark.parametrize("alias", ["", "7", "a b", "a.b", "a@b", "x" * 256])
def test_an_alias_that_reads_as_something_else_is_none(alias: str) -> None:
    """A number is that of a version."""
    assert not is_reported_alias(alias)


def test_names_given_here_stay_strict() -> None:
    """Datasets, and models that are named here, have names that every system takes."""
    with pytest.raises(Invalid):
        parse_reference("my data@3", "dataset")
