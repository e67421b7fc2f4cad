"""One request of an HTTP/2 connection and its answer, as an ASGI application takes and gives them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from h2.exceptions import H2Error
from hpack import NeverIndexedHeaderTuple

from mlwright.wire.bounds import Bounds

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

    from mlwright.wire.http2 import Http2

_LOG = logging.getLogger(__name__)
_KNOWN_BYTES = 40
"""Longer values are of one answer only: to remember them would push out those that come again."""


class Stream:
    """What of a request has come, and what of its answer has gone.

    Args:
        connection: that both go over.
        number: by which it is told from the others.
        scope: as ASGI has it.

    `ended` once the whole request is there, `answered` once all of the answer is sent, `gone` when nobody
    waits for it. `late` and `patience_s` are as of a connection.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_moved_bytes",
        "_news",
        "_scope",
        "_started",
        "_stuck",
        "_told",
        "_trailers",
        "_unread_bytes",
        "_wider",
        "answered",
        "came_bytes",
        "ended",
        "gone",
        "late",
        "number",
        "patience_s",
    )

    def __init__(self, connection: Http2, number: int, scope: Scope) -> None:
        self._connection = connection
        self._scope = scope
        self._body = b""
        self._news: asyncio.Event | None = None
        self._wider: asyncio.Event | None = None
        self._moved_bytes = self._unread_bytes = 0
        self._started = self._stuck = self._told = self._trailers = False
        self.number = number
        self.came_bytes = 0
        self.answered = self.ended = self.gone = self.late = False
        self.patience_s = connection.patience_s

    async def run(self, app: ASGIApp) -> None:
        """Let the application answer; what it fails at is our own mistake."""
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            if not self.gone:
                _LOG.exception("a request was not answered")
        finally:
            self._connection.done(self)

    def feed(self, piece: bytes, window_bytes: int) -> None:
        """A piece of the body has come, with as much of the window as it takes."""
        self.came_bytes += len(piece)
        self._moved_bytes += len(piece)
        self._unread_bytes += window_bytes
        self._body = self._body + piece if self._body else piece
        self._wake()

    def end(self) -> None:
        """The body is whole."""
        self.ended = True
        self._wake()

    def lose(self) -> None:
        """Nobody waits for the answer: the application is told when it looks."""
        self.gone = True
        self._wake()
        self.widen()

    def widen(self) -> None:
        """The client takes more than before."""
        if self._wider is not None:
            self._wider.set()

    def look(self, elapsed_s: float, bounds: Bounds) -> float:
        """So much time has passed; for how long the client may still keep us waiting."""
        moved, self._moved_bytes = self._moved_bytes, 0
        was_late, self.late = self.late, self._stuck or not (self.ended or self.answered)
        if self.late and was_late:
            left_s = self.patience_s - elapsed_s + moved / bounds.least_bytes_per_s
            self.patience_s = min(left_s, bounds.behind_s)
        elif not self.late:
            self.patience_s = bounds.behind_s
        return self.patience_s

    def open_window(self) -> None:
        """Let the client send again as much as was read."""
        if self._unread_bytes:
            self._connection.h2.acknowledge_received_data(self._unread_bytes, self.number)
            self._unread_bytes = 0
            self._connection.flush_soon()

    async def receive(self) -> Message:
        """The next piece of the body, or that nobody waits for the answer."""
        while not (self.gone or self.answered or self._body or (self.ended and not self._told)):
            if self._news is None:
                self._news = asyncio.Event()
            self._news.clear()
            await self._news.wait()
        if self.gone or self.answered:
            return {"type": "http.disconnect"}
        piece, self._body = self._body, b""
        self._told = self.ended
        if not self.ended:  # else it is time enough when it is answered
            self.open_window()
        return {"type": "http.request", "body": piece, "more_body": not self.ended}

    async def send(self, message: Message) -> None:
        """Send the head of the answer, a piece of its body, or its trailers; waits while the client does."""
        if self._connection.clogged:
            await self._connection.unclogged()
        match message["type"]:
            case _ if self.gone:
                pass
            case "http.response.start":
                assert not self._started, "an answer begins once"
                self._started, self._trailers = True, message.get("trailers", False)
                status = b"%d" % message["status"]
                self._say([(b":status", status), *message.get("headers", ())], ends=False)
            case "http.response.body":
                assert self._started and not self.answered, "a body stands behind its head"
                ends = not (message.get("more_body", False) or self._trailers)
                await self._pour(message.get("body", b""), ends)
            case "http.response.trailers":
                assert self._started and not self.answered, "trailers stand behind a body"
                self._say(message["headers"], ends=True)
        self._connection.flush_soon()

    def _say(self, headers: Any, *, ends: bool) -> None:
        told = [
            NeverIndexedHeaderTuple(name, value) if len(value) >= _KNOWN_BYTES else (name, value)
            for name, value in headers
        ]
        try:
            self._connection.h2.send_headers(self.number, told, end_stream=ends)
        except H2Error:  # the client has taken it back in this moment
            self.lose()
            return
        if ends:
            self._end()

    async def _pour(self, body: bytes, ends: bool) -> None:
        connection, left = self._connection, memoryview(body)
        while left or ends:
            room = await self._room() if left else 0
            if self.gone:
                return
            piece, left = left[:room], left[room:]
            connection.h2.send_data(self.number, piece, end_stream=ends and not left)
            connection.earn()
            self._moved_bytes += room
            if not left:
                break
            connection.flush()
            if connection.clogged:
                await connection.unclogged()
        if ends:
            self._end()

    async def _room(self) -> int:
        """How much may be sent in one frame; waits until that is something."""
        h2 = self._connection.h2
        while not self.gone:
            room = min(h2.local_flow_control_window(self.number), h2.max_outbound_frame_size)
            if room > 0:
                return room
            self._connection.flush()
            self._wider, self._stuck = asyncio.Event(), True
            await self._wider.wait()
            self._stuck = False
        return 0

    def _end(self) -> None:
        self.answered = True
        self._body = b""  # what nobody read
        self._wake()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
