"""Hostile clients in a process of their own.

    python benchmarks/_hostile.py KIND PORT SECONDS

It prints `ready` when all of them are there, and goes on for so long.
"""

from __future__ import annotations

import socket
import sys
import time

_HOST = b"Host: localhost\r\n"
_SEARCH = b"POST /api/2.0/mlflow/runs/search HTTP/1.1\r\nContent-Type: application/json\r\n" + _HOST
_NESTED = b'{"x": ' + b"[" * 100_000
_FIND = b'{"experiment_ids": ["0"], "max_results": 1000}'
_CHUNK = b"10000\r\n" + b"a" * (1 << 16) + b"\r\n"


def _with_body(body: bytes, headers: bytes = b"") -> bytes:
    return _SEARCH + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


KINDS: dict[str, tuple[int, bytes, bytes]] = {
    "5,000 idle connections": (5000, b"", b""),
    "1,000 slow heads": (1000, b"GET /health HTTP/1.1\r\nX: " + b"a" * 10_000, b"a"),
    "1,000 slow bodies": (1000, _SEARCH + b"Content-Length: 60000\r\n\r\n" + b"a" * 50_000, b"a"),
    "JSON nested 100,000 deep": (4, b"", _with_body(_NESTED)),
    "endless bodies in chunks": (8, b"", _SEARCH + b"Transfer-Encoding: chunked\r\n\r\n" + _CHUNK * 200),
    "gzip bombs": (8, b"", _with_body(b"\x1f\x8b" * 50_000, b"Content-Encoding: gzip\r\n")),
    "headers of 1 MiB": (8, b"", b"GET /health HTTP/1.1\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n"),
    "10,000 headers": (8, b"", b"GET /health HTTP/1.1\r\n" + b"a: b\r\n" * 10_000 + b"\r\n"),
    "pipelines that nobody reads": (50, b"", (b"GET /health HTTP/1.1\r\n" + _HOST + b"\r\n") * 5000),
    "100 searches at once": (100, b"", _with_body(_FIND)),
}
"""By what they are called: how many clients, what each sends at first, and what again and again."""


def main(kind: str, port: int, seconds: float) -> None:
    clients, first, again = KINDS[kind]
    reads = "nobody reads" not in kind
    pace_s = 1.0 if len(again) == 1 else 0.1

    def connected() -> socket.socket:
        stream = socket.create_connection(("127.0.0.1", port))
        stream.sendall(first)
        stream.setblocking(False)
        return stream

    streams = [connected() for _ in range(clients)]
    print("ready", flush=True)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        for number, stream in enumerate(streams):
            try:
                if again:
                    stream.send(again)
                if reads and stream.recv(1 << 20) == b"":
                    raise ConnectionError
            except BlockingIOError:
                pass
            except OSError:
                stream.close()
                if len(again) > 1:
                    streams[number] = connected()
        time.sleep(max(0.0, pace_s - (time.monotonic() - began)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
