"""Experiments: names under which runs stand together; a deleted one can be restored."""

from __future__ import annotations

import pytest

from mlwright.kernel.database import Database
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.tracking import Experiment, Experiments, Reports, Runs
from tests.tracking.conftest import begin


@pytest.fixture
def experiments(database: Database) -> Experiments:
    """The experiments of an empty database."""
    return Experiments()


def made(database: Database, name: str, **tags: str) -> Experiment:
    """A new experiment."""
    with database.transaction() as tx:
        return Experiments().create(tx, name, tags)


def test_one_is_there_from_the_beginning(database: Database, experiments: Experiments) -> None:
    """Runs whose client names no experiment have one to go to, whose id is 0."""
    assert experiments.get(database, 0).name == "Default"
    assert experiments.named(database, "Default").id == 0


def test_it_is_found_by_id_and_by_name(database: Database, experiments: Experiments) -> None:
    """With its tags; any text can be a name."""
    wanted = made(database, "größe ':% 실험 \U0001f600", owner="me", empty="")

    assert experiments.get(database, wanted.id) == experiments.named(database, wanted.name) == wanted
    assert wanted.tags == {"owner": "me", "empty": ""}
    assert wanted.deleted_us is None
    assert wanted.id > 0


@pytest.mark.parametrize("identity", [7, -1, 2**63, -(2**70)])
def test_one_that_is_not_there_is_not_found(
    identity: int, database: Database, experiments: Experiments
) -> None:
    """Whatever the number or the name."""
    with pytest.raises(NotFound, match=f"there is no experiment {identity}"):
        experiments.get(database, identity)
    with pytest.raises(NotFound, match="there is no experiment 'none'"):
        experiments.named(database, "none")


def test_a_name_is_taken_once(database: Database, experiments: Experiments) -> None:
    """By one that is deleted too, of which the message says so."""
    first, second = made(database, "a"), made(database, "b")
    with pytest.raises(Conflict, match="there is an experiment 'a' already"):
        made(database, "a")
    with database.transaction() as tx:
        experiments.delete(tx, first.id)

    with pytest.raises(Conflict, match="there is a deleted experiment 'a' already") as refusal:
        made(database, "a")
    with pytest.raises(Conflict, match="deleted experiment 'a'"), database.transaction() as tx:
        experiments.rename(tx, second.id, "a")

    assert refusal.value.hint == f"restore experiment {first.id}, or take another name"


def test_a_new_name_is_taken_and_the_old_one_free(database: Database, experiments: Experiments) -> None:
    """Also when it is the one that it has."""
    first = made(database, "a")

    with database.transaction() as tx:
        experiments.rename(tx, first.id, "b")
        experiments.rename(tx, first.id, "b")

    assert experiments.get(database, first.id).name == "b"
    assert made(database, "a").id != first.id


def test_it_is_made_when_it_is_missing(database: Database, experiments: Experiments) -> None:
    """Once, and a deleted one comes back."""
    with database.transaction() as tx:
        first, second = experiments.ensure(tx, "small/p"), experiments.ensure(tx, "small/p")
        experiments.delete(tx, first)
        third = experiments.ensure(tx, "small/p")

    assert first == second == third
    assert experiments.get(database, first).deleted_us is None


def test_a_run_of_ours_belongs_to_that_of_its_pipeline(
    database: Database, runs: Runs, experiments: Experiments
) -> None:
    """Its name is made of the project's and the pipeline's."""
    first, second = begin(database)[0], begin(database)[0]
    other = begin(database, pipeline="q")[0]

    assert first.experiment_id == second.experiment_id == experiments.named(database, "small/p").id
    assert other.experiment_id == experiments.named(database, "small/q").id
    assert runs.get(first.id) == first


def test_its_runs_are_deleted_and_restored_with_it(database: Database, experiments: Experiments) -> None:
    """All of them; and what is done twice is said."""
    reports, wanted = Reports(), made(database, "a")
    with database.transaction() as tx:
        run = reports.begin(tx, experiment=wanted.id, name="r", started_us=1, tags={})
        experiments.delete(tx, wanted.id)
    assert reports.get(database, run.id).deleted_us == experiments.get(database, wanted.id).deleted_us
    with pytest.raises(NotFound, match="is deleted already"), database.transaction() as tx:
        experiments.delete(tx, wanted.id)

    with database.transaction() as tx:
        experiments.restore(tx, wanted.id)

    assert reports.get(database, run.id).deleted_us is None
    with pytest.raises(NotFound, match="is not deleted"), database.transaction() as tx:
        experiments.restore(tx, wanted.id)


def test_tags_are_set_replaced_and_removed(database: Database, experiments: Experiments) -> None:
    """One that is not there cannot be removed."""
    wanted = made(database, "a", kept="1", gone="2")

    with database.transaction() as tx:
        experiments.set_tag(tx, wanted.id, "kept", "3")
        experiments.remove_tag(tx, wanted.id, "gone")

    found = experiments.get(database, wanted.id)
    assert found.tags == {"kept": "3"}
    assert found.updated_us >= wanted.updated_us
    with pytest.raises(NotFound, match="has no tag 'gone'"), database.transaction() as tx:
        experiments.remove_tag(tx, wanted.id, "gone")


def test_a_deleted_one_does_not_change(database: Database, experiments: Experiments) -> None:
    """Until it is restored it has no new name, no new tag and no new run."""
    wanted = made(database, "a", kept="1")
    with database.transaction() as tx:
        experiments.delete(tx, wanted.id)

    with database.transaction() as tx:
        with pytest.raises(Conflict, match="is deleted"):
            experiments.rename(tx, wanted.id, "b")
        with pytest.raises(Conflict, match="is deleted"):
            experiments.set_tag(tx, wanted.id, "kept", "2")
        with pytest.raises(Conflict, match="is deleted"):
            experiments.remove_tag(tx, wanted.id, "kept")
        with pytest.raises(Conflict, match="is deleted"):
            Reports().begin(tx, experiment=wanted.id, name="", started_us=1, tags={})

    assert experiments.get(database, wanted.id).tags == {"kept": "1"}


@pytest.mark.parametrize("text", ["a\0b", "a\ud800"])
def test_what_no_database_holds_is_refused(text: str, database: Database, experiments: Experiments) -> None:
    """In a name, in a tag's name and in its value."""
    with database.transaction() as tx:
        with pytest.raises(Invalid, match="the name of an experiment has"):
            experiments.create(tx, text)
        with pytest.raises(Invalid, match="the name of a tag has"):
            experiments.create(tx, "a", {text: ""})
        with pytest.raises(Invalid, match="the value of tag 'b' has"):
            experiments.create(tx, "a", {"b": text})
        with pytest.raises(Invalid, match="has a name that is not empty"):
            experiments.create(tx, "")

    assert not database.read("SELECT id FROM experiment WHERE id <> 0")
