"""A connection whose client speaks HTTP/2: many requests at a time, and nobody is waited for without end.

`h2` knows what may follow what, counts windows, and takes heads apart. What a client may cost is decided
here: how many requests it has open and what they hold, how much it may say that asks for nothing (pings,
settings, windows, requests that are taken back), and how long it lets a body or an answer wait.

Source: RFC 9113; CVE-2023-44487 and CVE-2019-9511 to -9518, for what clients have done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame
from starlette.types import ASGIApp

from mlwright.wire.heads import SINGLE
from mlwright.wire.http2_stream import Stream
from mlwright.wire.traffic import Queue, Traffic

STREAMS = 100
"""Requests that a connection may have open."""
HELD_BYTES = 64 << 20
"""What their bodies may hold in all."""
HEAD_BYTES = 16 << 10
_WINDOW_BYTES, _SHARED_BYTES = 256 << 10, 1 << 20
"""What a client may send of one body, and of all, before it is read."""
_PIECE_BYTES = 16 << 10
"""Portions in which what has come is taken apart: between two it is seen what that has cost."""
_CREDIT, _EARNS_PER_S, _EARNS_ANSWER, _EARNS_FRAME = 2000.0, 200.0, 20.0, 4.0
"""What asks for nothing costs 1. So much may be had in hand, and comes back by time, by a request that is
answered, and by each frame of an answer: clients open windows for these."""
_SMALL_BYTES = 64
"""A piece of a body that is smaller asks for nothing."""
_ALL_STREAMS = 2**31 - 1
_LEAVING = b"draining"
_LAST_S = 2.0
"""How long a client has to take its last answer along when the server ends."""
_CONFIG = H2Configuration(
    client_side=False, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
)


class Http2(asyncio.Protocol):
    """A client's connection.

    Args:
        app: answers its requests.
        traffic: that it is a part of.
        transport: of the connection, which another protocol has read until now.
        came: what has come on it.
    """

    __slots__ = (
        "_app",
        "_credit",
        "_ends",
        "_flushes",
        "_held_bytes",
        "_leaves",
        "_paused",
        "_peers",
        "_scheme",
        "_since",
        "_streams",
        "_traffic",
        "_transport",
        "_unsent_bytes",
        "_writable",
        "clogged",
        "h2",
        "late",
        "patience_s",
        "queue",
    )

    def __init__(self, app: ASGIApp, traffic: Traffic, transport: asyncio.Transport, came: bytes) -> None:
        self._app = app
        self._traffic = traffic
        self._transport = transport
        self._peers = (transport.get_extra_info("sockname"), transport.get_extra_info("peername"))
        self._scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        self._streams: dict[int, Stream] = {}
        self._held_bytes = self._unsent_bytes = 0
        self._credit, self._since = _CREDIT, traffic.loop.time()
        self._ends = self._flushes = self._paused = False
        self._leaves = False
        self._writable: asyncio.Event | None = None
        self.clogged = self.late = False
        self.queue: Queue | None = None
        self.patience_s = traffic.bounds.behind_s
        self.h2 = _begun()
        transport.set_protocol(self)
        traffic.move(self, traffic.fresh)
        self.data_received(came)
        if traffic.draining.is_set():
            self.hurry()

    # What the event loop calls.

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""
        self._ends = True
        self._traffic.move(self, None)
        self._lose_all()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        if self._ends:
            self._pause()
            self._traffic.pouring.take(self._read_on)
            return
        for at in range(0, len(data), _PIECE_BYTES):
            self._take(data[at : at + _PIECE_BYTES])
            if self._ends:
                return
        self.flush()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write: until it does, it is not heard either."""
        self.clogged = True
        if not self._ends:
            self._pause()

    def resume_writing(self) -> None:
        """It has read."""
        self.clogged = False
        self.patience_s = self._traffic.bounds.behind_s
        if self._writable is not None:
            self._writable.set()
        self._read_on()

    @property
    def asked(self) -> int:
        """How many requests wait for their answers."""
        return len(self._streams)

    # What comes in.

    def _take(self, piece: bytes) -> None:
        try:
            came = self.h2.receive_data(piece)
        except H2Error:  # it has said good-bye already
            self._finish()
            return
        for event in came:
            take = self._TAKEN.get(type(event))
            if take is None:
                self._credit -= 1
            else:
                take(self, event)
            if self._ends:
                return
        if self._credit < 0 and self._spent():
            self.h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._finish()

    def _spent(self) -> bool:
        """Whether the client has said too much that asks for nothing."""
        now = self._traffic.loop.time()
        self._credit += (now - self._since) * _EARNS_PER_S
        self._since = now
        return self._credit < 0

    def _take_head(self, event: events.RequestReceived) -> None:
        number = event.stream_id
        head, headers, twice = _read(event.headers)
        if self._leaves or len(self._streams) >= STREAMS:  # those that were taken back may still be at work
            self._credit -= 1
            self._reset(number, ErrorCodes.REFUSED_STREAM)
            return
        if twice:
            self._reset(number, ErrorCodes.PROTOCOL_ERROR)
            return
        stream = self._streams[number] = Stream(self, number, self._scope(head, headers))
        self._traffic.begin(self, stream.run(self._app))

    def _take_body(self, event: events.DataReceived) -> None:
        stream, size = self._streams.get(event.stream_id), event.flow_controlled_length
        assert size is not None
        if len(event.data) < _SMALL_BYTES and event.stream_ended is None:
            self._credit -= 1
        if stream is None or stream.gone:
            self.h2.acknowledge_received_data(size, event.stream_id)
            return
        self._held_bytes += len(event.data)
        if self._held_bytes > HELD_BYTES:
            self.reset(stream, ErrorCodes.ENHANCE_YOUR_CALM)
        stream.feed(event.data, size)

    def _take_end(self, event: events.StreamEnded) -> None:
        if stream := self._streams.get(event.stream_id):
            stream.end()

    def _take_reset(self, event: events.StreamReset) -> None:
        self._credit -= 1
        if stream := self._streams.get(event.stream_id):
            stream.lose()

    def _take_window(self, event: events.WindowUpdated) -> None:
        self._credit -= 1
        if not event.stream_id:
            self._take_settings(event)
        elif stream := self._streams.get(event.stream_id):
            stream.widen()

    def _take_settings(self, event: events.Event) -> None:
        self._credit -= 1
        for stream in self._streams.values():
            stream.widen()

    def _take_pong(self, event: events.PingAckReceived) -> None:
        """Of what the client sends from here on, it knows that it is not answered."""
        if event.ping_data == _LEAVING and self._traffic.draining.is_set() and not self._leaves:
            self._leaves = True
            self._say_goodbye(self.h2.highest_inbound_stream_id)
            if not self._streams:
                self._finish()

    def _take_goodbye(self, event: events.ConnectionTerminated) -> None:
        self._finish()

    _TAKEN: ClassVar[dict[type, Callable[[Http2, Any], None]]] = {
        events.RequestReceived: _take_head,
        events.DataReceived: _take_body,
        events.StreamEnded: _take_end,
        events.StreamReset: _take_reset,
        events.WindowUpdated: _take_window,
        events.RemoteSettingsChanged: _take_settings,
        events.PingAckReceived: _take_pong,
        events.ConnectionTerminated: _take_goodbye,
    }

    def _scope(self, head: dict[bytes, bytes], headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        server, client = self._peers
        path, _, query = head.get(b":path", b"").partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "2",
            "method": head[b":method"].decode("latin-1"),
            "scheme": self._scheme,
            "path": path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "server": server[:2] if server else None,
            "client": client[:2] if client else None,
            "state": self._traffic.state,
            "extensions": {"http.response.trailers": {}},
        }

    def _pause(self) -> None:
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _read_on(self) -> None:
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    # What goes out.

    def flush(self) -> None:
        """Send what is ready."""
        self._flushes = False
        if (said := self.h2.data_to_send()) and not self._transport.is_closing():
            self._transport.write(said)

    def flush_soon(self) -> None:
        """Send what is ready at the end of this turn of the event loop, in one piece."""
        if not self._flushes:
            self._flushes = True
            self._traffic.loop.call_soon(self.flush)

    async def unclogged(self) -> None:
        """Wait until the client has read most of what was sent."""
        while self.clogged:
            if self._writable is None:
                self._writable = asyncio.Event()
            self._writable.clear()
            await self._writable.wait()

    def earn(self) -> None:
        """A frame of an answer is sent, for which the client opens a window."""
        self._credit = min(self._credit + _EARNS_FRAME, _CREDIT)

    def reset(self, stream: Stream, why: ErrorCodes) -> None:
        """End a request without the rest of it, or of its answer."""
        if not (stream.gone or self._ends):
            self._reset(stream.number, why)
            self.flush_soon()
        stream.lose()

    def _reset(self, number: int, why: ErrorCodes) -> None:
        with suppress(H2Error):  # the client has ended it, too: what is heard of next
            self.h2.reset_stream(number, why)

    def done(self, stream: Stream) -> None:
        """A request is answered, or will not be."""
        del self._streams[stream.number]
        self._held_bytes -= stream.came_bytes
        if self._ends:
            return
        stream.open_window()
        if stream.answered:
            self._credit = min(self._credit + _EARNS_ANSWER, _CREDIT)
            if not (stream.ended or stream.gone):  # the rest of the body is of no use
                self.h2.reset_stream(stream.number, ErrorCodes.NO_ERROR)
        elif not stream.gone:
            self.h2.reset_stream(stream.number, ErrorCodes.INTERNAL_ERROR)
        self.flush_soon()
        if not self._streams:
            self.late = False
            self._traffic.move(self, self._traffic.idle)
            if self._leaves:
                self._finish()

    # Time.

    def look(self, elapsed_s: float) -> None:
        """So much time has passed while requests were answered: end those that have made us wait."""
        bounds = self._traffic.bounds
        if self._ends or self.clogged:
            unsent = self._transport.get_write_buffer_size()
            moved, self._unsent_bytes = max(self._unsent_bytes - unsent, 0), unsent
            if not self.late:  # since when is not known: it counts from now on
                self.late = True
                return
            left_s = self.patience_s - elapsed_s + moved / bounds.least_bytes_per_s
            self.patience_s = min(left_s, bounds.behind_s)
            if left_s < 0:
                self.cut()
            return
        for stream in list(self._streams.values()):
            if stream.look(elapsed_s, bounds) < 0:
                self.reset(stream, ErrorCodes.CANCEL)
        left = [each.patience_s for each in self._streams.values() if each.late]
        self.late, self.patience_s = bool(left), min(left, default=bounds.behind_s)

    def hurry(self) -> None:
        """The server ends: no more requests here, as far as the client knows of it."""
        if self._ends:
            self.patience_s = min(self.patience_s, _LAST_S)
            return
        self._say_goodbye(_ALL_STREAMS)
        self.h2.ping(_LEAVING)
        self.flush()

    def expire(self) -> None:
        """No request has come in time."""
        self._say_goodbye(self.h2.highest_inbound_stream_id)
        self._finish()

    def cut(self) -> None:
        """The client has made us wait too long."""
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        self._ends = True
        self._traffic.move(self, None)
        self._transport.abort()

    def _say_goodbye(self, last: int) -> None:
        """Which requests are still answered. `h2` would answer none from there on, so that it is not told."""
        self.flush()
        if not self._transport.is_closing():
            self._transport.write(GoAwayFrame(0, last_stream_id=last).serialize())

    def _finish(self) -> None:
        """Say no more. What still comes is thrown away for a while: a close would take the answer along."""
        self.flush()
        self._ends = True
        self._lose_all()
        self.patience_s = self._traffic.bounds.behind_s
        if self._traffic.draining.is_set():
            self.hurry()
        self._traffic.move(self, self._traffic.busy)
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._read_on()
        else:  # TLS says good-bye in both directions
            self._transport.close()

    def _lose_all(self) -> None:
        for stream in self._streams.values():
            stream.lose()


class _States(H2Connection):
    """What speaks with a client. It remembers how the last requests ended; 65,536 of them take 6 MiB."""

    MAX_CLOSED_STREAMS = 1024


def _begun() -> H2Connection:
    """What speaks with a client, its own settings said."""
    made = _States(_CONFIG)
    made.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS,
            SettingCodes.MAX_HEADER_LIST_SIZE: HEAD_BYTES,
            SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW_BYTES,
        },
    )
    made.decoder.max_header_list_size = HEAD_BYTES
    made.initiate_connection()
    made.increment_flow_control_window(_SHARED_BYTES - 65_535)
    return made


def _read(given: Any) -> tuple[dict[bytes, bytes], list[tuple[bytes, bytes]], bool]:
    """What begins with a colon in a head, all else, and whether something stands there twice that may not."""
    head: dict[bytes, bytes] = {}
    headers: list[tuple[bytes, bytes]] = []
    for name, value in given:
        if name[:1] == b":":
            head[name] = value
        else:
            headers.append((name, value))
    names = [name for name, _ in headers]
    if b"host" not in names and (authority := head.get(b":authority")) is not None:
        headers.append((b"host", authority))
        names.append(b"host")
    return head, headers, any(names.count(each) > 1 for each in SINGLE)
