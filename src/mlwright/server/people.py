"""People who have logged in at a provider: who they are there, and their sessions here."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Struct

from mlwright.kernel import events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Queries, Source, Transaction
from mlwright.kernel.edges import End
from mlwright.kernel.ids import new_id
from mlwright.server.oidc.id_tokens import Claims
from mlwright.server.oidc.settings import Login
from mlwright.server.permissions import Role
from mlwright.server.tokens import SESSION_US, Issued, TokenKind, issue

_SQL = Queries.beside(__file__)


class Person(Struct, frozen=True):
    """Somebody who has logged in at a provider.

    Args:
        issuer: the provider.
        subject: how it knows them, for ever.
        name: how they call themselves there; two may have one.
        email: that the provider has verified; empty without one.
        groups: those that a role hung on at the last login.
        role: at the last login; what they may now is what the settings say of the others.
        first_us: when they first came in.
        last_us: when they last logged in.
    """

    id: str
    issuer: str
    subject: str
    name: str
    email: str
    groups: tuple[str, ...]
    role: Role
    first_us: int
    last_us: int

    def role_by(self, login: Login | None) -> Role | None:
        """What they may by the settings; None where these do not name them any more, or another provider."""
        return login.role_of(self.email, self.groups) if login and login.issuer == self.issuer else None


def admit(tx: Transaction, login: Login, claims: Claims, role: Role) -> Issued:
    """Let somebody in: write down who they are, and begin a session of 12 hours.

    Args:
        login: where they logged in.
        claims: what the provider says of them.
        role: that the settings give them.
    """
    email = claims.proven_email.lower()
    # What they call themselves is theirs to choose: events name them by what the provider vouches for.
    called = email or f"{claims.subject}@{login.host}"
    now = now_us()
    rows = tx.read(_SQL["person_with"], issuer=login.issuer, subject=claims.subject)
    before = _person(rows[0]) if rows else None
    person = Person(
        new_id() if before is None else before.id,
        login.issuer,
        claims.subject,
        claims.name,
        email,
        claims.groups,
        role,
        now if before is None else before.first_us,
        now,
    )
    with events.acting_as(called):
        tx.execute(_SQL["keep_person"], **_row(person))
        if before is None or (before.role, before.email) != (role, email):
            old = None if before is None else {"email": before.email, "role": str(before.role)}
            events.record(
                tx,
                "person.admitted",
                End("person", person.id),
                name=called,
                issuer=login.issuer,
                before=old,
                after={"email": email, "role": str(role)},
            )
        return issue(tx, TokenKind.SESSION, called, role, now + SESSION_US, person_id=person.id)


def person(source: Source, identity: str) -> Person:
    """Somebody by their id, which a session has."""
    return _person(source.read(_SQL["person"], id=identity)[0])


def _row(person: Person) -> dict[str, Any]:
    told = msgspec.structs.asdict(person)
    return {**told, "groups": json.dumps(person.groups, ensure_ascii=False), "role": str(person.role)}


def _person(row: dict[str, Any]) -> Person:
    return msgspec.convert({**row, "groups": json.loads(row["groups"])}, Person)
