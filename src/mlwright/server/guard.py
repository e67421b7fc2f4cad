"""Which requests are looked at at all: none that a browser sends for another site's page.

A page of another site can make the reader's browser ask here: by the address of this server, which is known
by `Origin` and `Sec-Fetch-Site`, or by a name of its own that leads here, known by `Host`. What these headers
say is parsed, and compared as a whole: no name is allowed by how it begins or ends.

Source: RFC 9110, 7.2 (Host); RFC 6454, 7 (Origin); Fetch Metadata Request Headers (W3C).
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple

from starlette.types import Scope

from mlwright.kernel.errors import Invalid
from mlwright.kernel.sockets import is_loopback
from mlwright.server.problems import Refusal

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9a-f:.]{2,45})\]|(?P<name>[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?",
    re.ASCII,
)
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/@?#\\]+)", re.ASCII)
_PORTS = {"http": 80, "https": 443}
_LONGEST = 300


class Authority(NamedTuple):
    """A name or an address with the port that is told, as a `Host` header has them.

    Args:
        name: in small letters; an address as it is written shortest.
        port: None for the one that the scheme has.
    """

    name: str
    port: int | None


class Origin(NamedTuple):
    """Where a page comes from."""

    scheme: str
    name: str
    port: int


@lru_cache(1024)
def parse_authority(text: bytes) -> Authority | None:
    """What a `Host` header names; None for what is no name, or written as no client writes it."""
    found = _AUTHORITY.fullmatch(text.decode("latin-1").lower()) if len(text) <= _LONGEST else None
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    if port is not None and port > 65_535:
        return None
    if found["six"] is None:
        return Authority(found["name"], port)
    try:
        return Authority(str(ipaddress.IPv6Address(found["six"])), port)
    except ValueError:
        return None


@lru_cache(1024)
def parse_origin(text: bytes) -> Origin | None:
    """What an `Origin` header names; None for `null`, for another scheme, and for what is written oddly."""
    found = _ORIGIN.fullmatch(text.decode("latin-1").lower()) if len(text) <= _LONGEST else None
    at = parse_authority(found["authority"].encode("latin-1")) if found is not None else None
    return None if found is None or at is None else _origin(found["scheme"], at)


def parse_url(url: str) -> Origin:
    """A server's public address.

    Raises:
        Invalid: it is none.
    """
    scheme, _, rest = url.rstrip("/").partition("://")
    name, colon, port = rest.rpartition(":") if rest.rpartition(":")[2].isdigit() else (rest, "", "")
    try:
        plain = name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        plain = ""
    found = parse_origin(f"{scheme}://{plain}{colon}{port}".encode())
    if found is None:
        raise Invalid(
            f"{url!r} is no address of a server",
            where="url",
            hint='write "https://HOST" or "https://HOST:PORT"',
        )
    return found


class Guard:
    """Refuses what a page of another site may have caused.

    Args:
        url: the server's public address, if it has one.
    """

    def __init__(self, url: str = "") -> None:
        self._public = parse_url(url) if url else None

    def check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Look at a request before anything else does.

        Args:
            scope: of the request.
            headers: its headers by name, of which those that decide stand once: `wire/heads.py`.

        Raises:
            Refusal: it names another server, or comes from another site's page.
        """
        told = headers.get(b"host", b"")
        host = parse_authority(told)
        if host is None or not self._is_here(host.name, (scope.get("server") or ("", 0))[0]):
            raise Refusal(
                403,
                f"the Host header names {told[:100].decode('latin-1')!r}, which is not this server",
                hint="ask by the address that `mlwright up` tells, or set `url` in [tool.mlwright]",
            )
        origin = headers.get(b"origin")
        if origin is not None and not self._is_own(origin, host, scope["scheme"]):
            raise Refusal(403, "a page of another site may not ask here")
        if scope["method"] not in SAFE and headers.get(b"sec-fetch-site") in {b"cross-site", b"same-site"}:
            raise Refusal(403, "a page of another site may not change anything here")

    def is_secure(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        """Whether the client speaks https, to this server or to the proxy before it."""
        if scope["scheme"] == "https":
            return True
        host = parse_authority(headers.get(b"host", b""))
        public = self._public
        return (
            public is not None and public.scheme == "https" and host is not None and host.name == public.name
        )

    def _is_here(self, name: str, address: str) -> bool:
        """Whether a name is this server's: its public one, or the address that the client connected to.

        Args:
            address: at which the connection was taken.
        """
        if self._public is not None and name == self._public.name:
            return True
        local = _address(address)
        if is_loopback(local):
            return name == "localhost" or is_loopback(name)
        return name == local

    def _is_own(self, text: bytes, host: Authority, scheme: str) -> bool:
        origin = parse_origin(text)
        return origin is not None and origin in {self._public, _origin(scheme, host)}


def _origin(scheme: str, at: Authority) -> Origin:
    return Origin(scheme, at.name, at.port or _PORTS[scheme])


@lru_cache(1024)
def _address(text: str) -> str:
    """An address as it is written shortest; one of IPv4 that came through a socket of IPv6 as that."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
