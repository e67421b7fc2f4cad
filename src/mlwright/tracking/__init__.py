"""What runs report: their state, parameters and metrics.

Law: a terminal state of a run that we execute never changes.
"""

from mlwright.tracking.experiments import Experiment, Experiments
from mlwright.tracking.filters import RunFilter
from mlwright.tracking.journal import (
    Entry,
    JournalReader,
    LoggedArtifact,
    Metric,
    Param,
    Progress,
    Series,
    node_of,
    read_journal,
)
from mlwright.tracking.logged_models import (
    LoggedModel,
    LoggedModels,
    ModelLink,
    ModelMetric,
    ModelState,
    links_of,
)
from mlwright.tracking.metrics import record_metrics, record_params
from mlwright.tracking.points import Point, Points
from mlwright.tracking.reports import Input, Reports, RunData, data_of, tags_of
from mlwright.tracking.runs import Run, Runs, RunState
from mlwright.tracking.search import Search
from mlwright.tracking.series import Cursor

__all__ = [
    "Cursor",
    "Entry",
    "Experiment",
    "Experiments",
    "Input",
    "JournalReader",
    "LoggedArtifact",
    "LoggedModel",
    "LoggedModels",
    "Metric",
    "ModelLink",
    "ModelMetric",
    "ModelState",
    "Param",
    "Point",
    "Points",
    "Progress",
    "Reports",
    "Run",
    "RunData",
    "RunFilter",
    "RunState",
    "Runs",
    "Search",
    "Series",
    "data_of",
    "links_of",
    "node_of",
    "read_journal",
    "record_metrics",
    "record_params",
    "tags_of",
]
