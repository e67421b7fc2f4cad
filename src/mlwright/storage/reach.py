"""Which addresses may be fetched from: public ones, unless the user says otherwise.

A URL that somebody gives, or that another server leads to, may name a machine that only this one reaches: a
router, a neighbour's database, a cloud's service of credentials. What a name leads to is asked once, and
that very address is connected to: no second answer can be another.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from mlwright.kernel.errors import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[..., list[tuple[Any, ...]]]
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
_NEAR = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "fec0::/10", "::/96", "::ffff:0:0:0/96")),
)
"""What older tables count as public, and nobody routes: local translation, sites, old forms of IPv4."""


class Reach(Struct, frozen=True):
    """How far a fetch may go.

    Args:
        private: to this machine, and to machines of private networks, as well.
        redirects: to wherever a server leads; each address on the way is looked at likewise.
        resolve: `socket.getaddrinfo`, or what answers like it.
    """

    private: bool = False
    redirects: bool = False
    resolve: Resolver = socket.getaddrinfo

    def addresses(self, host: str, port: int, *, numeric: bool = False) -> list[str]:
        """The addresses that a host has, none of which is out of reach.

        Args:
            host: a name, or an address however it is written (`0x7f.1` is one).
            port: that is asked there.
            numeric: only what is an address; nothing is asked about a name.

        Raises:
            Invalid: one of them is not public, and that is not allowed.
            OSError: the name leads nowhere.
        """
        flags = socket.AI_NUMERICHOST if numeric else 0
        found = self.resolve(host, port, 0, socket.SOCK_STREAM, 0, flags)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        for each in addresses:
            self.check(host, each)
        return addresses

    def check(self, host: str, address: str) -> None:
        """Refuse an address that is out of reach.

        Args:
            host: whose address it is, for the message.
            address: as the system writes it.

        Raises:
            Invalid: it is not public, and that is not allowed.
        """
        if not self.private and not is_public(address):
            raise Invalid(
                f"{host} is a machine of a private network, or this one: nothing is fetched there unasked",
                hint="if it is meant: --private, or `private_imports = true` in [tool.mlwright]",
            )


def is_public(address: str) -> bool:
    """Whether anybody on the internet can have an address, also within another one that leads to it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_is_public(each) for each in _with_inner(found))


def _is_public(address: Address) -> bool:
    near = isinstance(address, ipaddress.IPv6Address) and any(address in each for each in _NEAR)
    return address.is_global and not address.is_multicast and not near


def _with_inner(address: Address) -> list[Address]:
    """An address, and the one of IPv4 that it stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    if inner is None and address in _TRANSLATED:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if inner is None:
        return [address]
    return [inner] if address.ipv4_mapped or address in _TRANSLATED else [address, inner]
