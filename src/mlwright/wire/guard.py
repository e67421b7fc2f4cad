"""Which requests a page of another site may have caused.

Such a page can make the reader's browser ask here: by the address of this server, which is known by `Origin`
and `Sec-Fetch-Site`, or by a name of its own that leads here, known by `Host`. What these headers say is
parsed, and compared as a whole: no name is allowed by how it begins or ends. `heads.py` sees to it that each
stands once.

Source: RFC 9110, 7.2 (Host); RFC 6454, 7 (Origin); Fetch Metadata Request Headers (W3C).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from mlwright.kernel.sockets import is_loopback

if TYPE_CHECKING:
    from starlette.types import Scope

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9a-f:.]{2,45})\]|(?P<name>[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?",
    re.ASCII,
)
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/@?#\\]+)", re.ASCII)
_ELSEWHERE = frozenset({b"cross-site", b"same-site"})
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
    return None if found is None or at is None else origin_of(found["scheme"], at)


def origin_of(scheme: str, at: Authority) -> Origin:
    """Where a page comes from that was asked for there."""
    return Origin(scheme, at.name, at.port or _PORTS[scheme])


def is_here(name: str, address: str) -> bool:
    """Whether a name is that of the address at which a connection was taken."""
    local = plain_address(address)
    if _is_loopback(local):
        return name == "localhost" or _is_loopback(name)
    return name == local


def at_loopback(scope: Scope) -> bool:
    """Whether a connection was taken at an address that only this machine reaches."""
    return _is_loopback(plain_address((scope.get("server") or ("", 0))[0]))


def told_host(headers: Mapping[bytes, bytes]) -> Authority | None:
    """What the `Host` header names; None for what is no name."""
    return parse_authority(headers.get(b"host", b""))


def why_foreign(
    scope: Scope, headers: Mapping[bytes, bytes], host: Authority, public: Origin | None = None
) -> str:
    """Why a request is one of another site's page; empty for one that is not.

    Args:
        headers: of the request by name.
        host: that it names.
        public: the server's address for others, if it has one: its pages are own ones, too.
    """
    told = headers.get(b"origin")
    if told is not None:
        origin = parse_origin(told)
        if origin is None or origin not in {public, origin_of(scope["scheme"], host)}:
            return "a page of another site may not ask here"
    if headers.get(b"sec-fetch-site") in _ELSEWHERE and scope["method"] not in SAFE:
        return "a page of another site may not change anything here"
    return ""


@lru_cache(1024)
def plain_address(text: str) -> str:
    """An address as it is written shortest; one of IPv4 that came through a socket of IPv6 as that."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


_is_loopback = lru_cache(1024)(is_loopback)
