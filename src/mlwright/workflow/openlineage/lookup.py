"""The events of runs that are over, or on their way, from their records."""

from __future__ import annotations

import os

from mlwright.kernel.edges import End
from mlwright.versioning import Lineage
from mlwright.workflow.impact import runs_among
from mlwright.workflow.openlineage.events import Event, events_of
from mlwright.workflow.openlineage.receivers import namespace_of
from mlwright.workflow.openlineage.records import read_records
from mlwright.workflow.rooms import Rooms


def told_of(rooms: Rooms, lineage: Lineage, text: str, *, down: bool = False) -> list[Event]:
    """The events of a run; of another thing, those of all runs on the way from it.

    Args:
        text: what `lineage` takes as a reference.
        down: the runs that came of it, instead of those that it came of.

    Raises:
        NotFound, Invalid: as `Lineage.find`.
    """
    start = lineage.start(text)
    ends: list[End] = [start.end]
    if start.end.kind != "run":
        walked = lineage.edges(text, down=down)
        ends += [end for edge in walked for end in (edge.later, edge.earlier)]
    namespace = namespace_of(rooms.project, os.environ)
    told = (read_records(rooms, run, namespace) for run in runs_among(rooms, ends))
    return [event for records in told for event in events_of(records)]
