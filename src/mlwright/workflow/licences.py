"""The licence that a project states, in its `pyproject.toml`."""

from __future__ import annotations

import tomllib

from mlwright.kernel import edges
from mlwright.tracking import Run
from mlwright.workflow.rooms import Rooms

_LONGEST = 200


def licence_in(pyproject: bytes) -> str:
    """The licence that a `pyproject.toml` states; empty if it states none.

    Source: PEP 639; PEP 621 for the older form, a table.
    """
    try:
        licence = tomllib.loads(pyproject.decode()).get("project", {}).get("license", "")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError):
        return ""
    if isinstance(licence, dict):
        licence = licence.get("text") or licence.get("file") or ""
    return " ".join(str(licence).split())[:_LONGEST]


def licence_of(rooms: Rooms, run: Run) -> str:
    """The licence that the code of a run states."""
    for code in edges.made_from(rooms.database, run.end, "code"):
        for entry in rooms.snapshots.tree(rooms.snapshots.get(code.earlier.id)).entries:
            if entry.path == "pyproject.toml":
                return licence_in(rooms.objects.get(entry.digest))
    return ""
