"""What stands still: style, scripts, and the libraries of others, each read once and kept compressed."""

from __future__ import annotations

import gzip
from functools import cache
from mimetypes import guess_type
from pathlib import Path

from msgspec import Struct
from starlette.responses import Response

from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import NotFound
from mlwright.server.call import Call

FOLDER = Path(__file__).parent / "static"
_VERSION_LETTERS = 16
_YEAR_S = 31_536_000
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


class Asset(Struct, frozen=True):
    """A file as it is sent."""

    body: bytes
    compressed: bytes
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """Every file, by its path in `static/`."""
    found = {}
    for path in sorted(FOLDER.rglob("*.*")):
        body = path.read_bytes()
        kind = _TYPES.get(path.suffix) or guess_type(path.name)[0] or "text/plain; charset=utf-8"
        found[path.relative_to(FOLDER).as_posix()] = Asset(body, gzip.compress(body, 9, mtime=0), kind)
    return found


@cache
def version() -> str:
    """What stands in the path of each, so that a browser may keep it: a digest of all."""
    parts = (f"{name}\0{digest_of(each.body)}\n" for name, each in assets().items())
    return digest_of("".join(parts).encode())[:_VERSION_LETTERS]


def address(name: str) -> str:
    """Where a file is found."""
    assert name in assets(), f"there is no {name} in static/"
    return f"/static/{version()}/{name}"


async def send(call: Call) -> Response:
    """Send a file; of another version than is asked, as after an upgrade, what there is now.

    Raises:
        NotFound: there is no such file.
    """
    asset = assets().get(call.names["name"])
    if asset is None:
        raise NotFound(f"there is no {call.names['name'][:200]} here")
    now = call.names["version"] == version()
    headers = {
        "cache-control": f"public, max-age={_YEAR_S}, immutable" if now else "no-store",
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
    }
    if b"gzip" in call.headers.get(b"accept-encoding", b""):
        return Response(asset.compressed, 200, headers | {"content-encoding": "gzip"}, asset.media_type)
    return Response(asset.body, 200, headers, asset.media_type)
