"""What was recorded, for tests: all of it, oldest first."""

from __future__ import annotations

from mlwright.kernel.database import Source
from mlwright.kernel.events import Event
from mlwright.kernel.history import MOST, EventFilter, history


def happened(source: Source) -> list[Event]:
    """Every event, oldest first."""
    return history(source, EventFilter(after=0, limit=MOST)).found
