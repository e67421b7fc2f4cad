"""One request and its answer, as an ASGI application takes and gives them."""

from __future__ import annotations

import asyncio
import http
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mlwright.wire.heads import Head

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

    from mlwright.wire.connections import Connection

FULL_BYTES = 64 << 10
"""So much of a body waits for the application; then the client has to."""
_STATUS = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in http.HTTPStatus}
_BODILESS = frozenset({204, 304})
_LOG = logging.getLogger(__name__)

Headers = Sequence[tuple[bytes, bytes]]
"""Names in small letters, and values."""

Place = tuple[str, Any]
"""The scheme, and the address at which a connection was taken: host and port."""


class Exchange:
    """What of a request has come, and what of its answer has gone.

    An application is run for it in a task (`run`), or somebody answers it at once or later (`answer`).

    Args:
        connection: that both go over.
        head: of the request.

    `forsaken` is called, if it is set, when nobody waits for the answer any more.
    """

    __slots__ = (
        "_bodiless",
        "_body",
        "_chunked",
        "_connection",
        "_left_bytes",
        "_news",
        "_pending",
        "_told",
        "_waits",
        "answered",
        "ended",
        "forsaken",
        "gone",
        "head",
        "keeps",
        "started",
    )

    def __init__(self, connection: Connection, head: Head) -> None:
        self._connection = connection
        self.head = head
        self.forsaken: Callable[[], object] | None = None
        self._body = b""
        self._news: asyncio.Event | None = None
        self._waits = head.waits
        self._told = self._chunked = self._bodiless = False
        self._left_bytes: int | None = None
        self._pending = b""
        self.ended = self.started = self.answered = self.gone = False
        self.keeps = head.keeps

    @property
    def place(self) -> Place:
        """Where it was asked."""
        return self._connection.place

    @property
    def scope(self) -> Scope:
        """As ASGI has it."""
        return self._connection.scope(self.head)

    @property
    def whole(self) -> bool:
        """Whether all of the body is here."""
        return self.ended and not self._waits

    @property
    def body(self) -> bytes:
        """What of it is here and was not taken."""
        return self._body

    @property
    def full(self) -> bool:
        """Whether the client has to wait before it sends more."""
        return len(self._body) > FULL_BYTES

    async def run(self, app: ASGIApp) -> None:
        """Let the application answer; what it fails at is our own mistake."""
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            if not self.gone:
                _LOG.exception("a request was not answered")
        finally:
            if not (self.answered or self.gone):
                self._connection.fail(self)

    def feed(self, piece: bytes, ended: bool) -> None:
        """A piece of the body has come, and perhaps its end."""
        if not self.answered:
            self._body = self._body + piece if self._body else piece
        self.ended = ended
        self._wake()

    def lose(self) -> None:
        """The client is gone, or given up: the application is told when it looks."""
        self.gone = True
        self._wake()
        if self.forsaken is not None and not self.answered:
            self.forsaken()

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send all of an answer; to be called once, in the event loop, by whoever is no task.

        Args:
            headers: with the length of the body.
        """
        if not self.gone:
            self._start(status, headers)
            self._send(body, more=False)

    async def receive(self) -> Message:
        """The next piece of the body, or that nobody waits for the answer."""
        if self._waits:
            self._waits = False
            if not (self.gone or self.started):
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.gone or self.answered or self._body or (self.ended and not self._told)):
            if self._news is None:
                self._news = asyncio.Event()
            self._news.clear()
            await self._news.wait()
        if self.gone or self.answered:
            return {"type": "http.disconnect"}
        piece, self._body = self._body, b""
        self._told = self.ended
        if not self.ended:
            self._connection.go_on()
        return {"type": "http.request", "body": piece, "more_body": not self.ended}

    async def send(self, message: Message) -> None:
        """Send the head of the answer, or a piece of its body; waits while the client does not read."""
        if self._connection.clogged:
            await self._connection.unclogged()
        if self.gone:
            return
        if message["type"] == "http.response.start":
            assert not self.started, "an answer begins once"
            self._start(message["status"], message.get("headers", ()))
            return
        assert self.started and not self.answered, "a body stands behind its head"
        self._send(message.get("body", b""), message.get("more_body", False))

    def _start(self, status: int, headers: Headers) -> None:
        connection = self._connection
        self.started = True
        # A client that was not told to send its body, or is answered in the middle of a long one, may send
        # it or not: what comes next on this connection would be unclear.
        self.keeps = self.keeps and not self._waits and connection.may_keep()
        told: list[bytes] = []
        declared = None
        for name, value in headers:
            if name == b"connection":
                self.keeps = self.keeps and b"close" not in value.lower()
                continue
            if name == b"content-length":
                declared = int(value)
            told += (name, b": ", value, b"\r\n")
        lines: list[bytes] = []
        if status in _BODILESS or self.head.method == "HEAD":
            self._bodiless = True
        elif declared is None:
            self._chunked = self.head.version == "1.1"
            self.keeps = self.keeps and self._chunked  # who knows no chunks sees the end by the close
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
        self._left_bytes = declared
        if not self.keeps:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        head, ends = (
            b"".join([_STATUS[status], connection.date, *told, *lines]),
            len(told) // 4 + len(lines) + 2,
        )
        assert head.count(b"\n") == head.count(b"\r") == ends and b"\0" not in head, "a header holds a line"
        self._pending = head  # it goes with the first piece of the body, or alone if that does not come now
        if declared is None:
            connection.soon(self._write_head)

    def _write_head(self) -> None:
        if self._pending:
            self._connection.write(self._pending)
            self._pending = b""

    def _send(self, body: bytes, more: bool) -> None:
        if self._bodiless:
            body = b""
        elif self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"" if more else b"0\r\n\r\n"
        elif self._left_bytes is not None:
            self._left_bytes -= len(body)
            assert self._left_bytes >= 0 and (more or not self._left_bytes), "not as long as declared"
        if self._pending and len(body) <= FULL_BYTES:
            body, self._pending = self._pending + body, b""
        self._write_head()
        self._connection.write(body)
        if not more:
            self.answered = True
            self._body = b""  # what nobody read: the rest of it is passed over
            self._wake()
            self._connection.end(self)

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
