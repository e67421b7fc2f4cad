"""Doors: the operations on tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlwright.kernel.clock import iso, now_us, parse_duration
from mlwright.kernel.errors import Invalid
from mlwright.kernel.events import actor
from mlwright.kernel.ids import short
from mlwright.kernel.pages import Limit, Page, page_of
from mlwright.kernel.plan import Change, Plan
from mlwright.server import tokens
from mlwright.server.operations import operation
from mlwright.server.permissions import Permission, Role
from mlwright.server.tokens import Issued, Token, TokenKind, check_name, living, meant

if TYPE_CHECKING:
    from mlwright.app import Project

_LONGEST_US = 100 * 365 * 86_400_000_000


@operation("GET", "/tokens", Permission.ADMIN)
def list_tokens(project: Project, *, every: bool = False, limit: Limit = 100, token: str = "") -> Page[Token]:
    """The tokens, sessions and links that are in use, oldest first; never their secrets.

    Args:
        every: also those that have expired or were taken back; of sessions and links those of this week.
        limit: at most so many on a page.
        token: of the page before; empty for the first.

    Raises:
        Invalid: the token belongs to another search.
    """
    found = (tokens.tokens if every else living)(project.rooms.database)
    return page_of(found, lambda each: (each.created_us, each.id), f"tokens {every}", limit, token)


@operation("POST", "/tokens", Permission.ADMIN, status=201, secret=True)
def create_token(project: Project, *, name: str, role: Role, expires: str | None = None) -> Issued:
    """Make a token. Its secret is in this answer only.

    Args:
        name: who will act by it, as events tell.
        role: `viewer` reads, `contributor` writes, `deployer` deploys, `admin` does everything.
        expires: when it ends: `12h`, `30d`; without, it has no end.

    Raises:
        Invalid: the name or the length of time cannot be one.
        Conflict: a token that is in use has the name, or the owner.
    """
    end = end_after(expires)
    with project.rooms.database.transaction() as tx:
        return tokens.issue(tx, TokenKind.TOKEN, name, role, end)


@operation("POST", "/tokens/links", Permission.ADMIN, status=201, secret=True)
def create_link(project: Project, *, role: Role = Role.ADMIN) -> Issued:
    """Make a link that lets a browser in, once, within 10 minutes: `/login?key=` and the secret.

    Args:
        role: of the session, which has the name of who asks.
    """
    with project.rooms.database.transaction() as tx:
        return tokens.issue_link(tx, actor(), role)


@operation("DELETE", "/tokens/{token}", Permission.ADMIN)
def revoke_token(project: Project, token: str) -> list[Token]:
    """Take back a token, a session or a link, and all links and sessions that come from it, at once.

    Args:
        token: its id, the beginning of it; or a name: all that goes by it.

    Returns:
        What was taken back.

    Raises:
        NotFound: nothing that is in use is called so.
        Invalid: the beginning of several ids.
    """
    with project.rooms.database.transaction() as tx:
        return tokens.revoke(tx, token)


OPERATIONS = (list_tokens, create_token, create_link, revoke_token)
"""All of them."""


def end_after(expires: str | None) -> int | None:
    """When a token ends that is made now.

    Raises:
        Invalid: it is no length of time, or none that ends.
    """
    if expires is None:
        return None
    length_us = parse_duration(expires)
    if not 0 < length_us <= _LONGEST_US:
        raise Invalid(f"a token cannot end after {expires}", where="expires", hint="write 12h, 30d, 52w")
    return now_us() + length_us


def plan_create(known: list[Token], name: str, role: Role, expires: str | None, *, here: bool) -> Plan:
    """What `create_token` will do.

    Args:
        known: the tokens in use.
        name: of the new one.
        role: what it may.
        expires: when it ends.
        here: whether this process is the owner's; elsewhere only the server knows the owner's name.

    Raises:
        Invalid, Conflict: as it does.
    """
    check_name(name)
    if here:
        tokens.refuse_owner(name)
    tokens.refuse_taken(name, (each.name for each in known if each.kind is TokenKind.TOKEN))
    end_us = end_after(expires)
    until = "without an end" if end_us is None else f"until {iso(end_us)}"
    return Plan(f"make the token {name}", (Change("add", f"token {name}", f"{role}, {until}"),))


def plan_link() -> Plan:
    """What `create_link` will do."""
    return Plan(
        "make a link that lets a browser in", (Change("add", f"link of {actor()}", "for 10 minutes"),)
    )


def plan_revoke(every: list[Token], reference: str) -> Plan:
    """What `revoke_token` will do.

    Args:
        every: the tokens, with those that have ended.
        reference: what is to be taken back.

    Raises:
        NotFound, Invalid: as it does.
    """
    changes = tuple(
        Change("remove", f"{each.kind} {short(each.id)}", f"{each.name}, {each.role}")
        for each in meant(reference, every)
    )
    return Plan(f"take back {reference}", changes)
