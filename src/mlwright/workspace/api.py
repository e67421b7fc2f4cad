"""Doors: the operations on the workspace, and what happened in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from mlwright.kernel.chain import Chain
from mlwright.kernel.events import Event
from mlwright.kernel.history import EventFilter
from mlwright.kernel.pages import Limit, Page
from mlwright.server.operations import operation
from mlwright.server.permissions import Permission
from mlwright.workspace.summary import Summary

if TYPE_CHECKING:
    from mlwright.app import Project

Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_PAUSE_S = 0.25


class ToldEvent(Struct, frozen=True):
    """An event, and how what it happened to is named to people."""

    event: Event
    label: str


@operation("GET", "/workspace", Permission.READ)
def show_workspace(project: Project) -> Summary:
    """Where the workspace lies, what is recorded in it, and how much room it takes."""
    return project.summary()


@operation("GET", "/events", Permission.READ)
def list_events(
    project: Project,
    *,
    verb: str = "",
    subject: str = "",
    actor: str = "",
    since: str | None = None,
    until: str | None = None,
    after: Number | None = None,
    limit: Limit = 50,
    token: str = "",
) -> Page[ToldEvent]:
    """What happened, newest first; or, after a number, what came next.

    Args:
        verb: `alias.moved`; or a noun for all of its verbs, `alias`.
        subject: what it happened to, as lineage takes it, or `KIND:ID`.
        actor: who did it.
        since: none that happened before: `2h` (ago), `2026-11-20`.
        until: none that happened then or later.
        after: the number of the event before.
        limit: at most so many on a page.
        token: of the page before; empty for the first.

    Raises:
        Invalid: a word of it cannot be understood.
        NotFound: nothing is named as the subject.
    """
    wanted = EventFilter(
        verb=verb, actor=actor, since=since, until=until, after=after, limit=limit, token=token
    )
    page = project.events(wanted, subject=subject)
    return Page([ToldEvent(each, project.named(each.subject)) for each in page.found], page.token)


@operation("GET", "/events/follow", Permission.READ)
def follow_events(
    project: Project,
    *,
    verb: str = "",
    subject: str = "",
    actor: str = "",
    since: str | None = None,
    until: str | None = None,
    after: Number | None = None,
    limit: Limit = 50,
    pause: Callable[[float], object] = time.sleep,
) -> Iterator[ToldEvent]:
    """Events as they come, oldest first, without an end.

    Args:
        verb: `alias.moved`; or a noun for all of its verbs, `alias`.
        subject: what it happens to, as lineage takes it, or `KIND:ID`.
        actor: who does it.
        since: none that happened before: `2h` (ago), `2026-11-20`.
        until: none that happened then or later.
        after: the number of the event before the first; without it the newest ones are told first.
        limit: so many of those.

    Raises:
        Invalid: a word of it cannot be understood.
        NotFound: nothing is named as the subject.
    """
    wanted = EventFilter(verb=verb, actor=actor, since=since, until=until, after=after, limit=limit)
    for each in project.follow_events(lambda: pause(_PAUSE_S), wanted, subject=subject):
        yield ToldEvent(each, project.named(each.subject))


@operation("GET", "/events/verify", Permission.READ)
def verify_events(project: Project, *, head: str = "") -> Chain:
    """Whether the events are those that were recorded: each has a digest over itself and all before it.

    Args:
        head: a digest that was told earlier: all events up to it must still be there.

    Raises:
        Invalid: it is no digest.
    """
    return project.verify_events(head)


OPERATIONS = (show_workspace, list_events, follow_events, verify_events)
"""All of them."""
