"""What runs report: their state, parameters and metrics.

Law: a terminal state of a run that we execute never changes.
"""

from mlwright.tracking.filters import RunFilter
from mlwright.tracking.journal import (
    Entry,
    JournalReader,
    LoggedArtifact,
    Metric,
    Param,
    Progress,
    read_journal,
)
from mlwright.tracking.metrics import record_metrics, record_params
from mlwright.tracking.runs import Run, Runs, RunState

__all__ = [
    "Entry",
    "JournalReader",
    "LoggedArtifact",
    "Metric",
    "Param",
    "Progress",
    "Run",
    "RunFilter",
    "RunState",
    "Runs",
    "read_journal",
    "record_metrics",
    "record_params",
]
