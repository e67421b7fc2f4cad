"""Requests offered at a rate, whether they are answered or not, from a process of their own.

    python benchmarks/_offered.py PORT PER_SECOND SECONDS

One thread on uvloop over raw connections, opened as they are needed, 2,000 at most: where none is free a
request counts as `unsent`. It prints one line of JSON: when it offered the last one (by CLOCK_MONOTONIC), how
many were answered with 200 per second until then, how many with each status in all, and how long 99 of 100 of
each took, in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time

import uvloop

_BODY = b'{"rows":[{"a":1.0}]}'
_HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_REQUEST = _HEAD + b"Content-Length: %d\r\n\r\n" % len(_BODY) + _BODY
_CONNECTIONS = 2000
_LAST_S = 5.0


class _Client(asyncio.Protocol):
    def __init__(self, free: list[_Client], took_s: dict[int, list[float]]) -> None:
        self._free = free
        self._took_s = took_s
        self._read = b""
        self._sent = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def send(self) -> None:
        assert self.transport is not None
        self._sent = time.perf_counter()
        self.transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if end and len(body) >= int(length or 0):
            self._took_s.setdefault(int(head[9:12]), []).append(time.perf_counter() - self._sent)
            self._read = b""
            self._free.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self._sent and self not in self._free:
            self._took_s.setdefault(0, []).append(time.perf_counter() - self._sent)
        elif self in self._free:
            self._free.remove(self)


async def offer(port: int, per_s: float, seconds: float) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    free: list[_Client] = []
    took_s: dict[int, list[float]] = {}
    opened = unsent = sent = 0
    began = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        due = int(elapsed * per_s) - sent - unsent
        for _ in range(due):
            if not free and opened < _CONNECTIONS:
                opened += 1
                _, client = await loop.create_connection(lambda: _Client(free, took_s), "127.0.0.1", port)
                free.append(client)
            if free:
                sent += 1
                free.pop().send()
            else:
                unsent += 1
        await asyncio.sleep(0.001)
    ended = time.perf_counter()
    good = len(took_s.get(200, ()))
    until = time.perf_counter() + _LAST_S
    while sum(map(len, took_s.values())) < sent and time.perf_counter() < until:
        await asyncio.sleep(0.01)
    return {
        "ended": ended,
        "good_per_s": good / (ended - began),
        "unsent": unsent,
        "unanswered": sent - sum(map(len, took_s.values())),
        "counts": {status: len(each) for status, each in took_s.items()},
        "p99_ms": {
            status: sorted(each)[max(0, math.ceil(len(each) * 0.99) - 1)] * 1000
            for status, each in took_s.items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(offer(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))))
