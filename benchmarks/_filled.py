"""Many runs, each with ten parameters and five metrics, written into ours and into MLflow's database.

They are the same for both: metric `m4` of run number n is n · 7919 modulo 10,007, over 10,007.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mlwright.app import Project
from mlwright.tracking.points import Point
from mlwright.tracking.reports import Reports
from mlwright.tracking.runs import RunState

_BEGAN_US = 1_700_000_000_000_000
_BATCH = 5_000


def fill_ours(folder: Path, count: int) -> None:
    """Into the workspace of a project in a folder, in transactions of many runs."""
    with Project.open(folder) as project:
        reports = Reports()
        for begin in range(0, count, _BATCH):
            with project.rooms.database.transaction() as tx:
                for number in range(begin, min(begin + _BATCH, count)):
                    at_us = _BEGAN_US + number * 1_000_000
                    run = reports.begin(tx, experiment=0, name=f"run {number}", started_us=at_us, tags={})
                    points = [Point(name, value, 0, at_us) for name, value in _metrics(number)]
                    reports.log(tx, run.id, points=points, params=list(_params(number)))
                    reports.update(tx, run.id, state=RunState.SUCCEEDED, finished_us=at_us + 1000)


def fill_theirs(database: Path, count: int) -> None:
    """Into the tables that MLflow's own server has made, as it would."""
    connection = sqlite3.connect(database)
    with connection:
        for number in range(count):
            run, at_ms = f"{number:032x}", (_BEGAN_US + number * 1_000_000) // 1000
            connection.execute(
                "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time,"
                " lifecycle_stage, artifact_uri, experiment_id)"
                " VALUES (?, ?, 'UNKNOWN', 'me', 'FINISHED', ?, ?, 'active', ?, 0)",
                (run, f"run {number}", at_ms, at_ms + 1, f"mlflow-artifacts:/0/{run}/artifacts"),
            )
            for name, value in _metrics(number):
                row = (name, value, at_ms, 0, 0, run)
                connection.execute(
                    "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    row,
                )
                connection.execute(
                    "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    row,
                )
            connection.executemany(
                "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
                [(name, value, run) for name, value in _params(number)],
            )
    connection.close()


def _metrics(number: int) -> Iterator[tuple[str, float]]:
    return ((f"m{each}", (number * 7919 % 10_007 + each - 4) / 10_007) for each in range(5))


def _params(number: int) -> Iterator[tuple[str, str]]:
    return ((f"p{each}", str(number % (each + 2))) for each in range(10))
