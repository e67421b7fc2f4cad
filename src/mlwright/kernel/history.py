"""What happened, as it is asked for: the newest events first, or those after one that is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel.clock import Moment, now_us
from mlwright.kernel.database import Queries, Source
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Invalid
from mlwright.kernel.events import Event
from mlwright.kernel.fields import Field, Space
from mlwright.kernel.grammar import Comparison, Order, check_text
from mlwright.kernel.pages import Page
from mlwright.kernel.search import Wanted, find
from mlwright.kernel.words import cut

_SQL = Queries.beside(__file__)
MOST = 10_000
"""Events on one page."""
_AT_ONCE = 1_000
_VERB = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)?")
_COLUMNS = ("id", "at_us", "verb", "subject_kind", "subject_id", "actor", "detail", "digest")

EVENTS = Space(
    noun="event",
    table="event",
    name="event",
    id="event.id",
    fields={
        "number": Field("event.id", "number"),
        "at": Field("event.at_us", "moment"),
        "verb": Field("event.verb", start="event.verb"),
        # Not the column itself: SQLite would take all of a noun by its index, and sort them.
        "noun": Field("(event.verb || '')", start="event.verb"),
        "subject": Field("event.subject_id", start="event.subject_id"),
        "kind": Field("event.subject_kind"),
        "actor": Field("event.actor", start="event.actor"),
    },
    newest="event.id",
    ties=(("event.id", True),),
)


class EventFilter(Struct, frozen=True):
    """Which events.

    Args:
        verb: `alias.moved`; or a noun for all of its verbs, `alias`.
        subject: what they happened to.
        actor: who did it.
        since: none that happened before: `2h` (ago), `2026-11-20`, `2026-11-20T15:30`.
        until: none that happened then or later; likewise.
        after: the ones that were recorded after the event with this number, oldest first; without it the
            newest, newest first.
        limit: at most so many on a page.
        token: of the page before; empty for the first.
    """

    verb: str = ""
    subject: End | None = None
    actor: str = ""
    since: Moment = None
    until: Moment = None
    after: int | None = None
    limit: int = 100
    token: str = ""


_ALL = EventFilter()


def history(source: Source, wanted: EventFilter = _ALL, *, up_to: int | None = None) -> Page[Event]:
    """Those events that are wanted; by default the newest 100, newest first.

    Args:
        up_to: the number of the last that counts; what came after it is as if it had not happened.

    Raises:
        Invalid: a word of it cannot be understood, or the token belongs to another search.
    """
    asked = _asked(wanted)
    return _found(source, wanted, asked if up_to is None else [*asked, _number("<=", up_to)])


def follow(
    source: Source, after: int, pause: Callable[[], object], wanted: EventFilter = _ALL
) -> Iterator[Event]:
    """Events as they come, oldest first, without an end.

    Args:
        after: the number of an event that is known; 0 for all there are.
        pause: is called when there is nothing new; whatever it raises ends this.
        wanted: which of them; its `after`, `limit` and `token` do not count.

    Raises:
        Invalid: a word of it cannot be understood.
    """
    while True:
        newest = newest_id(source)
        while after < newest:
            page = history(source, replace(wanted, after=after, limit=_AT_ONCE, token=""), up_to=newest)
            yield from page.found
            after = page.found[-1].id if page.token else newest
        pause()


def newest_id(source: Source) -> int:
    """The number of the newest event; 0 when there is none."""
    return int(source.read(_SQL["newest_event"])[0]["id"])


def _found(source: Source, wanted: EventFilter, asked: list[Comparison]) -> Page[Event]:
    if not 1 <= wanted.limit <= MOST:
        raise Invalid(f"a page of events has 1 to {MOST:,}, not {wanted.limit}")
    order = Order("attribute", "number", descending=wanted.after is None)
    search = Wanted(tuple(asked), (order,), limit=wanted.limit, token=wanted.token)
    page = find(source, EVENTS, search, _COLUMNS, now_us())
    return Page([_event(row) for row in page.found], page.token)


def _asked(wanted: EventFilter) -> list[Comparison]:
    if wanted.verb and not _VERB.fullmatch(wanted.verb):
        raise Invalid(
            f"{cut(wanted.verb, 60)!r} is no verb of an event",
            hint="a noun and what was done, as alias.moved; or the noun alone",
        )
    noun = bool(wanted.verb) and "." not in wanted.verb
    subject = wanted.subject
    asked = []
    for key, sign, value in (
        ("noun", "LIKE", f"{wanted.verb}.%" if noun else None),
        ("verb", "=", None if noun else wanted.verb or None),
        ("subject", "=", None if subject is None else subject.id),
        ("kind", "=", None if subject is None else subject.kind),
        ("actor", "=", wanted.actor or None),
        ("at", ">=", wanted.since),
        ("at", "<", wanted.until),
    ):
        if value is not None:
            text = value.isoformat() if isinstance(value, datetime) else str(value)
            check_text(text, key)
            asked.append(Comparison("attribute", key, sign, text))
    return asked if wanted.after is None else [*asked, _number(">", wanted.after)]


def _number(sign: str, number: int) -> Comparison:
    return Comparison("attribute", "number", sign, max(-(2**63), min(number, 2**63 - 1)))


def _event(row: dict[str, Any]) -> Event:
    return Event(
        row["id"],
        row["at_us"],
        row["verb"],
        End(row["subject_kind"], row["subject_id"]),
        row["actor"],
        json.loads(row["detail"]),
        row["digest"],
    )
