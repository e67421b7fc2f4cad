"""What was heard of an attempt is what its records say."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel.database import all_migrations
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.tracking import Metric, Points, Runs, Series, record_metrics
from mlwright.workflow.heard import Heard, reported

values = st.sampled_from([0.5, -0.0, 0.0, math.nan, -1.0])
columns = st.tuples(st.integers(-2, 2), st.integers(0, 2), values)
series = st.builds(
    Series,
    name=st.sampled_from(["loss", "auc"]),
    points=st.lists(columns, min_size=1, max_size=6).map(Points.of),
)


@given(st.lists(st.lists(series, max_size=3), max_size=4))
def test_a_run_that_reuses_an_attempt_has_the_metrics_of_the_one_that_made_it(
    batches: list[list[Series]],
) -> None:
    """The last value of each is the same, whether all points were recorded or what was heard of them."""
    database = SqliteDatabase(":memory:")
    database.migrate(all_migrations())
    runs = Runs(database)
    heard = Heard()
    with database.transaction() as tx:
        made, reuses = (
            runs.begin(tx, project="p", pipeline="p", seed=0, parameters={}, pins={})[0].id for _ in "ab"
        )

        for batch in batches:
            heard.learn(batch)
            record_metrics(tx, made, batch)
        record_metrics(tx, reuses, reported(heard.detail()))

    assert repr(runs.metrics(reuses)) == repr(runs.metrics(made))
    assert all(isinstance(each, Metric) for each in reported(heard.detail()))
    database.close()
