"""Pipelines: from functions to a graph, from a graph to a run, and the same run again.

Law: a step is reused only if all that its result can depend on is the same; what is recorded as done is
durable.
"""

from mlwright.workflow.attempts import Attempt, Attempts, AttemptState
from mlwright.workflow.found import FoundPipeline
from mlwright.workflow.graph import Graph, Node
from mlwright.workflow.outputs import Comparison
from mlwright.workflow.pipelines import Pipelines
from mlwright.workflow.prepare import Prepared
from mlwright.workflow.reproduce import Reproduction, reproduce
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms, open_rooms
from mlwright.workflow.watch import NodeView, RunView, Watcher

__all__ = [
    "Attempt",
    "AttemptState",
    "Attempts",
    "Comparison",
    "FoundPipeline",
    "Graph",
    "Node",
    "NodeView",
    "Pipelines",
    "Prepared",
    "Reproduction",
    "Request",
    "Rooms",
    "RunView",
    "Watcher",
    "open_rooms",
    "reproduce",
]
