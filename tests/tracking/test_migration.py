"""Workspaces that were written before there were experiments and series are brought forward as they are."""

from __future__ import annotations

import math
from pathlib import Path

from mlwright.kernel.database import all_migrations
from mlwright.kernel.ids import RunId
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.tracking import Experiments, Metric, Point, Points, Runs, data_of
from mlwright.tracking.series import append

OLD = 14
"""The last migration before them."""
FIRST, SECOND = RunId("0" * 25 + "1"), RunId("0" * 25 + "2")


def test_an_older_workspace_gets_experiments_texts_and_heads(tmp_path: Path) -> None:
    """Runs are in the experiments of their pipelines, parameters have a text, metrics go on as they were."""
    database = SqliteDatabase(tmp_path / "metadata.db")
    database.migrate(all_migrations()[:OLD])
    params = {"trees": "100", "text": '"a \\"b\\" \\u00fc"', "list": "[1, 2]", "none": "null"}
    with database.transaction() as tx:
        for at_us, (run, pipeline) in enumerate([(FIRST, "p"), (SECOND, "q")]):
            tx.execute(
                "INSERT INTO run (id, project, pipeline, state, seed, created_us, pins)"
                " VALUES (:id, 'small', :pipeline, 'failed', 0, :at_us, '{}')",
                id=run,
                pipeline=pipeline,
                at_us=at_us,
            )
        for name, value in params.items():
            tx.execute(
                "INSERT INTO param (run_id, name, value) VALUES (:r, :n, :v)", r=FIRST, n=name, v=value
            )
        for name, number in (("auc", 0.5), ("loss", None)):
            tx.execute("INSERT INTO metric VALUES (:r, :n, :v, 3, 4)", r=FIRST, n=name, v=number)

    database.migrate(all_migrations())

    experiments, runs = Experiments(), Runs(database)
    assert runs.get(FIRST).experiment_id == experiments.named(database, "small/p").id == 1
    assert runs.get(SECOND).experiment_id == experiments.named(database, "small/q").id == 2
    told = data_of(database, [FIRST])[FIRST]
    assert told.params == {"list": "[1, 2]", "none": "null", "text": 'a "b" ü', "trees": "100"}
    assert repr(told.metrics) == repr([Metric("auc", 0.5, 3, 4), Metric("loss", math.nan, 3, 4)])
    with database.transaction() as tx:
        assert append(tx, FIRST, {"auc": Points([3, 4], [4, 5], [0.5, 0.25])}) == 1
    assert runs.history(FIRST, "auc")[0] == [Point("auc", 0.5, 3, 4), Point("auc", 0.25, 4, 5)]
    assert database.check() == []
    database.close()
