"""What a step reports goes to its journal, line by line."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlwright import log_metric, log_metrics
from mlwright.kernel.errors import Invalid
from mlwright.sdk import report
from tests.processes import run_python


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Path]:
    """An open journal."""
    report.open_journal(tmp_path / "journal.jsonl")
    yield tmp_path / "journal.jsonl"
    report.close_journal()


def entries(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_outside_a_run_reporting_does_nothing() -> None:
    """The same code runs in a notebook."""
    log_metric("auc", 0.5)
    log_metrics({"auc": 0.5, "loss": 1}, step=3)


def test_each_number_is_a_line(journal: Path) -> None:
    """Name, value, step and time, in the order they were said."""
    log_metric("auc", 0.5)
    log_metrics({"loss": 1, "räte": 2.5}, step=7)

    found = entries(journal)

    assert [(each["metric"], each["value"], each["step"]) for each in found] == [
        ("auc", 0.5, 0),
        ("loss", 1.0, 7),
        ("räte", 2.5, 7),
    ]
    times = [each["at_us"] for each in found]
    assert times == sorted(times)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.floats(allow_nan=True))
def test_any_name_and_number_stay_one_line(journal: Path, name: str, value: float) -> None:
    """Line ends in a name, NaN and infinities are no hindrance."""
    log_metric(name, value)

    last = entries(journal)[-1]

    assert last["metric"] == name
    assert last["value"] == value or (math.isnan(value) and math.isnan(last["value"]))


def test_a_scalar_of_numpy_is_taken_by_its_value(journal: Path) -> None:
    """What has a value as a float."""
    import numpy

    log_metric("auc", numpy.float32(0.5), step=numpy.int64(3))

    assert (entries(journal)[0]["value"], entries(journal)[0]["step"]) == (0.5, 3)


@pytest.mark.parametrize("name", [None, 3, ("auc",)])
def test_a_name_that_is_no_text_is_refused(journal: Path, name: Any) -> None:
    """In the step that gives it, not later in the engine."""
    with pytest.raises(Invalid, match="a metric's name must be text"):
        log_metric(name, 0.5)

    assert entries(journal) == []


def test_what_was_said_before_a_kill_is_there(tmp_path: Path) -> None:
    """Nothing waits in a buffer of the process."""
    code = """
        import os, signal, sys
        from pathlib import Path
        from mlwright.sdk import report
        report.open_journal(Path(sys.argv[1]))
        report.log_metrics({"a": 1, "b": 2})
        os.kill(os.getpid(), signal.SIGKILL)
    """

    killed = run_python(code, tmp_path / "journal.jsonl")

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [each["metric"] for each in entries(tmp_path / "journal.jsonl")] == ["a", "b"]


def test_a_new_journal_ends_the_old_one(tmp_path: Path) -> None:
    """One attempt at a time: after opening the next, and after closing, nothing reaches the old one."""
    report.open_journal(tmp_path / "one")
    report.open_journal(tmp_path / "two")
    log_metric("auc", 0.5)
    report.close_journal()
    log_metric("auc", 0.5)

    assert entries(tmp_path / "one") == []
    assert len(entries(tmp_path / "two")) == 1
