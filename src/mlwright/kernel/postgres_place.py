"""Where a PostgreSQL database is: an address that holds no password, and what is told of it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from mlwright.kernel.errors import Invalid, Unavailable

SCHEMES = ("postgresql", "postgres")
_SECRETS = {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
"""The options of libpq whose value is a secret; of these only `password` can be a reference."""
_HINT = "write postgresql://USER@HOST/DATABASE?password=env:NAME or file:PATH, or use PGPASSWORD or ~/.pgpass"


class PostgresPlace(Struct, frozen=True):
    """A database of a PostgreSQL server.

    Args:
        url: its address, as libpq reads it, without a password; this is what may be shown.
        password: where the password is: `env:NAME`, `file:PATH`; empty to leave it to libpq.
        folder: what a relative PATH starts from.
    """

    url: str
    password: str = ""
    folder: Path = Path()

    @property
    def options(self) -> frozenset[str]:
        """The names of libpq's options that the address gives."""
        return frozenset(name for name, _ in parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    def secret(self) -> str | None:
        """The password, read now; None to leave it to libpq.

        Raises:
            Unavailable: it is not where it should be.
        """
        how, _, name = self.password.partition(":")
        if how == "env":
            if (value := os.environ.get(name)) is None:
                raise Unavailable(
                    f"the variable {name}, which has the password of the database, is not set", where=self.url
                )
            return value
        if how == "file":
            path = self.folder / Path(name).expanduser()
            try:
                return path.read_text(encoding="utf-8").rstrip("\n")
            except (OSError, UnicodeDecodeError) as error:
                raise Unavailable(
                    f"the file with the password of the database cannot be read: {type(error).__name__}",
                    where=str(path),
                ) from None
        return None


def is_postgres(setting: str) -> bool:
    """Whether a setting names a database of PostgreSQL."""
    return setting.partition("://")[0] in SCHEMES


def parse_place(setting: str, folder: Path = Path()) -> PostgresPlace:
    """Take an address apart; it is not repeated in any message, since a password may stand in it.

    Args:
        setting: `postgresql://[USER@][HOST][:PORT]/DATABASE[?NAME=VALUE&...]`, the names being libpq's.
        folder: what the path of `password=file:PATH` starts from.

    Raises:
        Invalid: it is none, or a password stands in it.
    """
    if not is_postgres(setting):
        raise Invalid("the setting `database` is no address of PostgreSQL", hint=_HINT)
    try:
        parts = urlsplit(setting)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        given = parts.password is not None
    except ValueError as error:
        raise Invalid("the setting `database` is no address", hint=_HINT) from error
    passwords = [value for name, value in options if name == "password"]
    others = [(name, value) for name, value in options if name != "password"]
    given = given or any(name.casefold() in _SECRETS for name, _ in others)
    if given or len(passwords) > 1 or not all(_is_reference(value) for value in passwords):
        raise Invalid("a password stands in the setting `database`: it would be stored and shown", hint=_HINT)
    if parts.fragment:
        raise Invalid("the setting `database` has a part after `#`", hint="write # as %23")
    if _is_torn(parts):
        raise Invalid("the setting `database` is no address, or a password stands in it", hint=_HINT)
    url = urlunsplit(
        ("postgresql", parts.netloc, parts.path, urlencode(others, safe="/", quote_via=quote), "")
    )
    # urlunsplit leaves the empty authority out, which libpq wants to see.
    if not parts.netloc:
        url = f"postgresql://{url.removeprefix('postgresql:').removeprefix('//')}"
    return PostgresPlace(url, passwords[0] if passwords else "", folder)


def _is_torn(parts: SplitResult) -> bool:
    """Whether `/` or `?` in a password ended the host too early: `ann:pa/ss@host` has the host `ann:pa`."""
    hosts = parts.netloc.rpartition("@")[2]
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts.split(",")]
    cut = ":" in parts.netloc and "@" not in parts.netloc and "@" in parts.query
    return cut or "@" in parts.path or any(port and not port.isdecimal() for port in ports)


def _is_reference(value: str) -> bool:
    how, _, name = value.partition(":")
    return how in {"env", "file"} and bool(name)
