"""Versions and aliases: what a reference means, what the messages name, and that moves keep their history."""

from __future__ import annotations

import re

import pytest

from mlwright.kernel.clock import now_us
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.events import actor
from mlwright.kernel.plan import Change, Plan
from mlwright.versioning import Datasets, Models, Version
from mlwright.workspace import Workspace
from tests.happened import happened
from tests.versioning.conftest import digest, made


@pytest.fixture
def patients(workspace: Workspace, datasets: Datasets) -> list[Version]:
    """Three versions of `patients`; the digests of the first two begin alike."""
    versions = []
    with workspace.database.transaction() as tx:
        for beginning in ("ab12", "ab13", "cd00"):
            artifact = made(tx, digest(beginning))
            versions.append(
                datasets.versions.add(tx, "patients", artifact.id, message=beginning, about={"rows": 2})
            )
    return versions


def test_every_form_of_reference_finds_its_version(datasets: Datasets, patients: list[Version]) -> None:
    """A number, an alias, a unique beginning of a digest, `latest` and the bare name each find a version."""
    datasets.versions.set_alias("patients@1", "trusted")

    found = {
        text: datasets.versions.resolve(text).number
        for text in [
            "patients",
            "patients@latest",
            "patients@2",
            "patients@trusted",
            "patients@b3:ab12",
            f"patients@b3:{patients[2].digest}",
        ]
    }

    assert list(found.values()) == [3, 3, 2, 1, 1, 3]


def test_a_digest_that_fits_two_versions_is_refused(
    datasets: Datasets, patients: list[Version], workspace: Workspace
) -> None:
    """The beginning of a digest that fits different bytes asks for more of it."""
    with workspace.database.transaction() as tx:
        twin = made(tx, digest("ab1234"))
        datasets.versions.add(tx, "patients", twin.id, message="", about={})

    with pytest.raises(Invalid, match="patients@b3:ab12 fits several versions") as refusal:
        datasets.versions.resolve("patients@b3:ab12")

    assert refusal.value.hint == "type more of the digest"
    assert datasets.versions.resolve("patients@b3:ab1234").number == 4


def test_the_same_bytes_twice_are_no_ambiguity(
    datasets: Datasets, patients: list[Version], workspace: Workspace
) -> None:
    """A digest that two versions share means the newer of them."""
    with workspace.database.transaction() as tx:
        datasets.versions.add(tx, "patients", patients[0].artifact_id, message="", about={})

    found = datasets.versions.resolve("patients@b3:ab12")

    assert found.number == 4


def test_an_unknown_name_is_answered_with_the_nearest(datasets: Datasets, patients: list[Version]) -> None:
    """A misspelt name is answered with the name that is near, and another with all that are known."""
    with pytest.raises(NotFound, match="there is no dataset `patient`") as near:
        datasets.versions.resolve("patient@2")
    with pytest.raises(NotFound, match="there is no dataset `scans`") as far:
        datasets.versions.resolve("scans")

    assert near.value.hint == "did you mean `patients`?"
    assert far.value.hint == "known: patients"


def test_the_first_name_is_answered_with_the_way_to_make_it(datasets: Datasets, models: Models) -> None:
    """Where there is no version at all, the hint says how one is made."""
    with pytest.raises(NotFound) as data:
        datasets.versions.resolve("patients")
    with pytest.raises(NotFound) as model:
        models.versions.resolve("diagnosis@champion")

    assert data.value.hint == "make it: mlwright datasets add PATH --name patients"
    assert "mlwright run" in str(model.value.hint)


@pytest.mark.parametrize("selector", ["0", "4", "99999999999999999", "champion", "b3:ffff"])
def test_an_unknown_version_is_answered_with_those_there_are(
    selector: str, datasets: Datasets, patients: list[Version]
) -> None:
    """A selector that means nothing is named, and the hint lists versions and aliases."""
    datasets.versions.set_alias("patients@1", "trusted")

    with pytest.raises(NotFound, match=re.escape(f"has no version `{selector}`")) as refusal:
        datasets.versions.resolve(f"patients@{selector}")

    assert refusal.value.hint == "it has @3, @2, @1, @trusted"


def test_datasets_and_models_do_not_mix(
    datasets: Datasets, models: Models, patients: list[Version], workspace: Workspace
) -> None:
    """A model may bear the name of a dataset: numbers and aliases of the two are apart."""
    with workspace.database.transaction() as tx:
        artifact = made(tx, digest("ee"))
        model = models.versions.add(tx, "patients", artifact.id, message="", about={})
    datasets.versions.set_alias("patients@2", "best")

    aliases = models.versions.aliases("patients")

    assert (model.number, aliases) == (1, {})
    assert datasets.versions.resolve("patients").number == 3


def test_a_move_keeps_who_when_from_to_and_why(
    datasets: Datasets, patients: list[Version], workspace: Workspace
) -> None:
    """Each move of an alias is kept with who, when, from, to and why, newest first, and is an event."""
    began = now_us()
    datasets.versions.set_alias("patients@1", "trusted", reason="checked by hand")

    datasets.versions.set_alias("patients@3", "trusted", reason="more rows")

    newest, oldest = datasets.versions.alias_moves("patients")
    assert (oldest.alias, oldest.from_number, oldest.to_number) == ("trusted", None, 1)
    assert (newest.from_number, newest.to_number, newest.reason) == (1, 3, "more rows")
    assert newest.actor == actor()
    assert began <= oldest.at_us <= newest.at_us <= now_us()
    event = happened(workspace.database)[-1]
    assert (event.verb, event.subject) == ("alias.moved", patients[2].end)
    assert event.detail == {
        "alias": "patients@trusted",
        "before": "patients@1",
        "after": "patients@3",
        "reason": "more rows",
    }


def test_an_alias_that_is_there_already_does_not_move(datasets: Datasets, patients: list[Version]) -> None:
    """Pointing an alias where it points changes nothing and leaves no move."""
    datasets.versions.set_alias("patients@2", "trusted")

    again = datasets.versions.set_alias("patients@b3:ab13", "trusted", reason="again")

    assert again == Plan("alias", (Change("keep", "patients@trusted", "is patients@2 already"),))
    assert len(datasets.versions.alias_moves("patients")) == 1


def test_a_planned_move_moves_nothing(datasets: Datasets, patients: list[Version]) -> None:
    """The plan says from where to where, and neither alias nor history changes."""
    datasets.versions.set_alias("patients@1", "trusted")

    plan = datasets.versions.plan_alias("patients", "trusted")

    assert plan == Plan("alias", (Change("move", "patients@trusted", "patients@1 -> patients@3"),))
    assert datasets.versions.aliases("patients") == {"trusted": patients[0]}
    assert len(datasets.versions.alias_moves("patients")) == 1


@pytest.mark.parametrize("alias", ["latest", "", "3", "b3:ab12", "a@b", "a b", "-x", "x" * 129])
def test_what_cannot_be_an_alias_is_refused(alias: str, datasets: Datasets, patients: list[Version]) -> None:
    """`latest` is never set, and neither is what would be read as a number, a digest or no reference."""
    with pytest.raises(Invalid):
        datasets.versions.set_alias("patients@1", alias)

    assert datasets.versions.aliases("patients") == {}


def test_the_longest_alias_can_be_referenced(datasets: Datasets, patients: list[Version]) -> None:
    """Every alias that can be set is found again by reference."""
    alias = "x" * 128

    datasets.versions.set_alias("patients@2", alias)

    assert datasets.versions.resolve(f"patients@{alias}") == patients[1]


def test_the_newest_of_each_name_is_listed(
    datasets: Datasets, workspace: Workspace, patients: list[Version]
) -> None:
    """The list holds one version of each name, the newest, by name."""
    with workspace.database.transaction() as tx:
        artifact = made(tx, digest("aa"))
        scan = datasets.versions.add(tx, "Scans", artifact.id, message="", about={})

    newest = datasets.versions.newest()

    assert newest == [scan, patients[2]]


def test_the_tenth_version_is_newer_than_the_ninth(datasets: Datasets, workspace: Workspace) -> None:
    """Versions are ordered as numbers, not as text."""
    with workspace.database.transaction() as tx:
        artifact = made(tx, digest("aa"))
        for _ in range(11):
            datasets.versions.add(tx, "many", artifact.id, message="", about={})

    found = datasets.versions.resolve("many")

    assert found.number == 11
    assert [version.number for version in datasets.versions.named("many")] == list(range(11, 0, -1))
