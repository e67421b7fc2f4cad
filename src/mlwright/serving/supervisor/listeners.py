"""The listening sockets of all slots: one address and port, among which the kernel shares connections out.

Source: socket(7), SO_REUSEPORT and SO_ATTACH_REUSEPORT_CBPF; Linux, net/core/sock_reuseport.c.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from contextlib import suppress

from mlwright.kernel.errors import Unavailable
from mlwright.kernel.sockets import listen

_BACKLOG = 2048
_ATTACH = 51
"""SO_ATTACH_REUSEPORT_CBPF: a program of three instructions names a socket by its place."""
_LOAD_RANDOM = (0x20, 0, 0, 0xFFFFF000 + 56)
_MODULO, _RETURN = 0x94, 0x16


def open_first(address: str, port: int) -> socket.socket:
    """The first socket. It takes the port for itself alone, and shares it afterwards.

    So a port that somebody listens on is refused, also if that is another supervisor of the same user, with
    which the kernel would share the connections silently.

    Raises:
        Unavailable: the port cannot be had; the reason is told.
    """
    listener = listen(address, port)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return listener


def open_next(first: socket.socket) -> socket.socket:
    """One more at the same address and port.

    Raises:
        Unavailable: it cannot be made.
    """
    # Its protocol is named, since uvloop sets TCP_NODELAY only then.
    listener = socket.socket(first.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(first.getsockname())
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable(f"no further socket can be made: {error.strerror}") from error
    return listener


def close_all(sockets: dict[int, socket.socket]) -> None:
    """Close our descriptors of them, and forget them."""
    while sockets:
        sockets.popitem()[1].close()


def steer(listener: socket.socket, slots: int) -> None:
    """Share new connections out among the first so many sockets alone, in the order they were made.

    Only a balance is at stake: whatever the kernel makes of it, each socket is served by somebody.

    Args:
        listener: any of them.
        slots: at least 1.
    """
    program = (_LOAD_RANDOM, (_MODULO, 0, 0, slots), (_RETURN, 0, 0, 0))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in program))
    with suppress(OSError):  # an old kernel
        listener.setsockopt(
            socket.SOL_SOCKET, _ATTACH, struct.pack("HP", len(program), ctypes.addressof(code))
        )
