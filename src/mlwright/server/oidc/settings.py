"""The setting `login`: where people log in, and who of them may what, checked at the door."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.kernel.sockets import is_loopback
from mlwright.server.permissions import Role

EMAIL = re.compile(r"[a-z0-9.!#$%&'+/=?^_`{|}~-]{1,64}@(?P<domain>[a-z0-9-]+(?:\.[a-z0-9-]+)*)", re.ASCII)
"""An e-mail address in small letters. One with other letters than these is nobody's here: two that look the
same could be two, and one with `*` or `:` could be read as a rule."""
GROUP = "group:"
_ANY = "*@"
_WHERE = "[tool.mlwright.login] in pyproject.toml"
_KNOWN = ("issuer", "client_id", "client_secret", "roles", "scopes")
_TEXT = re.compile(r"[\x21-\x7e]{1,255}")
_PACKAGES = ("jwt", "cryptography")


class Login(Struct, frozen=True):
    """Where people log in, and what they may.

    Args:
        issuer: how the provider calls itself: `https://accounts.example.com`.
        client_id: how it calls us.
        client_secret: where what we prove that with is: `env:NAME`, `file:PATH`; empty for a public client.
        roles: what those may who have an e-mail address, one of a domain (`*@example.com`), or a group
            (`group:NAME`).
        scopes: what the provider is asked to tell.
        folder: what a relative PATH starts from.
    """

    issuer: str
    client_id: str
    client_secret: str = ""
    roles: dict[str, Role] = {}
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    folder: Path = Path()

    @property
    def host(self) -> str:
        """How people know the provider: the name of its machine."""
        return urlsplit(self.issuer).hostname or ""

    @property
    def has_admin(self) -> bool:
        """Whether somebody may do everything."""
        return Role.ADMIN in self.roles.values()

    def groups_among(self, told: Iterable[str]) -> tuple[str, ...]:
        """Those groups that a role hangs on: of the others nothing is kept."""
        return tuple(sorted({each for each in told if GROUP + each in self.roles}))

    def role_of(self, email: str, groups: Iterable[str]) -> Role | None:
        """What somebody may; None for who is not named.

        Args:
            email: that the provider has verified, in ASCII; empty without one.
            groups: that the provider says they are in.

        Returns:
            What their own address is given; else the most that a group or their domain is given.
        """
        address = email.lower()
        parts = EMAIL.fullmatch(address)
        if parts is not None and address in self.roles:
            return self.roles[address]
        keys = [GROUP + each for each in groups] + ([_ANY + parts["domain"]] if parts is not None else [])
        found = [self.roles[key] for key in keys if key in self.roles]
        return max(found, key=list(Role).index, default=None)

    def secret(self) -> str | None:
        """What we prove with who we are, read now; None of a public client.

        Raises:
            Unavailable: it is not where it should be.
        """
        how, _, name = self.client_secret.partition(":")
        if not how:
            return None
        if how == "env":
            found, told = os.environ.get(name, ""), f"the variable {name}, which has the secret of the login,"
        else:
            found, told = _read(self.folder / Path(name).expanduser()), f"the file {name} with it"
        if not found.strip():
            raise Unavailable(f"{told} is not there, or empty", where=f"`client_secret` of {_WHERE}")
        return found.strip()


def parse_login(told: Mapping[str, Any], folder: Path = Path()) -> Login | None:
    """The setting as it is meant; None where nobody logs in at a provider.

    Args:
        told: the table.
        folder: of the project.

    Raises:
        Invalid: something is wrong in it.
    """
    if not told:
        return None
    if unknown := sorted(set(told) - set(_KNOWN)):
        raise _wrong(f"unknown setting `{unknown[0]}`", f"known settings: {', '.join(_KNOWN)}")
    try:
        login = msgspec.convert(told, Login)
    except msgspec.ValidationError as error:
        raise _wrong(
            f"a setting of the login is wrong: {error}", "docs/people.md has one that is right"
        ) from None
    _check_issuer(login.issuer)
    if not _TEXT.fullmatch(login.client_id):
        raise _wrong(
            "`client_id` cannot be one",
            "write it as the provider shows it, up to 255 letters",
        )
    kind, _, name = login.client_secret.partition(":")
    if login.client_secret and (kind not in {"env", "file"} or not name):
        raise _wrong(
            "`client_secret` holds no secret, but says where it is",
            'write client_secret = "env:NAME", or "file:PATH"',
        )
    if "openid" not in login.scopes or not all(_TEXT.fullmatch(each) for each in login.scopes):
        raise _wrong("`scopes` lacks openid, or has what is no scope", 'write ["openid", "email", "profile"]')
    return msgspec.structs.replace(login, roles=_rules(login.roles), folder=folder)


def check_packages() -> None:
    """Refuse to begin without what looks at the provider's signatures.

    Raises:
        Unavailable: the packages of the extra `login` are missing.
    """
    if missing := [each for each in _PACKAGES if find_spec(each) is None]:
        raise Unavailable(
            f"{missing[0]} is not installed, which the login needs", hint="uv pip install 'mlwright[login]'"
        )


def is_private_enough(url: str, *, loopback: bool) -> bool:
    """Whether nobody on the way reads what is sent to an address: by https, or within this machine.

    Args:
        url: the address.
        loopback: whether this machine is meant at all.
    """
    try:
        parts = urlsplit(url)
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not _TEXT.fullmatch(url[:255]) or not url.isascii() or not url.isprintable() or " " in url:
        return False
    if not name or parts.username is not None or parts.password is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and loopback and is_here(url))


def is_here(url: str) -> bool:
    """Whether an address is one of this machine's own."""
    name = urlsplit(url).hostname or ""
    return name == "localhost" or is_loopback(name)


def _check_issuer(issuer: str) -> None:
    if not is_private_enough(issuer, loopback=True) or urlsplit(issuer).query or len(issuer) > 255:
        raise _wrong(
            f"`issuer` cannot be {issuer[:100]!r}",
            "write it as the provider shows it: https://HOST, or https://HOST/PATH; http is for this machine",
        )


def _rules(told: Mapping[str, Role]) -> dict[str, Role]:
    """Who may what; addresses in small letters."""
    if not told:
        raise _wrong("`roles` names nobody", 'write roles = { "you@example.com" = "admin" }')
    rules: dict[str, Role] = {}
    for key, role in told.items():
        name = key if key.startswith(GROUP) else key.lower()
        address = name if not name.startswith(_ANY) else f"any{name[1:]}"
        if not (EMAIL.fullmatch(address) or (name.startswith(GROUP) and name != GROUP)):
            raise _wrong(
                f"`roles` cannot name {key[:100]!r}",
                "write an e-mail address, *@DOMAIN for all of one, or group:NAME",
            )
        if name in rules:
            raise _wrong(f"`roles` names {name} twice", "capital letters make no other address")
        rules[name] = role
    return rules


def _wrong(message: str, hint: str) -> Invalid:
    return Invalid(message, where=_WHERE, hint=hint)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
