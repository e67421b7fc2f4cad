"""A client that speaks HTTP/2 by hand, so that it can say what no good one says."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from h2 import events
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection

DEADLINE_S = 30
_HEAD_BYTES = 9
Headers = Sequence[tuple[str, str]]


@dataclass
class Answer:
    """What has come of one request: `reset` is why it was ended without the rest."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    reset: int | None = None

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


class Speaker:
    """One connection.

    Args:
        port: on loopback.
        reads: whether what comes of answers is taken along, so that more may be sent.
    """

    def __init__(self, port: int, *, reads: bool = True) -> None:
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.authority = f"127.0.0.1:{port}"
        self.answers: dict[int, Answer] = {}
        self.goodbyes: list[tuple[int, int]] = []
        """The error and the last request of each GOAWAY."""
        self.closed = False
        self._reads = reads
        self._came = b""
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()

    def flush(self) -> None:
        """Send what is to be sent."""
        self.send(self.h2.data_to_send())

    def send(self, raw: bytes) -> None:
        """Send bytes as they are."""
        try:
            self.stream.sendall(raw)
        except OSError:
            self.closed = True

    def ask(self, path: str, body: bytes | None = b"", headers: Headers = (), *, ends: bool = True) -> int:
        """Begin a request, with a body no larger than its window; its number."""
        number = self.h2.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", self.authority)]
        self.h2.send_headers(number, [*head, *headers], end_stream=ends and not body)
        self.answers[number] = Answer()
        if body:
            self.pour(number, body, ends=ends)
        self.flush()
        return number

    def pour(self, number: int, body: bytes, *, ends: bool = True) -> None:
        """Send a body as its window opens."""
        left = memoryview(body)
        while left and not self.answers[number].over:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if room <= 0:
                self.flush()
                self.hear()
                continue
            piece, left = left[:room], left[room:]
            self.h2.send_data(number, bytes(piece), end_stream=ends and not left)
        self.flush()

    def answer(self, number: int) -> Answer:
        """Wait until a request is answered, or is known not to be."""
        answer = self.answers[number]
        self.until(lambda: answer.over)
        return answer

    def until(self, condition: Callable[[], object]) -> None:
        """Listen until something holds, or nothing more comes."""
        deadline = time.monotonic() + DEADLINE_S
        while not (condition() or self.closed):
            assert time.monotonic() < deadline, "it did not happen in time"
            self.hear()

    def hear(self) -> None:
        """Take what has come."""
        try:
            raw = self.stream.recv(1 << 16)
        except ConnectionError:
            raw = b""
        if not raw:
            self.closed = True
            self.stream.close()
            return
        self._came += raw
        while len(self._came) >= _HEAD_BYTES:
            size = _HEAD_BYTES + int.from_bytes(self._came[:3])
            if len(self._came) < size:
                break
            frame, self._came = self._came[:size], self._came[size:]
            for event in self.h2.receive_data(frame):
                self._take(event)
        self.flush()

    def _take(self, event: Any) -> None:
        match event:
            case events.ResponseReceived():
                self.answers[event.stream_id].headers = dict(event.headers)
            case events.DataReceived():
                self.answers[event.stream_id].body += event.data
                if self._reads:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.TrailersReceived():
                self.answers[event.stream_id].trailers = dict(event.headers)
            case events.StreamEnded():
                self.answers[event.stream_id].ended = True
            case events.StreamReset() if event.stream_id in self.answers:
                self.answers[event.stream_id].reset = int(event.error_code)
            case events.ConnectionTerminated():
                self.goodbyes.append((int(event.error_code), event.last_stream_id))
                # What it still answers is taken: `h2` itself would hear nothing after a good-bye.
                self.h2.state_machine.state = ConnectionState.CLIENT_OPEN
