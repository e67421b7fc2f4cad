"""What happened, append-only: one row for each change, written in the transaction of the change."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from msgspec import Struct

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.edges import End

_SQL = Queries.beside(__file__)
_ACTING = ContextVar("acting", default="")


class Event(Struct, frozen=True):
    """Who did what to which thing, and when; `detail` holds what a reader needs to understand it."""

    id: int
    at_us: int
    verb: str
    subject: End
    actor: str
    detail: dict[str, Any]


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Whatever is recorded in the block, in this thread or task, has this actor.

    Args:
        name: of who asks: the owner of a token, a person who is logged in.
    """
    assert name, "somebody acts"
    before = _ACTING.set(name)
    try:
        yield
    finally:
        _ACTING.reset(before)


def actor() -> str:
    """Who acts: whoever is told by `acting_as`, else the name this process runs under."""
    return _ACTING.get() or _user()


@cache
def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def record(tx: Transaction, verb: str, subject: End, **detail: Any) -> None:
    """Append one event.

    Args:
        tx: the transaction of the change itself.
        verb: noun and past participle, as `version.added`.
        subject: what changed.
        detail: JSON values.
    """
    tx.execute(
        _SQL["add_event"],
        at_us=now_us(),
        verb=verb,
        subject_kind=subject.kind,
        subject_id=subject.id,
        actor=actor(),
        detail=json.dumps(detail, ensure_ascii=False),
    )


def last(source: Source, verb: str) -> int | None:
    """When something happened last, in microseconds since the epoch; None when it never did."""
    rows = source.read(_SQL["last_event"], verb=verb)
    return int(rows[0]["at_us"]) if rows else None


def nothing_yet(source: Source) -> bool:
    """Whether nothing has been recorded in a workspace since it was made."""
    return not source.read(_SQL["any_record"])[0]["any_record"]


def history(database: Database, *, after: int | None = None, limit: int = 100) -> list[Event]:
    """The newest `limit` events, or the next ones after the id `after`; oldest first."""
    rows = (
        database.read(_SQL["newest_events"], limit=limit)[::-1]
        if after is None
        else database.read(_SQL["events_after"], after=after, limit=limit)
    )
    return [
        Event(
            row["id"],
            row["at_us"],
            row["verb"],
            End(row["subject_kind"], row["subject_id"]),
            row["actor"],
            json.loads(row["detail"]),
        )
        for row in rows
    ]
