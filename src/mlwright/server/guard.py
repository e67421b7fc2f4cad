"""Which requests are looked at at all: none that a browser sends for another site's page."""

from __future__ import annotations

from starlette.types import Scope

from mlwright.kernel.errors import Invalid
from mlwright.server.problems import Refusal
from mlwright.wire.guard import Origin, is_here, parse_origin, told_host, why_foreign


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
            headers: its headers by name.

        Raises:
            Refusal: it names another server, or comes from another site's page.
        """
        host = told_host(headers)
        if host is None or not self._is_ours(host.name, (scope.get("server") or ("", 0))[0]):
            told = headers.get(b"host", b"")[:100].decode("latin-1")
            raise Refusal(
                403,
                f"the Host header names {told!r}, which is not this server",
                hint="ask by the address that `mlwright up` tells, or set `url` in [tool.mlwright]",
            )
        if why := why_foreign(scope, headers, host, self._public):
            raise Refusal(403, why)

    def is_secure(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        """Whether the client speaks https, to this server or to the proxy before it."""
        if scope["scheme"] == "https":
            return True
        host, public = told_host(headers), self._public
        return (
            public is not None and public.scheme == "https" and host is not None and host.name == public.name
        )

    def _is_ours(self, name: str, address: str) -> bool:
        """Whether a name is this server's: its public one, or the address that the client connected to."""
        return (self._public is not None and name == self._public.name) or is_here(name, address)
