"""Whether the events are those that were recorded: each has a digest over itself and the one before.

Whoever changes, takes away, puts in or reorders rows leaves one that does not fit. Whoever can write to the
database can also make all digests anew: against that, a head that was noted elsewhere is compared.
"""

from __future__ import annotations

from msgspec import Struct

from mlwright.kernel.database import Queries, Source
from mlwright.kernel.digest import Digest, is_digest
from mlwright.kernel.errors import Invalid
from mlwright.kernel.events import digest_of_event
from mlwright.kernel.words import are_counted

_SQL = Queries.beside(__file__)
_PAGE_ROWS = 5_000


class Chain(Struct, frozen=True):
    """What was found of the events.

    Args:
        covered: how many fit, from the first one that has a digest on.
        uncovered: how many were recorded before there were digests: nothing vouches for them.
        head: the digest of the last that fits, for all of them; None when there is none. Note it elsewhere.
        newest: the number of that event; 0 when there is none.
        noted: the number of the event that the head which was asked about is of.
        fault: what is wrong; empty when nothing is.
        at: the number of the first event that does not fit, or is not there.
    """

    covered: int = 0
    uncovered: int = 0
    head: Digest | None = None
    newest: int = 0
    noted: int | None = None
    fault: str = ""
    at: int | None = None


def head(source: Source) -> Digest | None:
    """The digest of the newest event, which is one of all; None when it has none. Nothing is verified."""
    rows = source.read(_SQL["newest_digest"])
    return rows[0]["digest"] if rows else None


def verify(source: Source, noted: str = "") -> Chain:
    """Read all events, a few thousand at a time, and compare the digest of each.

    Args:
        source: what is recorded meanwhile is read too.
        noted: a head that was told earlier: all up to it must still be there.

    Raises:
        Invalid: `noted` is no digest.
    """
    noted = noted.strip().removeprefix("b3:").lower()
    if noted and not is_digest(noted):
        raise Invalid(
            "the head is no digest: it has 64 hexadecimal digits",
            hint="give it whole, as it was told: mlwright events --verify",
        )
    given = max((int(row["last"]) for row in source.read(_SQL["events_given"])), default=0)
    walk = _Walk(source, noted)
    walk.go()
    if not walk.fault and walk.last < given:
        walk.say(walk.last + 1, f"the newest {are_counted(given - walk.last, 'event')} not there any more")
    if not walk.fault and noted and walk.noted is None:
        walk.fault = "no event has the digest that was noted: the newest are gone, or all were written anew"
    return Chain(walk.covered, walk.uncovered, walk.head, walk.last, walk.noted, walk.fault, walk.at)


class _Walk:
    """One walk along the events, up to the first that does not fit."""

    def __init__(self, source: Source, noted: str) -> None:
        self._source, self._wanted = source, noted
        self.covered = self.uncovered = self.last = 0
        self.head: Digest | None = None
        self.noted: int | None = None
        self.fault, self.at = "", None  # type: str, int | None

    def say(self, number: int, fault: str) -> None:
        """Remember what is wrong first."""
        self.fault, self.at = fault, number

    def go(self) -> None:
        """From the first to the newest."""
        begins = self._source.read(_SQL["event_chain"])
        if len(begins) != 1:
            self.say(1, "where the digests begin is not on record any more")
            return
        begins_after, after = int(begins[0]["begins_after"]), 0
        while rows := self._source.read(_SQL["events_in_a_row"], after=after, limit=_PAGE_ROWS):
            for row in rows:
                if row["id"] <= begins_after:
                    self.uncovered, self.last = self.uncovered + 1, row["id"]
                    continue
                expected = max(self.last, begins_after) + 1
                if row["id"] != expected:
                    self.say(expected, f"event {expected} is not there: the next one is {row['id']}")
                    return
                if row["digest"] is None or row["digest"] != digest_of_event(row, self.head):
                    self.say(expected, f"event {expected} is not what was recorded after the one before it")
                    return
                self.covered, self.last, self.head = self.covered + 1, expected, row["digest"]
                if row["digest"] == self._wanted:
                    self.noted = expected
            after = rows[-1]["id"]
