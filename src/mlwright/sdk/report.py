"""What a step tells about itself while it runs; outside a run the same calls do nothing.

Each call appends one line to the attempt's journal, so that nothing said before a crash is lost.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from mlwright.kernel.errors import Invalid

JOURNAL = "journal.jsonl"
"""The name of an attempt's journal in its scratch folder."""

_journal: int | None = None


def open_journal(path: Path) -> None:
    """Send what the step reports to `path`; the worker calls this before each attempt."""
    global _journal  # noqa: PLW0603 - one attempt at a time in a worker, by construction
    close_journal()
    _journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def close_journal() -> None:
    """Stop reporting."""
    global _journal  # noqa: PLW0603
    if _journal is not None:
        os.close(_journal)
        _journal = None


def log_metric(name: str, value: float, *, step: int = 0) -> None:
    """Report one number of the run.

    Args:
        name: what is measured.
        value: any real number; a NumPy or torch scalar is taken by its value.
        step: where in the training it was measured.

    Raises:
        Invalid: the name is not text.
    """
    if not isinstance(name, str):
        raise Invalid(f"a metric's name must be text, not {name!r}")
    _append({"metric": name, "value": float(value), "step": int(step), "at_us": time.time_ns() // 1000})


def log_metrics(values: Mapping[str, float], *, step: int = 0) -> None:
    """Report several numbers at once; see `log_metric`."""
    for name, value in values.items():
        log_metric(name, value, step=step)


def _append(entry: dict[str, object]) -> None:
    if _journal is not None:
        os.write(_journal, json.dumps(entry).encode() + b"\n")
