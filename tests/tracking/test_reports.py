"""Reports: runs that others execute, and what clients tell of any run."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mlwright.kernel.database import Database
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.ids import RunId
from mlwright.tracking import (
    Input,
    Metric,
    Point,
    Reports,
    Run,
    RunData,
    Runs,
    RunState,
    data_of,
    tags_of,
)
from mlwright.tracking.reports import portions
from tests.happened import happened
from tests.tracking.conftest import begin


@pytest.fixture
def reports(database: Database) -> Reports:
    """What clients report to an empty database."""
    return Reports()


def reported(database: Database, name: str = "r", **tags: str) -> Run:
    """A run begins elsewhere."""
    with database.transaction() as tx:
        return Reports().begin(tx, experiment=0, name=name, started_us=5, tags=tags)


def log(database: Database, run: Run, **told: Any) -> None:
    """A client reports, in a transaction of its own."""
    with database.transaction() as tx:
        Reports().log(tx, run.id, **told)


def test_a_run_begins_elsewhere(database: Database, reports: Reports) -> None:
    """It runs, is of the experiment that was named, and has its first tags."""
    run = reported(database, "first", source="notebook")

    assert reports.get(database, run.id) == run
    assert (run.kind, run.state, run.name, run.title) == ("reported", RunState.RUNNING, "first", "first")
    assert (run.experiment_id, run.created_us, run.finished_us) == (0, 5, None)
    assert data_of(database, [run.id])[run.id] == RunData(tags={"source": "notebook"})
    assert [event.verb for event in happened(database)] == ["run.reported"]


def test_tags_are_told_without_all_else(database: Database) -> None:
    """Those of the run alone; of a run that is not there, none."""
    run = reported(database, "first", source="notebook", size="2")
    reported(database, "second", source="script")

    assert tags_of(database, run.id) == {"source": "notebook", "size": "2"}
    assert tags_of(database, RunId("0" * 26)) == {}


def test_a_run_without_a_name_gets_one(database: Database) -> None:
    """Another one each time, in three plain words."""
    names = {reported(database, "").name for _ in range(20)}

    assert len(names) > 15
    assert all(name.count("-") == 2 and name.isascii() for name in names)


def test_a_run_of_no_experiment_is_refused(database: Database, reports: Reports) -> None:
    """An experiment is made first."""
    with pytest.raises(NotFound, match="there is no experiment 9"), database.transaction() as tx:
        reports.begin(tx, experiment=9, name="", started_us=0, tags={})


@pytest.mark.parametrize("second", list(RunState))
@pytest.mark.parametrize("first", list(RunState))
def test_its_state_is_what_its_client_said_last(
    first: RunState, second: RunState, database: Database, reports: Reports
) -> None:
    """Any state follows any other; what is not told stays."""
    run = reported(database)

    with database.transaction() as tx:
        reports.update(tx, run.id, state=first, finished_us=9)
        reports.update(tx, run.id, state=second)
        reports.update(tx, run.id, name="other")

    found = reports.get(database, run.id)
    assert (found.state, found.finished_us, found.name) == (second, 9, "other")


def test_nobody_here_buries_it(database: Database, runs: Runs) -> None:
    """It has no owner of ours: it is never lost, left over, the latest, or counted."""
    ours, theirs = begin(database)[0], reported(database)

    runs.bury_lost()

    assert runs.get(theirs.id).state is RunState.RUNNING
    assert runs.left_over() == []
    assert runs.get("latest") == ours
    assert runs.count() == 1
    assert {run.id for run in runs.list(kind="reported")} == {theirs.id}


def test_what_is_logged_is_read(database: Database, reports: Reports) -> None:
    """The last value of each metric, parameters, tags and inputs; the values of a metric are its history."""
    run = reported(database, mood="good")
    data = Input("wine", "abc", "local", "{}", "{}", "{}", {"context": "training"})

    log(
        database,
        run,
        points=[Point("loss", 0.5, 1, 10), Point("loss", math.nan, 0, 9), Point("auc", -0.0, 0, 9)],
        params=[("trees", "100"), ("text", '"')],
        tags=[("mood", "better"), ("mood", "best")],
    )
    with database.transaction() as tx:
        reports.log_inputs(tx, run.id, [data])

    found = data_of(database, [run.id])[run.id]
    assert found.metrics == [Metric("auc", 0.0, 0, 9), Metric("loss", 0.5, 1, 10)]
    assert math.copysign(1.0, found.metrics[0].value) == -1.0
    assert found.params == {"text": '"', "trees": "100"}
    assert found.tags == {"mood": "best"}
    assert found.inputs == reports.inputs(database, run.id) == [data]
    assert repr(Runs(database).history(run.id, "loss")[0]) == repr(
        [Point("loss", math.nan, 0, 9), Point("loss", 0.5, 1, 10)]
    )


def test_a_parameter_keeps_its_value(database: Database) -> None:
    """The same again changes nothing; another one is refused with both, and nothing else is kept with it."""
    run = reported(database)
    log(database, run, params=[("lr", "0.1"), ("lr", "0.1")])
    log(database, run, params=[("lr", "0.1")])

    with pytest.raises(Invalid, match=r"parameter 'lr' of run .* is '0.1' already, and cannot become '0.2'"):
        log(database, run, params=[("a", "1"), ("lr", "0.2")], tags=[("t", "1")])
    with pytest.raises(Invalid, match=r"parameter 'b' of run .* is '1' already, and cannot become '2'"):
        log(database, run, params=[(str(each), "") for each in range(20)] + [("b", "1"), ("b", "2")])

    assert data_of(database, [run.id])[run.id] == RunData(params={"lr": "0.1"})


def test_a_client_may_report_to_a_run_of_ours(database: Database, runs: Runs, reports: Reports) -> None:
    """While it runs, as a step's own library may; what it was given is known as text."""
    run, lease = begin(database, trees=100, mode="fast")
    log(
        database,
        run,
        points=[Point("auc", 0.5, 0, 1)],
        params=[("trees", "100"), ("mode", "fast"), ("depth", "3")],
    )
    with pytest.raises(Conflict, match="mlwright executes run"), database.transaction() as tx:
        reports.update(tx, run.id, state=RunState.FAILED)
    with pytest.raises(Conflict, match="is running"), database.transaction() as tx:
        reports.delete(tx, run.id)
    with database.transaction() as tx:
        runs.finish(tx, run, RunState.SUCCEEDED, lease)

    log(database, run, tags=[("seen", "yes")])
    with pytest.raises(Conflict, match="has ended"):
        log(database, run, points=[Point("auc", 1.0, 1, 1)])
    with pytest.raises(Conflict, match="has ended"):
        log(database, run, params=[("late", "1")])

    found = data_of(database, [run.id])[run.id]
    assert found.params == {"depth": "3", "mode": "fast", "trees": "100"}
    assert found.metrics == [Metric("auc", 0.5, 0, 1)]
    assert found.tags == {"seen": "yes"}
    assert runs.parameters(run.id) == {"mode": "fast", "trees": 100}


def test_a_deleted_run_takes_nothing(database: Database, reports: Reports) -> None:
    """Until it is restored it can be read, and nothing is added to it."""
    run = reported(database, kept="1")
    with database.transaction() as tx:
        reports.delete(tx, run.id)
        reports.delete(tx, run.id)
    assert reports.get(database, run.id).deleted_us is not None

    with database.transaction() as tx:
        with pytest.raises(Conflict, match="is deleted"):
            reports.log(tx, run.id, tags=[("a", "b")])
        with pytest.raises(Conflict, match="is deleted"):
            reports.log_inputs(tx, run.id, [])
        with pytest.raises(Conflict, match="is deleted"):
            reports.update(tx, run.id, name="b")
        with pytest.raises(Conflict, match="is deleted"):
            reports.remove_tag(tx, run.id, "kept")
        reports.restore(tx, run.id)
        reports.remove_tag(tx, run.id, "kept")

    assert reports.get(database, run.id) == run
    assert data_of(database, [run.id])[run.id] == RunData()


def test_a_run_or_a_tag_that_is_not_there_is_not_found(database: Database, reports: Reports) -> None:
    """Whatever is asked of it."""
    run, nobody = reported(database), RunId("0" * 26)
    with database.transaction() as tx:
        with pytest.raises(NotFound, match="there is no run"):
            reports.log(tx, nobody, tags=[("a", "b")])
        with pytest.raises(NotFound, match="there is no run"):
            reports.restore(tx, nobody)
        with pytest.raises(NotFound, match="has no tag 'a'"):
            reports.remove_tag(tx, run.id, "a")

    assert data_of(database, [nobody]) == {nobody: RunData()}
    assert data_of(database, []) == {}


def test_of_a_dataset_the_first_word_counts(database: Database, reports: Reports) -> None:
    """Told twice, it is one input; another hash of the same name is another."""
    run = reported(database)
    first, again, other = (
        Input("wine", digest, "local", source) for digest, source in (("a", "1"), ("a", "2"), ("b", "3"))
    )

    with database.transaction() as tx:
        reports.log_inputs(tx, run.id, [first, again])
        reports.log_inputs(tx, run.id, [again, other])

    assert reports.inputs(database, run.id) == [first, other]


def test_many_runs_are_read_at_once(database: Database) -> None:
    """In as many queries as one, and each has its own."""
    made = [reported(database, number=str(number)) for number in range(30)]
    for number, run in enumerate(made):
        log(database, run, points=[Point("x", number, 0, 0)], params=[("p", str(number))])
    counted = _Counting(database)

    found = data_of(counted, [run.id for run in made])

    assert counted.reads == 4
    assert [(found[run.id].metrics[0].value, found[run.id].params["p"]) for run in made] == [
        (float(number), str(number)) for number in range(30)
    ]


class _Counting:
    """A database that counts what it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reads = 0

    def read(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        self.reads += 1
        return self._database.read(sql, **parameters)


@pytest.mark.parametrize("text", ["a\0b", "a\ud800"])
def test_what_no_database_holds_is_refused(text: str, database: Database, reports: Reports) -> None:
    """Wherever it stands in a report."""
    run = reported(database)
    told: list[tuple[str, dict[str, Any]]] = [
        ("the name of a metric", {"points": [Point(text, 0.0, 0, 0)]}),
        ("the name of a parameter", {"params": [(text, "")]}),
        ("the value of parameter 'p'", {"params": [("p", text)]}),
        ("the name of a tag", {"tags": [(text, "")]}),
        ("the value of tag 't'", {"tags": [("t", text)]}),
    ]

    for what, each in told:
        with pytest.raises(Invalid, match=f"{what} has"):
            log(database, run, **each)
    with pytest.raises(Invalid, match="what is told of a dataset has"), database.transaction() as tx:
        reports.log_inputs(tx, run.id, [Input("wine", "a", "local", text)])
    with pytest.raises(Invalid, match="the name of a run has"):
        reported(database, text)
    with pytest.raises(Invalid, match="more than 64 bits"), database.transaction() as tx:
        reports.begin(tx, experiment=0, name="", started_us=2**63, tags={})

    assert data_of(database, [run.id])[run.id] == RunData()


def test_all_datasets_of_a_run_have_a_limit(
    database: Database, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run has read is refused where it becomes too much, with the limit; what is known counts once."""
    monkeypatch.setattr("mlwright.tracking.reports.INPUTS_BYTES", 1000)
    run = reported(database)
    first, second = (Input(name, "1", "local", "x", profile="가" * 150) for name in ("a", "b"))
    with database.transaction() as tx:
        reports.log_inputs(tx, run.id, [first, first, second])

    with (
        pytest.raises(Invalid, match=f"run {run.id} would take 1,.* at most 1,000"),
        database.transaction() as tx,
    ):
        reports.log_inputs(tx, run.id, [second, Input("c", "1", "local", "x", schema="s" * 100)])

    assert reports.inputs(database, run.id) == [first, second]


def test_what_many_runs_hold_is_read_in_portions(
    database: Database, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A portion ends before it becomes too large; one run is never parted."""
    monkeypatch.setattr("mlwright.tracking.reports._BLOCK_BYTES", 1000)
    monkeypatch.setattr("mlwright.tracking.reports._AT_ONCE", 4)
    small, param, tag, data, last, other = (reported(database).id for _ in range(6))
    with database.transaction() as tx:
        reports.log(tx, param, params=[("p", "v" * 900)])
        reports.log(tx, tag, tags=[("t", "v" * 900)])
        reports.log_inputs(tx, data, [Input("wine", "1", "local", "x", profile="v" * 5000)])

    found = [*portions(database, [small, param, tag, data, last, other])]

    assert found == [[small, param], [tag], [data], [last, other]]
    assert [*portions(database, [])] == []
