"""Tokens, sessions of browsers, and links that begin one: each is a random secret with a name and a role.

A secret has 256 random bits, so that a plain digest of it is as good as none of it: only that is kept, and
the secret is told once, when it is made.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from mlwright.kernel import events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Queries, Source, Transaction
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, Invalid, NotFound, nearest
from mlwright.kernel.ids import looks_like_id, new_id, short
from mlwright.server.permissions import Role

_SQL = Queries.beside(__file__)
PREFIX = "mlw_"
"""How every secret begins, so that who finds one knows what it opens."""
ANONYMOUS = "anonymous"
"""How events name who has no token."""
LONGEST_SECRET = 64
SESSION_US = 12 * 3_600_000_000
LINK_US = 10 * 60_000_000
TOUCH_US = 60_000_000
"""When a secret was used last is written no oftener."""
_KEPT_US = 7 * 86_400_000_000
"""How long sessions and links are shown after their end."""
_RANDOM_BYTES = 32
_NAME = re.compile(r"\w[\w .@+-]{0,99}")


class TokenKind(StrEnum):
    """What a secret is for."""

    TOKEN = "token"  # noqa: S105 - a kind, and no secret
    SESSION = "session"
    LINK = "link"


class Token(Struct, frozen=True):
    """What is known of a secret; not the secret.

    Args:
        kind: a program's token, a browser's session, or a link that begins a session once.
        name: who acts by it, as events tell.
        role: what it may.
        parent_id: what a session was begun with, or a link was asked for with.
        expires_us: from when on it is worth nothing; None for never.
        used_us: when it was used last, to the minute.
        revoked_us: when it was taken back, or, of a link, used.
        person_id: of a session, who has logged in at a provider: what they may is what the settings say now.
    """

    id: str
    kind: TokenKind
    name: str
    role: Role
    parent_id: str | None
    created_us: int
    expires_us: int | None
    used_us: int | None
    revoked_us: int | None
    person_id: str | None = None

    def lives(self, at_us: int) -> bool:
        """Whether it is worth anything at a moment."""
        return self.revoked_us is None and (self.expires_us is None or at_us < self.expires_us)


class Issued(Struct, frozen=True):
    """What was made, with the secret, which nobody can tell again."""

    token: Token
    secret: str


def new_secret() -> str:
    """A secret that nobody guesses."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of_secret(secret: str) -> Digest:
    """What is kept of a secret."""
    return digest_of(secret.encode("utf-8", "surrogateescape"), "secret")


def issue(
    tx: Transaction,
    kind: TokenKind,
    name: str,
    role: Role,
    expires_us: int | None = None,
    parent_id: str | None = None,
    person_id: str | None = None,
) -> Issued:
    """Make a secret.

    Args:
        name: who will act by it.
        expires_us: when it ends.
        parent_id: what a session is begun with.
        person_id: whose session it is, who has logged in at a provider.

    Raises:
        Invalid: the name cannot be one.
        Conflict: a token that is in use has the name, or the owner.
    """
    now = now_us()
    if kind is TokenKind.TOKEN:
        check_name(name)
        refuse_owner(name)
        check_free(tx, name, now)
    else:
        tx.execute(_SQL["forget_tokens"], before_us=now - _KEPT_US)
    token = Token(new_id(), kind, name, role, parent_id, now, expires_us, None, None, person_id)
    secret = new_secret()
    tx.execute(
        _SQL["add_token"],
        **{key: value for key, value in _row(token).items() if key not in {"used_us", "revoked_us"}},
        digest=digest_of_secret(secret),
    )
    events.record(
        tx, f"{token.kind}.created", End("token", token.id), name=name, role=str(role), expires_us=expires_us
    )
    return Issued(token, secret)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a token.

    Raises:
        Invalid: it is empty, too long, or has signs that no name has.
    """
    if not _NAME.fullmatch(name) or name == ANONYMOUS:
        raise Invalid(
            f"{name[:100]!r} cannot be a token's name",
            where="name",
            hint="up to 100 letters, digits, spaces and . _ - @ +; it begins with a letter or digit",
        )


def refuse_owner(name: str) -> None:
    """Refuse the name of who runs this: what is done by a token would be told as the owner's.

    Raises:
        Conflict: it is that.
    """
    if name == events.owner():
        raise Conflict(f"{name} is the owner's name", where="name", hint=f"take another name: {name}-laptop")


def check_free(source: Source, name: str, at_us: int) -> None:
    """Refuse a name that is taken: what is done by two is told of by one name.

    Raises:
        Conflict: a token that is in use has it.
    """
    refuse_taken(name, (row["name"] for row in source.read(_SQL["tokens_named"], name=name, now_us=at_us)))


def refuse_taken(name: str, taken: Iterable[str]) -> None:
    """The same among names that are known.

    Raises:
        Conflict: a token that is in use has it.
    """
    if name in taken:
        raise Conflict(
            f"there is a token {name} already",
            where="name",
            hint=f"take another name, or take the old one back: mlwright tokens revoke {name!r}",
        )


def find(source: Source, secret: str, kind: TokenKind) -> Token | None:
    """What a secret is of; None if it is no secret of this kind, or worth nothing any more.

    It is looked up by its digest, so that how long that takes says nothing of any secret.
    """
    if len(secret) > LONGEST_SECRET or not secret.startswith(PREFIX):
        return None
    rows = source.read(_SQL["token_with"], digest=digest_of_secret(secret))
    token = _token(rows[0]) if rows else None
    return token if token is not None and token.kind is kind and token.lives(now_us()) else None


def known(source: Source, identity: str) -> Token | None:
    """What is known of a token, a session or a link by its id; None if it is worth nothing any more."""
    rows = source.read(_SQL["token_by_id"], id=identity)
    token = _token(rows[0]) if rows else None
    return token if token is not None and token.lives(now_us()) else None


def touch(tx: Transaction, identity: str) -> None:
    """Write down that a secret was used now."""
    now = now_us()
    tx.execute(_SQL["touch_token"], id=identity, now_us=now, unless_us=now - TOUCH_US)


def begin_session(tx: Transaction, secret: str, kind: TokenKind) -> Issued | None:
    """Exchange a link, which is then used, or a token for the session of a browser, of 12 hours at most.

    Returns:
        None if the secret is worth nothing.
    """
    found = find(tx, secret, kind)
    if found is None:
        return None
    now = now_us()
    if kind is TokenKind.LINK and not tx.execute(_SQL["use_link"], id=found.id, now_us=now):
        return None
    # A link is for minutes, and its session for hours: that ends with what the link was asked for with.
    giver = found if kind is TokenKind.TOKEN else _giver(tx, found.parent_id)
    with events.acting_as(found.name):
        end_us = _end(now + SESSION_US, giver)
        # Only an admin makes links: one for less stays less, whatever the person may.
        person_id = giver.person_id if giver is not None and found.role is Role.ADMIN else None
        return issue(tx, TokenKind.SESSION, found.name, found.role, end_us, found.id, person_id=person_id)


def issue_link(tx: Transaction, name: str, role: Role) -> Issued:
    """Make a link with which a browser is let in once, within 10 minutes.

    It belongs to the token or session of who asks: it and the session it begins end with that at the latest.

    Raises:
        Conflict: that was taken back or has expired since it was asked.
    """
    giver = _giver(tx, events.acting_token() or None)
    parent_id = None if giver is None else giver.id
    return issue(tx, TokenKind.LINK, name, role, _end(now_us() + LINK_US, giver), parent_id)


def _giver(source: Source, identity: str | None) -> Token | None:
    """What a link belongs to; None for one of the workspace's own.

    Raises:
        Conflict: it is worth nothing any more.
    """
    if identity is None:
        return None
    if (giver := known(source, identity)) is None:
        raise Conflict("what the link belongs to was taken back, or has expired", hint="log in again")
    return giver


def _end(end_us: int, giver: Token | None) -> int:
    return end_us if giver is None or giver.expires_us is None else min(end_us, giver.expires_us)


def tokens(source: Source) -> list[Token]:
    """All that were ever made, oldest first; of sessions and links those that ended this week."""
    return [_token(row) for row in source.read(_SQL["tokens"])]


def living(source: Source) -> list[Token]:
    """Those that are worth something now, oldest first."""
    now = now_us()
    return [each for each in tokens(source) if each.lives(now)]


def has_admin(source: Source) -> bool:
    """Whether there is a token with which everything may be done."""
    return bool(source.read(_SQL["admin_tokens"], now_us=now_us())[0]["tokens"])


def meant(reference: str, every: list[Token]) -> list[Token]:
    """Those in use that a reference means, and all links and sessions that come from them.

    Args:
        reference: an id or the beginning of one; or a name: all that goes by it.
        every: to choose from, with those that have ended: a used link is between a token and a session.

    Raises:
        NotFound: none.
        Invalid: the beginning of several ids.
    """
    now = now_us()
    living = [each for each in every if each.lives(now)]
    found = [each for each in living if each.name == reference]
    if not found and looks_like_id(reference):
        found = [each for each in living if each.id.startswith(reference.upper())]
        if len(found) > 1:
            ids = ", ".join(short(each.id) for each in found[:5])
            raise Invalid(f"{reference} is the beginning of several ids", hint=f"give more of it: {ids}")
    if not found:
        raise NotFound(
            f"nothing that is in use is called {reference[:100]!r}",
            hint=nearest(reference, sorted({each.name for each in living})) or "mlwright tokens list",
        )
    first = {each.id for each in found}
    family = _family(first, every)
    return found + [each for each in living if each.id in family and each.id not in first]


def _family(first: set[str], every: list[Token]) -> set[str]:
    """The ids of these and of all that come from them, over as many generations as there are."""
    children: dict[str | None, list[str]] = {}
    for each in every:
        children.setdefault(each.parent_id, []).append(each.id)
    family: set[str] = set()
    left = list(first)
    while left:
        identity = left.pop()
        if identity not in family:
            family.add(identity)
            left += children.get(identity, [])
    return family


def revoke(tx: Transaction, reference: str) -> list[Token]:
    """Take back what a reference means: the very next request is refused.

    Returns:
        What was taken back.

    Raises:
        NotFound: nothing that is in use is called so.
        Invalid: the beginning of several ids.
    """
    now = now_us()
    found = meant(reference, tokens(tx))
    for token in found:
        tx.execute(_SQL["revoke_token"], id=token.id, now_us=now)
        events.record(
            tx, f"{token.kind}.revoked", End("token", token.id), name=token.name, role=str(token.role)
        )
    return [msgspec.structs.replace(each, revoked_us=now) for each in found]


def _row(token: Token) -> dict[str, Any]:
    return {**msgspec.structs.asdict(token), "kind": str(token.kind), "role": str(token.role)}


def _token(row: dict[str, Any]) -> Token:
    return msgspec.convert(row, Token)
