"""One connection: heads and bodies come in, answers go out, and nobody is waited for without end."""

from __future__ import annotations

import asyncio
import http
import sys
from collections.abc import Callable
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any, cast

from mlwright.wire.exchange import Exchange, Place
from mlwright.wire.heads import BadHead, Begin, Chunks, Head, read_head
from mlwright.wire.traffic import Queue, Traffic

_END = b"\r\n\r\n"
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_PIECE_BYTES = 32 << 10
"""Chunks are taken apart in such portions, between which others have their turn."""
_SWALLOWED_BYTES = 64 << 10
"""What may be left of a body whose request is answered, so that the connection is kept."""

_LAST_S = 2.0
"""How long a client has to take its last answer along when the server ends."""
_HTTP_2 = b"PRI * HTTP/2.0\r\n\r\n"
"""What a client says first that means to speak HTTP/2. Source: RFC 9113, 3.4."""


class Connection(asyncio.Protocol):
    """A client's connection: one request at a time, in the order they come.

    Args:
        traffic: that it is a part of.

    `patience_s` is how long the client may keep us waiting; it shrinks while it does, and grows with what it
    sends or takes. `late` says that it does so just now. `queue` is where the traffic has it.
    """

    __slots__ = (
        "_begin",
        "_came_bytes",
        "_chunks",
        "_client",
        "_ends",
        "_exchange",
        "_first",
        "_held_bytes",
        "_left_bytes",
        "_paused",
        "_rest",
        "_traffic",
        "_transport",
        "_unsent_bytes",
        "_writable",
        "clogged",
        "late",
        "patience_s",
        "place",
        "queue",
    )

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._transport = cast("asyncio.Transport", None)
        self._client: Any = None
        self._rest = b""
        self._held_bytes = 0
        self._begin: Begin | None = None
        self._exchange: Exchange | None = None
        self._chunks: Chunks | None = None
        self._left_bytes = 0
        self._came_bytes = 0
        self._unsent_bytes = 0
        self._paused = self._ends = self._first = False
        self._writable: asyncio.Event | None = None
        self.clogged = self.late = False
        self.place: Place = ("http", None)
        self.queue: Queue | None = None
        self.patience_s = traffic.bounds.behind_s

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast("asyncio.Transport", transport)
        server, client = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        self.place = (scheme, server[:2] if server else None)
        self._client = client[:2] if client else None
        if not self._traffic.take(self):
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""
        self._ends = True
        self._keep(b"")
        self._traffic.move(self, None)
        if self._exchange is not None:
            self._exchange.lose()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        if self._ends:
            self._pause()
            self._traffic.pouring.take(self.read_on)
            return
        self._came_bytes += len(data)
        self._rest = self._rest + data if self._rest else data
        self.go_on()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        self.clogged = True

    def resume_writing(self) -> None:
        """It has read."""
        self.clogged = False
        self.patience_s = self._traffic.bounds.behind_s
        if self._writable is not None:
            self._writable.set()
        if self._exchange is None and not self._ends and self.queue is self._traffic.busy:
            self._traffic.move(self, self._traffic.idle)

    # What comes in.

    def go_on(self) -> None:
        """Take of what has come as much as can be taken now."""
        if self._ends:
            return
        begins = self._exchange is None
        try:
            if begins and self._rest:
                self._take_head()
            if self._exchange is not None:
                if self._rest and not self._exchange.ended:
                    self._take_body(self._exchange)
                if begins:
                    self._traffic.answer(self, self._exchange)
        except BadHead as error:
            if not self._handed_over():
                self._refuse(error)
            return
        exchange = self._exchange
        if exchange is not None and (self._rest or exchange.full):
            self._pause()
        else:
            self.read_on()
        self._keep(self._rest)

    def _take_head(self) -> None:
        rest = self._rest.lstrip(b"\r\n") if self._rest[0] in b"\r\n" else self._rest
        end = rest.find(_END)
        if end < 0:
            if rest:
                self._wait_for_head(rest)
            self._rest = rest
            return
        self._begin = None
        end += len(_END)
        head, self._rest = read_head(rest[:end]), rest[end:]
        self._chunks = Chunks() if head.body_bytes is None else None
        self._left_bytes = head.body_bytes or 0
        self._exchange = Exchange(self, head)
        self._exchange.ended = head.body_bytes == 0
        self.late, self.patience_s, self._came_bytes = False, self._traffic.bounds.behind_s, len(self._rest)

    def _handed_over(self) -> bool:
        """Whether this is no head, but the begin of HTTP/2, and somebody here speaks that."""
        traffic, queue = self._traffic, self.queue
        first = queue is traffic.fresh or (self._first and queue is traffic.begun)
        if traffic.http2 is None or not (first and self._rest.startswith(_HTTP_2)):
            return False
        came = self._rest
        self._ends = True
        self._keep(b"")
        traffic.move(self, None)
        traffic.http2(traffic, self._transport, came)
        return True

    def _wait_for_head(self, rest: bytes) -> None:
        if self._begin is None:
            self._begin = Begin()
            self._first = self.queue is self._traffic.fresh
            self._traffic.move(self, self._traffic.begun)
        self._begin.look(rest)

    def _take_body(self, exchange: Exchange) -> None:
        if self._chunks is None:
            piece, self._rest = self._rest[: self._left_bytes], self._rest[self._left_bytes :]
            self._left_bytes -= len(piece)
            exchange.feed(piece, ended=not self._left_bytes)
        elif not exchange.full:
            self._take_chunks(self._chunks, exchange)
        if exchange.ended and exchange.answered:
            self._next()

    def _take_chunks(self, chunks: Chunks, exchange: Exchange) -> None:
        raw, self._rest = self._rest[:_PIECE_BYTES], self._rest[_PIECE_BYTES:]
        exchange.feed(chunks.feed(raw), chunks.ended)
        if chunks.ended and (chunks.more or self._rest):  # where it begins is not known
            exchange.keeps, self._rest = False, b""
        elif self._rest:
            self._traffic.loop.call_soon(self.go_on)

    def scope(self, head: Head) -> dict[str, Any]:
        """A request as ASGI has it."""
        scheme, server = self.place
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.version,
            "method": head.method,
            "scheme": scheme,
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "root_path": "",
            "headers": head.headers,
            "server": server,
            "client": self._client,
            "state": self._traffic.state,
        }

    def _keep(self, rest: bytes) -> None:
        """Hold what could not be taken yet."""
        self._rest = rest
        if self._held_bytes != len(rest):
            more, self._held_bytes = len(rest) - self._held_bytes, len(rest)
            self._traffic.hold(more)
            if more > 0 and self._traffic.overfull:
                self.abort()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Read what comes."""
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    # What goes out.

    @property
    def asked(self) -> int:
        """How many requests wait for their answers: one at most."""
        return int(self._exchange is not None)

    @property
    def date(self) -> bytes:
        """The header that says when an answer was given."""
        return self._traffic.date

    def may_keep(self) -> bool:
        """Whether the connection is of use after an answer that begins now."""
        exchange = self._exchange
        unread = exchange is not None and not exchange.ended
        long = unread and (self._chunks is not None or self._left_bytes > _SWALLOWED_BYTES)
        return not (long or self._traffic.draining.is_set())

    def write(self, data: bytes) -> None:
        """Send bytes of an answer."""
        if data and not self._ends and not self._transport.is_closing():
            self._transport.write(data)

    def soon(self, call: Callable[[], None]) -> None:
        """Call it when what runs now has had its turn."""
        self._traffic.loop.call_soon(call)

    async def unclogged(self) -> None:
        """Wait until the client has read most of what was sent."""
        while self.clogged:
            if self._writable is None:
                self._writable = asyncio.Event()
            self._writable.clear()
            await self._writable.wait()

    def end(self, exchange: Exchange) -> None:
        """A request is answered; the next one may come when its body is there."""
        if not exchange.keeps:
            self._finish()
        elif exchange.ended:
            self._next()
        else:
            self.go_on()

    def fail(self, exchange: Exchange) -> None:
        """A request stays without an answer, or with half of one."""
        if exchange.started:
            self.abort()
        else:
            self._refuse(BadHead(500, "the server failed, which is its own mistake"))

    # Time.

    def look(self, elapsed_s: float) -> None:
        """So much time has passed while a request was answered: close if the client has made us wait."""
        bounds, came = self._traffic.bounds, self._came_bytes
        self._came_bytes = 0
        moved = 0
        if self.clogged or self._ends:
            unsent = self._transport.get_write_buffer_size() + self._on_its_way_bytes()
            moved, self._unsent_bytes = max(self._unsent_bytes - unsent, 0), unsent
        elif self._exchange is not None and not self._exchange.ended and not self._paused:
            moved = came
        else:
            self.late, self.patience_s = False, bounds.behind_s
            return
        if not self.late:  # since when is not known: it counts from now on
            self.late = True
            return
        earned_s = moved / bounds.least_bytes_per_s
        self.patience_s = min(self.patience_s - elapsed_s + earned_s, bounds.behind_s)
        if self.patience_s < 0:
            self.cut()

    def _on_its_way_bytes(self) -> int:
        """What the kernel still has to bring to the client: it may hold megabytes, and take more in bursts.

        Source: tcp(7), SIOCOUTQ.
        """
        try:
            held = ioctl(self._transport.get_extra_info("socket").fileno(), TIOCOUTQ, bytes(4))
        except (OSError, ValueError):  # it is closed
            return 0
        return int.from_bytes(held, sys.byteorder)

    def hurry(self) -> None:
        """The server ends: who has been answered is not waited for long."""
        if self._ends:
            self.patience_s = min(self.patience_s, _LAST_S)

    def expire(self) -> None:
        """No request, or no whole head, has come in time."""
        if self._begin is not None:
            self._refuse(BadHead(408, "the head of the request did not come in time"))
        elif self._transport.get_write_buffer_size():
            self.abort()
        else:
            self._ends = True
            self._traffic.move(self, None)
            self._transport.close()

    def cut(self) -> None:
        """The client has made us wait too long."""
        exchange = self._exchange
        if self._ends or self.clogged or exchange is None or exchange.started:
            self.abort()
        else:
            self._refuse(BadHead(408, "the body of the request came too slowly"))

    def abort(self) -> None:
        """Close at once."""
        self._ends = True
        self._keep(b"")
        self._traffic.move(self, None)
        self._transport.abort()

    def _next(self) -> None:
        """Turn to the next request."""
        self._exchange = self._chunks = None
        if not self.clogged:
            self._traffic.move(self, self._traffic.idle)
        if self._rest:
            self._traffic.pipelined.take(self.go_on)
        else:
            self.read_on()

    def _refuse(self, error: BadHead) -> None:
        media_type, body = self._traffic.refuse(error.status, error.why)
        self.write(
            f"HTTP/1.1 {error.status} {http.HTTPStatus(error.status).phrase}\r\n".encode()
            + self.date
            + b"content-type: %b\r\ncontent-length: %d\r\n" % (media_type, len(body))
            + b"connection: close\r\n\r\n"
            + body
        )
        if self._exchange is not None:
            self._exchange.lose()
        self._finish()

    def _finish(self) -> None:
        """Say no more. What still comes is thrown away for a while: a close would take the answer along."""
        self._ends = True
        self._exchange = self._begin = None
        self.patience_s = self._traffic.bounds.behind_s
        if self._traffic.draining.is_set():
            self.hurry()
        self._keep(b"")
        self._traffic.move(self, self._traffic.busy)
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self.read_on()
        else:  # TLS says good-bye in both directions
            self._transport.close()
