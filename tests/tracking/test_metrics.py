"""Metrics: the journal survives its writer, and the last value is the one with the highest step."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.tracking import Metric, Runs, read_journal, record_metrics
from tests.tracking.conftest import begin

metrics = st.builds(
    Metric,
    name=st.sampled_from(["loss", "auc"]),
    value=st.floats().map(lambda value: value + 0.0),  # SQLite keeps no sign of a zero
    step=st.integers(-3, 3),
    at_us=st.integers(0, 3),
)


@given(st.lists(st.lists(metrics, max_size=6), max_size=4))
def test_the_last_value_is_by_step_then_time(batches: list[list[Metric]]) -> None:
    """However they arrive, the value with the highest step is kept, and of those the latest."""
    database = SqliteDatabase(":memory:")
    database.migrate(all_migrations())
    run, _ = begin(database)

    for batch in batches:
        with database.transaction() as tx:
            record_metrics(tx, run.id, batch)

    expected: dict[str, Metric] = {}
    for metric in (metric for batch in batches for metric in batch):
        kept = expected.get(metric.name)
        if kept is None or (metric.step, metric.at_us) >= (kept.step, kept.at_us):
            expected[metric.name] = metric
    assert repr(Runs(database).metrics(run.id)) == repr([expected[name] for name in sorted(expected)])
    database.close()


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


REPORT = """
import os, signal, sys
from pathlib import Path
from mlwright.sdk import report

report.open_journal(Path(sys.argv[1]))
report.log_metric("loss", 0.5, step=1)
report.log_metrics({"loss": float("nan"), "größe": 2}, step=2)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_journal_survives_kill(tmp_path: Path) -> None:
    """What a step reported before `kill -9` is read from its journal."""
    journal = tmp_path / "journal.jsonl"

    done = subprocess.run([sys.executable, "-c", REPORT, str(journal)], timeout=60)

    found = read_journal(journal)
    assert done.returncode == -9
    assert [(metric.name, repr(metric.value), metric.step) for metric in found] == [
        ("loss", "0.5", 1),
        ("loss", "nan", 2),
        ("größe", "2.0", 2),
    ]


def test_there_may_be_no_journal(tmp_path: Path) -> None:
    """A step that reported nothing has no metrics."""
    assert read_journal(tmp_path / "journal.jsonl") == []


names = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(names, st.floats()), min_size=1, max_size=4), st.data())
@example([("a\u2028b\x85c\rd\x1ce", 1.0), ("b", 2.0)], None)
def test_a_journal_is_read_up_to_where_it_was_cut(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, float]], data: st.DataObject | None
) -> None:
    """Cut off at any byte, a journal gives every whole line before the cut, and nothing else."""
    entries = [{"metric": name, "value": value, "step": 0, "at_us": 1} for name, value in told]
    lines = [json.dumps(entry).encode() for entry in entries]
    whole = b"\n".join(lines) + b"\n"
    at = len(whole) if data is None else data.draw(st.integers(0, len(whole)))
    journal = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal.write_bytes(whole[:at])

    found = read_journal(journal)

    ends = [sum(len(line) + 1 for line in lines[: index + 1]) - 1 for index in range(len(lines))]
    complete = sum(end <= at for end in ends)
    assert repr([(metric.name, metric.value) for metric in found]) == repr(told[:complete])


FORK = """
import os, sys
from pathlib import Path
from mlwright.sdk import report

report.open_journal(Path(sys.argv[1]))
child = os.fork()
for step in range(200):
    report.log_metric("parent" if child else "child", step, step=step)
if child:
    os.waitpid(child, 0)
"""


def test_a_journal_that_several_processes_write_is_whole(tmp_path: Path) -> None:
    """A step may fork: each line of each process is in the journal, none is torn."""
    journal = tmp_path / "journal.jsonl"

    subprocess.run([sys.executable, "-c", FORK, str(journal)], timeout=60, check=True)

    found = read_journal(journal)
    assert sorted((metric.name, metric.step) for metric in found) == sorted(
        (who, step) for who in ("child", "parent") for step in range(200)
    )
