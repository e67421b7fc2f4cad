"""Metrics and parameters: the last value of a metric is the one with the highest step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel.database import Database
from mlwright.tracking import (
    LoggedArtifact,
    Metric,
    Param,
    Points,
    Progress,
    Run,
    Runs,
    Series,
    record_metrics,
    record_params,
)
from mlwright.tracking.series import history
from tests.tracking.conftest import begin

metrics = st.builds(
    Metric,
    name=st.sampled_from(["loss", "auc"]),
    value=st.floats(),
    step=st.integers(-3, 3),
    at_us=st.integers(0, 3),
)


@given(st.lists(st.lists(metrics, max_size=6), max_size=4))
def test_the_last_value_is_by_step_then_time(shared: Database, batches: list[list[Metric]]) -> None:
    """However they arrive, the value with the highest step is last, of those the latest, then the highest."""
    run, _ = begin(shared)

    for batch in batches:
        with shared.transaction() as tx:
            record_metrics(tx, run.id, batch)

    expected: dict[str, Metric] = {}
    for metric in (metric for batch in batches for metric in batch):
        kept = expected.get(metric.name)
        if kept is None or _order(metric) > _order(kept):
            expected[metric.name] = metric
    assert repr(Runs(shared).metrics(run.id)) == repr([expected[name] for name in sorted(expected)])


def _order(metric: Metric) -> tuple[int, int, bool, float, float]:
    """What the last value is the highest by; NaN is below all numbers, -0.0 below 0.0."""
    value, nan = (0.0, True) if math.isnan(metric.value) else (metric.value, False)
    return metric.step, metric.at_us, not nan, value, math.copysign(1.0, value)


def known(runs: Runs, run: Run) -> dict[str, object]:
    """What the run was given, and what its steps logged."""
    return runs.parameters(run.id) | runs.logged_parameters(run.id)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308])
def test_any_float_comes_back(value: float, database: Database, runs: Runs) -> None:
    """NaN, infinities and the smallest and largest numbers are read back as they were."""
    run, _ = begin(database)

    with database.transaction() as tx:
        record_metrics(tx, run.id, [Metric("loss", value, 0, 1)])

    (found,) = runs.metrics(run.id)
    assert repr(found.value) == repr(value)


def test_a_nan_is_replaced_by_what_comes_later(database: Database, runs: Runs) -> None:
    """A NaN is a value like any other: a later one takes its place, an earlier one does not."""
    run, _ = begin(database)

    with database.transaction() as tx:
        record_metrics(tx, run.id, [Metric("a", math.nan, 1, 1), Metric("a", 0.5, 2, 1)])
        record_metrics(tx, run.id, [Metric("b", math.nan, 2, 1), Metric("b", 0.5, 1, 1)])

    a, b = runs.metrics(run.id)
    assert a.value == 0.5
    assert math.isnan(b.value)


def test_metrics_belong_to_their_run(database: Database, runs: Runs) -> None:
    """Two runs may report the same name; a metric's name may be any text."""
    first, second = begin(database)[0], begin(database)[0]

    with database.transaction() as tx:
        record_metrics(tx, first.id, [Metric("größe ':%", 1.0, 0, 1)])
        record_metrics(tx, second.id, [Metric("größe ':%", 2.0, 0, 1)])

    assert [runs.metrics(run.id)[0].value for run in (first, second)] == [1.0, 2.0]


def set_by(database: Database, run: Run, node: str, **values: Any) -> None:
    """A step of a run sets parameters."""
    with database.transaction() as tx:
        record_params(tx, run.id, node, [Param(name, value, 1) for name, value in values.items()])


def test_a_parameter_of_a_step_is_the_run_s(database: Database, runs: Runs) -> None:
    """It stands beside those that the run began with; the same value again changes nothing."""
    run, _ = begin(database, trees=100)

    set_by(database, run, "fit", lr=0.1, grid={"b": 2, "a": [1, None]}, trees=100)
    set_by(database, run, "check", lr=0.1, grid={"a": [1, None], "b": 2})

    assert known(runs, run) == {"trees": 100, "lr": 0.1, "grid": {"a": [1, None], "b": 2}}


@pytest.mark.parametrize(("first", "other"), [(100, 200), (1, 1.0), (1, True), (None, 0), ([1], [1, 1])])
def test_another_value_is_kept_under_the_step_s_name(
    database: Database, runs: Runs, first: Any, other: Any
) -> None:
    """What the run had stays as it was, and values of another type are other values."""
    run, _ = begin(database, size=first)

    set_by(database, run, "fit[3]", size=other)

    assert repr(known(runs, run)) == repr({"size": first, "fit[3].size": other})


def test_a_step_that_sets_again_is_kept_by_its_last_word(database: Database, runs: Runs) -> None:
    """Whatever the values were before, and also when the same report is recorded twice."""
    run, _ = begin(database)

    for _ in range(2):
        for value in (0.1, 0.2, 0.3, 0.1):
            set_by(database, run, "fit", lr=value)

    assert known(runs, run) == {"lr": 0.1, "fit.lr": 0.1}


def test_a_long_series_is_recorded_in_pieces(
    database: Database, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each point once, beside short ones, and as often as it is recorded."""
    monkeypatch.setattr("mlwright.tracking.metrics._AT_ONCE", 700)
    run, _ = begin(database)
    long = Points(range(2500), range(2500), range(2500))

    for _ in range(2):
        with database.transaction() as tx:
            record_metrics(tx, run.id, [Series("loss", long), Series("auc", Points([1], [1], [0.5]))])

    found, _ = history(database, run.id, "loss", limit=3000)
    assert [point.step for point in found] == list(range(2500))
    assert [(each.name, each.value) for each in runs.metrics(run.id)] == [("auc", 0.5), ("loss", 2499.0)]


def test_each_kind_is_recorded_by_its_own(database: Database, runs: Runs) -> None:
    """A journal's entries can be handed to both as they were read."""
    run, _ = begin(database)
    entries = [
        Metric("auc", 0.5, 0, 1),
        Param("lr", 0.1, 1),
        Progress(1, 2, "", 1),
        LoggedArtifact("a", Path("a"), "text", "str", {}, 1),
    ]

    with database.transaction() as tx:
        record_metrics(tx, run.id, entries)
        record_params(tx, run.id, "fit", entries)

    assert runs.metrics(run.id) == [Metric("auc", 0.5, 0, 1)]
    assert known(runs, run) == {"lr": 0.1}
