"""Clients that ask without a pause, and hold every request that is not answered against the server."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.processes import until

_REQUEST = b"GET /predict HTTP/1.1\r\nhost: x\r\n\r\n"


class Load:
    """So many clients that keep their connection, and so many that make a new one for each request.

    One that keeps it uses it again unless the answer before said that it is closed: a connection that ends
    otherwise is a failure, as is any request that is not answered with 200: `failed` has when, and what.

    Args:
        pause_s: of a client, between two requests.
        looks: whether a client looks whether its connection still stands before it asks, as good ones do.
    """

    def __init__(
        self, url: str, *, keeping: int, fresh: int, pause_s: float = 0.002, looks: bool = False
    ) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._pause_s = pause_s
        self._looks = looks
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self.answered: Counter[bytes] = Counter()
        self.failed: list[tuple[float, str]] = []
        kinds = [True] * keeping + [False] * fresh
        self._threads = [threading.Thread(target=self._ask, args=(keeps,), daemon=True) for keeps in kinds]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        self.goes_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        for each in self._threads:
            each.join(30)

    @property
    def total(self) -> int:
        """Requests that were answered."""
        return sum(self.answered.values())

    def goes_on(self, more: int = 100) -> None:
        """Wait until so many more are answered."""
        goal = self.total + more
        until(lambda: self.total >= goal or len(self.failed) > 1000)

    def _ask(self, keeps: bool) -> None:
        stream: socket.socket | None = None
        while not self._ends.wait(self._pause_s):
            try:
                if self._looks and stream is not None and select.select([stream], [], [], 0)[0]:
                    stream.close()
                    stream = None
                if stream is None:
                    stream = socket.create_connection(self._address, timeout=20)
                stream.sendall(_REQUEST)
                head, body = _answer(stream)
            except OSError as error:
                with self._lock:
                    self.failed.append((time.monotonic(), f"keeps={keeps} {error!r}"))
                if stream is not None:
                    stream.close()
                    stream = None
                continue
            with self._lock:
                self.answered[body] += 1
            if not keeps or b"connection: close" in head:
                stream.close()
                stream = None
        if stream is not None:
            stream.close()


def _answer(stream: socket.socket) -> tuple[bytes, bytes]:
    """The head and the body of an answer."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _piece(stream)
    head = data[:end].lower()
    if not head.startswith(b"http/1.1 200 "):
        raise ConnectionError(head.decode())
    length = int(head.partition(b"content-length: ")[2].split()[0])
    while len(data) < end + 4 + length:
        data += _piece(stream)
    return head, data[end + 4 :]


def _piece(stream: socket.socket) -> bytes:
    piece = stream.recv(1 << 16)
    if not piece:
        raise ConnectionError("the connection ended before the answer")
    return piece
