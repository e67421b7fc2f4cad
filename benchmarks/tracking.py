"""Claim: what a step measures costs it next to nothing, is safe at once, and every value of it is kept.

    python benchmarks/tracking.py [in_process ingestion protocol search search_postgres]   all, or those named

Unit: microseconds of a call, unless the line says otherwise; medians of five rounds, in which ours and the
baseline take turns.

`in_process` is `log_metric` as a step calls it, with a journal open: when it returns, the point survives
`kill -9`. The baseline is the least that a journal of lines would cost: one `os.write` of 70 bytes to a file
that is appended to. A mean is that of many calls in a row, with the loop around them; the 99th percentile is
of calls that are timed one by one, with the clock, about 0.1 us, in it. The busy thread counts in Python: it
takes the interpreter whenever it gets it, for 5 ms at a time, so that half of the time is its own.

`ingestion` is what the engine does with the journal of a step that has logged 10 million points of one
metric: they are read, checked, packed and committed in one transaction, to a database on the disk. Its
baseline is one row for each point, without an index, in one statement; of 1 million, as it takes long.

`protocol` and `search` ask `mlwright up` and MLflow's own server, each on SQLite, what MLflow's own client
asks: its requests are recorded once, and sent to both by one light load generator (`_recorded.py`); the times
of the client itself stand beside. Both are up, and one is asked at a time; MLflow's less often, as it takes
so long: its 99th percentile is of 40 requests a round. `search` is for the best
100 runs by a metric, of runs with 10 parameters and 5 metrics that were written into both databases before.

`search_postgres` asks the same of `mlwright up` with its records in a PostgreSQL of its own, on a socket of
the same machine. Its baseline is one prepared query for these runs, without their parameters and other
metrics.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from _figures import Figure, medians, say_figures
from _protocol import protocol, search, search_postgres

from mlwright import log_metric
from mlwright.kernel.database import all_migrations
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.sdk.report import close_journal, open_journal
from mlwright.tracking import Runs, read_journal, record_metrics
from mlwright.tracking.series import sample

_CALLS, _WRITES, _POINTS, _ROWS = 200_000, 5_000, 10_000_000, 1_000_000
_LINE = b'{"metric": "loss", "value": 0.5, "step": 12345, "at_us": 17e14}'.ljust(69) + b"\n"
_RUN = {"project": "p", "pipeline": "p", "seed": 0, "parameters": {}, "pins": {}}


def in_process() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-") as name:
        folder = Path(name)

        def ours(number: int) -> Mapping[str, float]:
            open_journal(folder / f"{number}.jsonl", folder)
            alone = _cost(_CALLS, lambda step: log_metric("loss", 0.5, step=step))
            with _busy_thread():
                beside = _cost(_CALLS, lambda step: log_metric("loss", 0.5, step=step))
            close_journal()
            return _named("ours", alone, beside)

        def write(number: int) -> Mapping[str, float]:
            file = os.open(folder / f"{number}.lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            alone = _cost(_CALLS, lambda step: os.write(file, _LINE))
            with _busy_thread():
                beside = _cost(_WRITES, lambda step: os.write(file, _LINE))
            os.close(file)
            return _named("write", alone, beside)

        took = medians(ours, write)
    for what, kind, reach in (
        ("log_metric, mean (us)", "alone", "3"),
        ("log_metric, 99th percentile (us)", "alone 99", "10"),
        ("log_metric beside a busy thread, mean (us)", "beside", "3"),
        ("log_metric beside a busy thread, 99th percentile (us)", "beside 99", "10"),
    ):
        yield Figure(what, took[f"ours {kind}"], took[f"write {kind}"], "one os.write", reach)


def ingestion() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-") as name:
        folder = Path(name)
        open_journal(folder / "attempt.jsonl", folder)
        for step in range(_POINTS):
            log_metric("loss", 1 / (step + 1), step=step)
        close_journal()
        database = SqliteDatabase(folder / "metadata.db")
        database.migrate(all_migrations())

        def ours(number: int) -> Mapping[str, float]:
            with database.transaction() as tx:
                run, _ = Runs(database).begin(tx, **_RUN)
            began = time.perf_counter()
            with database.transaction() as tx:
                record_metrics(tx, run.id, read_journal(folder / "attempt.jsonl"))
            taken = time.perf_counter()
            shape = sample(database, run.id, "loss")
            sampled = time.perf_counter()
            assert 900 <= len(shape) <= 1000
            with database.transaction() as tx:
                tx.execute("DELETE FROM chunk WHERE run_id = :run", run=run.id)
            return {"ours": _POINTS / (taken - began) / 1000, "sample": (sampled - taken) * 1000}

        def rows(number: int) -> Mapping[str, float]:
            with sqlite3.connect(folder / "rows.db") as rows:
                rows.execute("CREATE TABLE IF NOT EXISTS point (name, value, step, at_us)")
                began = time.perf_counter()
                values = (("loss", 0.5, step, 1_700_000_000_000_000 + step) for step in range(_ROWS))
                rows.executemany("INSERT INTO point VALUES (?, ?, ?, ?)", values)
                rows.commit()
                took = time.perf_counter() - began
                rows.execute("DELETE FROM point")
            rows.close()
            return {"rows": _ROWS / took / 1000}

        took = medians(ours, rows)
        database.close()
    yield Figure(
        "10 million points ingested (1,000 points/s)", took["ours"], took["rows"], "bare rows", "300"
    )
    yield Figure("their shape in 1,000 points (ms)", took["sample"], 50, "what is allowed", "50")


def _cost(calls: int, call: Callable[[int], object]) -> tuple[float, float]:
    """The mean and the 99th percentile of a call, in microseconds."""
    began = time.perf_counter_ns()
    for step in range(calls):
        call(step)
    mean = (time.perf_counter_ns() - began) / calls
    each = []
    for step in range(calls):
        began = time.perf_counter_ns()
        call(step)
        each.append(time.perf_counter_ns() - began)
    return mean / 1000, sorted(each)[calls * 99 // 100] / 1000


def _named(who: str, alone: tuple[float, float], beside: tuple[float, float]) -> dict[str, float]:
    names = ("alone", "alone 99", "beside", "beside 99")
    return {f"{who} {name}": value for name, value in zip(names, (*alone, *beside), strict=True)}


@contextmanager
def _busy_thread() -> Iterator[None]:
    begun, ended = threading.Event(), False

    def count() -> None:
        begun.set()
        while not ended:
            sum(range(1000))

    thread = threading.Thread(target=count)
    thread.start()
    begun.wait()
    yield
    ended = True
    thread.join()


if __name__ == "__main__":
    say_figures(in_process, ingestion, protocol, search, search_postgres)
