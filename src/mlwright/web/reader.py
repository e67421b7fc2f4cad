"""Who reads a page, and how they like it: language, light or dark, what they may."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from msgspec import Struct

from mlwright.server.identity import NOBODY, Identity
from mlwright.server.permissions import Permission, Role
from mlwright.web.catalogue import language_of

THEMES = ("light", "dark")


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
    cookies = SimpleCookie()
    try:
        cookies.load(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        cookies.clear()
    told = {name: each.value for name, each in cookies.items()}
    theme = told.get("theme", "")
    accepted = headers.get(b"accept-language", b"").decode("latin-1")
    return Reader(
        language_of(told.get("language", ""), accepted),
        theme if theme in THEMES else "",
        "" if identity.role is None else identity.name,
        identity.role or Role.VIEWER,
        identity.browser,
    )
