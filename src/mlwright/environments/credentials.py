"""Passwords of package indexes: never shown, and never in a lock."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

from mlwright.kernel.errors import Invalid

_LOGIN = re.compile(r"(\b[a-zA-Z][\w+.-]*://)([^\s/@'\"`]*)@")
_ADDRESS = re.compile(r"((?:\b[a-zA-Z][\w+.-]*:)?/{2,}|\b[a-zA-Z][\w+.-]+:/)([^\s'\"`]*)")
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d+)?")
_SHORTEST = 4


def masked(text: str) -> str:
    """A text in which no address says who logs in there, and no password of an index's variable stands."""
    text = _LOGIN.sub(r"\1****@", text)
    for secret in _secrets():
        text = text.replace(secret, "****")
    return text


def shown(line: str) -> str:
    """A line of a user's as it may be repeated: of an address only the host, since a token may stand anywhere
    behind it, as in that of an index or a channel."""
    return repr(_ADDRESS.sub(lambda found: found[1] + _host_alone(found[2]), masked(line)))


def has_login(text: str) -> bool:
    """Whether an address in a text has a password, or a name that only its user has."""
    return next(_logins(text), None) is not None


def refuse_credentials(text: str, what: str, where: str | None = None) -> None:
    """Refuse a text that would be stored and has a password in an address.

    Raises:
        Invalid: it has. A user name alone, as of `ssh://git@host`, is none.
    """
    for beginning in _logins(text):
        raise Invalid(
            f"{what} holds a user name or a password for {_host_after(text, beginning)},"
            " and would be stored with it",
            where=where,
            hint="write the address without them, and give them in ~/.netrc, or for an index NAME by"
            " UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD",
        )


def _logins(text: str) -> Iterator[str]:
    """The addresses that say who logs in, up to @: `git@` is everybody, and by ssh no name is secret."""
    for scheme, login in _LOGIN.findall(text):
        if ":" in login or (scheme.endswith(("http://", "https://")) and login != "git"):
            yield scheme + login


def _host_alone(rest: str) -> str:
    """What follows the slashes of an address, up to the end of its host."""
    host, *more = re.split(r"[/?#]", rest.replace("****@", ""), maxsplit=1)
    if not _HOST.fullmatch(host):
        return "****"
    return f"{host}/****" if more and more[0] else host


def _host_after(text: str, beginning: str) -> str:
    rest = text.partition(f"{beginning}@")[2]
    return re.split(r"[/\s'\"`?#]", rest, maxsplit=1)[0] or "a host"


def _secrets() -> list[str]:
    """What may be a password: of an index's own variable, or in an address that uv is told by one."""
    found = []
    for name, value in os.environ.items():
        if name.startswith("UV_") and name.endswith(("_PASSWORD", "_TOKEN")):
            found.append(value)
        elif name.startswith(("UV_", "PIP_")):
            for _, login in _LOGIN.findall(value):
                secret = login.rpartition(":")[2]
                found += [secret, unquote(secret)]
    return sorted((each for each in set(found) if len(each) >= _SHORTEST), key=len, reverse=True)
