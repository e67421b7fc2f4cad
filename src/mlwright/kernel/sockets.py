"""Where a server listens."""

from __future__ import annotations

import errno
import ipaddress
import socket

from mlwright.kernel.errors import Unavailable

_BACKLOG = 2048


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an IP address; a name is none."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def url_of(address: str, port: int | str) -> str:
    """`http://127.0.0.1:8000`, `http://[::1]:8000`."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def listen(address: str, port: int) -> socket.socket:
    """A listening socket. Its protocol is named, since uvloop sets TCP_NODELAY only then.

    Raises:
        Unavailable: the port cannot be had; the reason is told.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise Unavailable(f"this machine does not have the address {address}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reasons = {errno.EADDRINUSE: "is taken", errno.EACCES: "is not allowed for this user"}
        reason = reasons.get(error.errno or 0, f"cannot be had: {error.strerror}")
        raise Unavailable(
            f"port {port} of {address} {reason}", hint="choose another: --port 0 takes a free one"
        ) from error
    return listener
