"""Versions whose packages and the server's exclude each other: what was found when they were to be served."""

from __future__ import annotations

from msgspec import Struct

from mlwright.kernel import events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Queries, Source, Transaction
from mlwright.versioning.versions import Version

_SQL = Queries.beside(__file__)


class Apart(Struct, frozen=True):
    """A version that answers in a process of its own, on its own lock.

    Args:
        why: the two exclude each other, in a line or two.
        asked: names what the server needs; where that is something else, it is to be seen anew.
    """

    why: str
    asked: str
    created_us: int


def apart_of(source: Source, version: str) -> Apart | None:
    """What was found of a version; None where nobody has tried, or the two go together.

    Args:
        version: its id.
    """
    rows = source.read(_SQL["apart_of"], version_id=version)
    return Apart(**rows[0]) if rows else None


def record_apart(tx: Transaction, version: Version, why: str, asked: str) -> None:
    """Write down that the packages of a version and the server's exclude each other."""
    remove_apart(tx, version.id)
    tx.execute(_SQL["add_apart"], version_id=version.id, why=why, asked=asked, created_us=now_us())
    events.record(tx, "model.separated", version.end, reference=version.reference, reason=why)


def remove_apart(tx: Transaction, version: str) -> None:
    """Take away what was found."""
    tx.execute(_SQL["remove_apart"], version_id=version)
