"""What happened, append-only: one row for each change, written in the transaction of the change.

Each event has a digest over what it tells and over the digest of the one before; `kernel/chain.py` compares.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.json import Encoder

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Queries, Source, Steps, Transaction
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.edges import End

_SQL = Queries.beside(__file__)
_ACTING = ContextVar("acting", default="")
_KNOWN_BY = ContextVar("known_by", default="")
_LONGEST = 1_000
_canonical = Encoder().encode
"""Of texts and whole numbers this is the canonical JSON of `kernel/digest.py`, eight times as fast."""


class Event(Struct, frozen=True):
    """Who did what to which thing, and when; `detail` holds what a reader needs to understand it.

    Args:
        digest: of the event and all before it; None of one that was recorded before there were digests.
    """

    id: int
    at_us: int
    verb: str
    subject: End
    actor: str
    detail: dict[str, Any]
    digest: Digest | None = None


@contextmanager
def acting_as(name: str, token_id: str = "") -> Iterator[None]:
    """Whatever is recorded in the block, in this thread or task, has this actor.

    Args:
        name: of who asks: the owner of a token, a person who is logged in.
        token_id: of what they are known by, if it can be taken back.
    """
    assert name, "somebody acts"
    before, known_by = _ACTING.set(name), _KNOWN_BY.set(token_id)
    try:
        yield
    finally:
        _KNOWN_BY.reset(known_by)
        _ACTING.reset(before)


def actor() -> str:
    """Who acts: whoever is told by `acting_as`, else the name this process runs under."""
    return _ACTING.get() or owner()


def acting_token() -> str:
    """The id of the token or session by which the actor is known; empty where there is none."""
    return _KNOWN_BY.get()


@cache
def owner() -> str:
    """The name this process runs under."""
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
        detail: JSON values. Of what was there already, `before` and `after` say how it changed. Of a text
            that is longer than 1,000 letters the beginning is kept.
    """
    row = {
        "at_us": now_us(),
        "verb": verb,
        "subject_kind": subject.kind,
        "subject_id": subject.id,
        "actor": actor(),
        "detail": json.dumps(_brief(detail), ensure_ascii=False),
    }

    def append(steps: Steps) -> None:
        newest = steps.read(_SQL["newest_digest"])
        before = newest[0]["digest"] if newest else None
        steps.execute(_SQL["add_event"], **row, digest=digest_of_event(row, before))

    tx.together(append)


def digest_of_event(row: dict[str, Any], before: str | None) -> Digest:
    """The digest of an event, which vouches for all that were recorded before it.

    Args:
        row: its columns, as they are stored.
        before: the digest of the one before; None of the first one that has one.
    """
    told = (row["at_us"], row["verb"], row["subject_kind"], row["subject_id"], row["actor"], row["detail"])
    return digest_of(_canonical((before, *told)), "event")


def _brief(value: Any) -> Any:
    """A value for a detail: a long text is how it begins, and how long it is."""
    match value:
        case str() if len(value) > _LONGEST:
            return f"{value[:_LONGEST]}... ({len(value):,} letters)"
        case dict():
            return {key: _brief(each) for key, each in value.items()}
    return value


def last(source: Source, verb: str) -> int | None:
    """When something happened last, in microseconds since the epoch; None when it never did."""
    rows = source.read(_SQL["last_event"], verb=verb)
    return int(rows[0]["at_us"]) if rows else None


def nothing_yet(source: Source) -> bool:
    """Whether nothing has been recorded in a workspace since it was made."""
    return not source.read(_SQL["any_record"])[0]["any_record"]
