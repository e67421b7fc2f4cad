"""What runs report: their state, parameters and metrics.

Law: a terminal state of a run that we execute never changes.
"""

from mlwright.tracking.metrics import Metric, read_journal, record_metrics
from mlwright.tracking.runs import Run, Runs, RunState

__all__ = ["Metric", "Run", "RunState", "Runs", "read_journal", "record_metrics"]
