"""Who reads a page, and how they like it: language, light or dark, what they may."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from mlwright.server.identity import NOBODY, Identity
from mlwright.server.permissions import Permission, Role
from mlwright.web.catalogue import language_of

THEMES = ("light", "dark")
_LIKES = (b"theme", b"language")
_LONGEST = 20


class Reader(Struct, frozen=True):
    """A reader.

    Args:
        theme: `light` or `dark`; empty for what their system says.
        name: empty for who is not logged in.
        role: what they may; who is nobody may look.
        browser: whether they have a session, which they can end.
    """

    language: str
    theme: str
    name: str
    role: Role
    browser: bool

    def may(self, permission: str) -> bool:
        """Whether they may do what needs this."""
        return self.role.may(Permission(permission))


def reader_of(headers: Mapping[bytes, bytes], identity: Identity = NOBODY) -> Reader:
    """The reader that sends these headers.

    Args:
        headers: with names in small letters.
        identity: who they are.
    """
    told = _liked(headers.get(b"cookie", b""))
    theme = told.get("theme", "")
    accepted = headers.get(b"accept-language", b"").decode("latin-1")
    return Reader(
        language_of(told.get("language", ""), accepted),
        theme if theme in THEMES else "",
        "" if identity.role is None else identity.name,
        identity.role or Role.VIEWER,
        identity.browser,
    )


def _liked(header: bytes) -> dict[str, str]:
    """The cookies in which a browser keeps what its reader likes.

    Python's own reader of cookies takes quotes apart in quadratic time, and is not asked.
    """
    told: dict[str, str] = {}
    for each in header.split(b";"):
        name, _, value = each.strip().partition(b"=")
        if name in _LIKES and len(value) <= _LONGEST:
            told[name.decode()] = value.decode("latin-1")
    return told
