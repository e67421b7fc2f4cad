"""Heads of requests: read as a whole, and refused where two readers could understand them differently.

llhttp, which reads them, is strict: two lengths, a length beside chunks, folded lines, bare line ends and
spaces before a colon are errors. What it takes and others read otherwise is refused here.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from msgspec import Struct

MOST_BYTES = 64 << 10
"""What the request line and the headers may have."""
MOST_HEADERS = 100
SINGLE = (
    *(b"host", b"origin", b"sec-fetch-site", b"authorization", b"cookie", b"content-type"),
    *(b"content-encoding", b"expect", b"range", b"transfer-encoding"),
)
"""What is decided by: a request that has one of these twice says two things at once."""
_SHORT_BYTES, _REMEMBERED = 1 << 10, 512
_CHUNKED = b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"


class BadHead(Exception):
    """A head that is not answered by the application.

    Args:
        status: of the answer.
        why: in one sentence.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Head(Struct, frozen=True, eq=False):
    """What a request asks, before its body. One that is remembered is the same object each time.

    Args:
        path: decoded; `raw_path` as it was sent.
        query: what stands behind the question mark, as it was sent.
        version: 1.1 or 1.0.
        headers: with names in small letters.
        body_bytes: how long the body is; None where it comes in chunks.
        keeps: whether the client may ask again on this connection.
        waits: whether it sends its body only when it is told to.
    """

    method: str
    path: str
    raw_path: bytes
    query: bytes
    version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body_bytes: int | None
    keeps: bool
    waits: bool


def read_head(raw: bytes) -> Head:
    """Read a head. Clients send the same ones again and again, so that the last short ones are remembered.

    Args:
        raw: all of it, with the empty line at its end.

    Raises:
        BadHead: it is none, or can be understood in two ways.
    """
    return _remembered(raw) if len(raw) <= _SHORT_BYTES else _read(raw)


def _read(raw: bytes) -> Head:
    if len(raw) > MOST_BYTES:
        raise BadHead(431, f"the head of the request is larger than {MOST_BYTES:,} bytes")
    if raw.count(b"\r\n") > MOST_HEADERS + 2:
        raise BadHead(431, f"the request has more than {MOST_HEADERS} headers")
    parts = _Parts()
    parser = HttpRequestParser(parts)
    try:
        parser.feed_data(raw)
    except HttpParserUpgrade:  # an upgrade is not made: the request is answered as it is
        pass
    except HttpParserError as error:
        raise BadHead(400, f"this is no HTTP request: {error}") from None
    target, headers = parts.target, parts.headers
    named = dict(headers)
    if len(named) != len(headers):
        _check_once([name for name, _ in headers])
    version = parser.get_http_version()
    if version not in {"1.1", "1.0"}:
        raise BadHead(400, "only HTTP 1.0 and 1.1 are spoken here")
    if b"host" not in named and version == "1.1":
        raise BadHead(400, "the request has no Host header")
    raw_path, _, query = target.partition(b"?")
    path = _decoded(raw_path)
    return Head(
        parser.get_method().decode("ascii"),
        path,
        raw_path,
        query,
        version,
        tuple(headers),
        _body_bytes(named, version),
        version == "1.1" and not _closes(headers),
        _waits(named, version),
    )


_remembered = lru_cache(_REMEMBERED)(_read)


class Begin:
    """A head that comes in pieces, looked at while it comes: what cannot become one is refused at once."""

    __slots__ = ("_parser", "_seen_bytes")

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self._seen_bytes = 0

    def look(self, raw: bytes) -> None:
        """Look at what is new in all that has come.

        Raises:
            BadHead: this is no head, or a longer one than there may be.
        """
        piece, self._seen_bytes = raw[self._seen_bytes :], len(raw)
        if len(raw) > MOST_BYTES:
            raise BadHead(431, f"the head of the request is larger than {MOST_BYTES:,} bytes")
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            pass
        except HttpParserError as error:
            raise BadHead(400, f"this is no HTTP request: {error}") from None


class Chunks:
    """A body in chunks, as its pieces come.

    `ended` once the last chunk was there; `more` if something came behind it, which is not kept.
    """

    __slots__ = ("_parser", "_pieces", "ended", "more")

    def __init__(self) -> None:
        self.ended = self.more = False
        self._pieces: list[bytes] = []
        self._parser = HttpRequestParser(self)
        self._parser.feed_data(_CHUNKED)

    def feed(self, raw: bytes) -> bytes:
        """What a piece of the body, as it came, holds.

        Raises:
            BadHead: these are no chunks.
        """
        try:
            self._parser.feed_data(raw)
        except HttpParserError as error:
            if not self.ended:
                raise BadHead(400, f"the chunks of the body are broken: {error}") from None
            self.more = True
        taken, self._pieces = b"".join(self._pieces), []
        return taken

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self.more = self.ended

    def on_body(self, piece: bytes) -> None:
        """Called by the parser."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.ended = True


class _Parts:
    """Collects what the parser tells."""

    __slots__ = ("headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, piece: bytes) -> None:
        self.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


def _check_once(names: list[bytes]) -> None:
    for name in SINGLE:
        if names.count(name) > 1:
            raise BadHead(400, f"the header {name.decode()} stands there twice")


def _decoded(raw_path: bytes) -> str:
    if not raw_path.startswith(b"/") or b"#" in raw_path:
        raise BadHead(400, "the target of the request is no path: it begins with a slash and has no #")
    try:
        path = raw_path.decode("ascii")
    except UnicodeDecodeError:
        raise BadHead(400, "the path has letters that are not percent-encoded") from None
    if "%" in path:
        path = unquote(path)
        if "\0" in path:
            raise BadHead(400, "the path holds the character NUL")
    return path


def _body_bytes(named: dict[bytes, bytes], version: str) -> int | None:
    coding = named.get(b"transfer-encoding")
    if coding is None:
        declared = named.get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 18:
            raise BadHead(400, "Content-Length is no length")
        return int(declared)
    if coding.lower() != b"chunked" or version == "1.0" or b"content-length" in named:
        raise BadHead(400, "Transfer-Encoding may be chunked, in HTTP 1.1, without a Content-Length")
    return None


def _closes(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the client says that it asks no more. Source: RFC 9112, 9.6."""
    told = [value.lower() for name, value in headers if name == b"connection"]
    return any(each.strip() == b"close" for value in told for each in value.split(b","))


def _waits(named: dict[bytes, bytes], version: str) -> bool:
    expected = named.get(b"expect")
    if expected is None:
        return False
    if expected.lower() != b"100-continue":
        raise BadHead(417, "Expect may be 100-continue")
    return version == "1.1"
