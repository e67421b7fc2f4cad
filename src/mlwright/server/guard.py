"""Who may ask at all: nobody through a browser that shows another site's page.

On loopback there is no account yet. A page of another site can make the reader's browser ask here: by the
name of this machine, which is known by `Origin`, or by one of its own that leads here, known by `Host`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlwright.kernel.sockets import is_loopback
from mlwright.server.permissions import Permission

_HOST = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]{1,5})?")


def refusal(headers: Mapping[bytes, bytes], permission: Permission) -> str | None:
    """Why a request is not answered; None when it is.

    Args:
        headers: of the request, with names in small letters.
        permission: of the route.
    """
    host = headers.get(b"host", b"").decode("latin-1")
    if not _is_here(host):
        return f"the Host header names {host[:100]!r}, and this server answers for this machine alone"
    origin = headers.get(b"origin")
    if permission is Permission.WRITE and origin is not None:
        _, _, at = origin.decode("latin-1").partition("://")
        if at != host:
            return "a page of another site may not change anything here"
    return None


def _is_here(host: str) -> bool:
    """Whether a `Host` header, with a port or without, names this machine by its loopback."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found["six"] or found["name"]
    return name.lower() == "localhost" or is_loopback(name)
