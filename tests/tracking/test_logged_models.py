"""Logged models: what clients say they have made, and what was measured of it."""

from __future__ import annotations

import math

import pytest

from mlwright.kernel.database import Database
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.ids import RunId
from mlwright.tracking import (
    Experiments,
    LoggedModel,
    LoggedModels,
    ModelLink,
    ModelMetric,
    ModelState,
    Reports,
    Run,
    links_of,
)

NOBODY = f"m-{'0' * 32}"


@pytest.fixture
def models(database: Database) -> LoggedModels:
    """The models that were logged into an empty database."""
    return LoggedModels()


@pytest.fixture
def run(database: Database) -> Run:
    """A run that a client reports."""
    with database.transaction() as tx:
        return Reports().begin(tx, experiment=0, name="r", started_us=1, tags={})


def logged(database: Database, name: str = "forest", run: RunId | None = None, **params: str) -> LoggedModel:
    """A client logs a model."""
    with database.transaction() as tx:
        return LoggedModels().create(tx, experiment=0, name=name, run=run, params=params)


def test_a_model_is_found_with_all_that_was_said(database: Database, models: LoggedModels, run: Run) -> None:
    """Its name, kind, run, parameters and tags; its files are still to come."""
    with database.transaction() as tx:
        made = models.create(
            tx,
            experiment=0,
            name="forest",
            run=run.id,
            type_name="sklearn",
            params={"p": "1"},
            tags={"t": "2"},
        )

    assert models.get(database, made.id) == made
    assert (made.name, made.type, made.run_id, made.state) == (
        "forest",
        "sklearn",
        run.id,
        ModelState.PENDING,
    )
    assert (made.params, made.tags, made.metrics) == ({"p": "1"}, {"t": "2"}, [])
    assert made.id.startswith("m-") and len(made.id) == 34
    assert logged(database, "").name.count("-") == 2


def test_its_files_become_complete_or_not(database: Database, models: LoggedModels) -> None:
    """Its client says which, and why."""
    made = logged(database)

    with database.transaction() as tx:
        failed = models.finish(tx, made.id, ModelState.FAILED, "no room")
        ready = models.finish(tx, made.id, ModelState.READY)

    assert (failed.state, failed.state_message) == (ModelState.FAILED, "no room")
    assert (ready.state, ready.state_message) == (ModelState.READY, "")


def test_parameters_stay_and_tags_move(database: Database, models: LoggedModels) -> None:
    """A parameter with another value is refused with both; a tag is replaced, or removed."""
    made = logged(database, lr="0.1")
    with database.transaction() as tx:
        models.log_params(tx, made.id, {"lr": "0.1", "depth": "3"})
        models.set_tags(tx, made.id, {"a": "1", "b": "1"})
        models.set_tags(tx, made.id, {"a": "2"})
        models.remove_tag(tx, made.id, "b")

    with (
        pytest.raises(Invalid, match=r"parameter 'lr' of model .* is '0.1' already, and cannot become '0.2'"),
        database.transaction() as tx,
    ):
        models.log_params(tx, made.id, {"new": "1", "lr": "0.2"})
    with pytest.raises(NotFound, match="has no tag 'b'"), database.transaction() as tx:
        models.remove_tag(tx, made.id, "b")

    found = models.get(database, made.id)
    assert (found.params, found.tags) == ({"depth": "3", "lr": "0.1"}, {"a": "2"})


def test_the_last_value_is_kept_by_run_and_dataset(
    database: Database, models: LoggedModels, run: Run
) -> None:
    """The one with the highest step; NaN and -0.0 come back as they were."""
    made = logged(database)

    def measured(value: float, step: int, dataset: str = "") -> ModelMetric:
        return ModelMetric(made.id, "auc", value, step, 10, run.id, dataset, dataset)

    with database.transaction() as tx:
        models.log_metrics(tx, run.id, [measured(0.5, 2), measured(0.9, 1), measured(math.nan, 0, "a")])
        models.log_metrics(tx, run.id, [measured(0.6, 2), measured(0.7, 1), measured(-0.0, 0, "b")])

    found = models.get(database, made.id).metrics
    assert repr(found) == repr([measured(0.6, 2), measured(math.nan, 0, "a"), measured(-0.0, 0, "b")])


def test_runs_make_and_read_models(database: Database, models: LoggedModels, run: Run) -> None:
    """A run has its models, each once for each way."""
    first, second = logged(database), logged(database)

    with database.transaction() as tx:
        models.link(tx, run.id, [ModelLink(first.id, "in"), ModelLink(second.id, "out", 3)])
        models.link(tx, run.id, [ModelLink(second.id, "out", 4)])

    assert links_of(database, [run.id]) == {
        run.id: [ModelLink(first.id, "in"), ModelLink(second.id, "out", 4)]
    }
    assert links_of(database, []) == {}


def test_many_are_read_in_the_order_asked_for(database: Database, models: LoggedModels) -> None:
    """Each once; what is not there is left out."""
    made = [logged(database, str(number), number=str(number)) for number in range(5)]

    found = models.many(database, [made[3].id, NOBODY, made[0].id, made[3].id])

    assert found == [made[3], made[0]]
    assert models.many(database, []) == []


def test_a_deleted_one_is_still_read(database: Database, models: LoggedModels) -> None:
    """It says when it was deleted, at the first time."""
    made = logged(database)
    with database.transaction() as tx:
        models.delete(tx, made.id)
    deleted = models.get(database, made.id)

    with database.transaction() as tx:
        models.delete(tx, made.id)

    assert deleted.deleted_us is not None
    assert models.get(database, made.id) == deleted


@pytest.mark.parametrize("identity", [NOBODY, "", "m-1", "x" * 34, "\0", "\ud800"])
def test_what_is_not_there_is_not_found(
    identity: str, database: Database, models: LoggedModels, run: Run
) -> None:
    """Whatever the id is, and whatever is asked of it."""
    with database.transaction() as tx:
        with pytest.raises(NotFound, match="there is no logged model"):
            models.get(tx, identity)
        with pytest.raises(NotFound, match="there is no logged model"):
            models.link(tx, run.id, [ModelLink(identity, "in")])
        with pytest.raises(NotFound, match="there is no logged model"):
            models.log_metrics(tx, run.id, [ModelMetric(identity, "auc", 0.5, 0, 0)])
        with pytest.raises(NotFound, match="there is no run"):
            models.link(tx, RunId("0" * 26), [])
        with pytest.raises(NotFound, match="there is no run"):
            models.create(tx, experiment=0, run=RunId("0" * 26))
        with pytest.raises(NotFound, match="there is no experiment 9"):
            models.create(tx, experiment=9)


def test_a_deleted_experiment_takes_none(database: Database, models: LoggedModels) -> None:
    """It is restored first."""
    with database.transaction() as tx:
        Experiments().delete(tx, 0)

    with pytest.raises(Conflict, match="experiment 0 is deleted"):
        logged(database)
