"""What the real client asks a server, recorded once, and asked again by one light load generator.

The generator is one thread on uvloop: it writes a request whole, and the next on the same connection when
the answer is there. The client itself sends head and body apart, which costs a server that delays what it
acknowledges 40 ms more; that is not asked again here, in favour of the baseline.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import uvloop


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as the client sent it, and what was answered."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    answer: bytes

    def bytes_for(self, url: str, body: bytes | None = None) -> bytes:
        """It as it goes to a server, if need be with another body."""
        body = self.body if body is None else body
        dropped = {"host", "content-length", "connection", "accept-encoding"}
        head = [f"{self.method} {self.target} HTTP/1.1", f"Host: {urlsplit(url).netloc}"]
        head += [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in dropped]
        if body or self.method not in {"GET", "HEAD"}:
            head.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*head, "", ""]).encode() + body


@contextmanager
def recording(upstream: str) -> Iterator[tuple[str, list[Asked]]]:
    """Stand before a server; yields an address, and the list that all requests to it come into."""
    asked: list[Asked] = []

    class Between(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = HTTPConnection(urlsplit(upstream).netloc)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, self.path, body, headers | {"Accept-Encoding": "identity"})
            answer = connection.getresponse()
            content = answer.read()
            asked.append(Asked(self.command, self.path, dict(self.headers.items()), body, content))
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"] or "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Between)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True, slots=True)
class Load:
    """What a server made of many requests.

    Args:
        wall_s: from the first to the last answer.
        took_s: of each request, from before it was written until its answer was there.
    """

    wall_s: float
    took_s: list[float]

    @property
    def per_s(self) -> float:
        """Answers per second."""
        return len(self.took_s) / self.wall_s

    @property
    def p50_ms(self) -> float:
        """Half of the answers came sooner."""
        return statistics.median(self.took_s) * 1000

    @property
    def p99_ms(self) -> float:
        """All but one in a hundred came sooner."""
        return sorted(self.took_s)[max(0, math.ceil(len(self.took_s) * 0.99) - 1)] * 1000


def ask_all(url: str, clients: Sequence[Sequence[bytes]]) -> Load:
    """Let several clients at once, each on one connection, ask one request after the other.

    Raises:
        RuntimeError: an answer was no success.
    """
    return uvloop.run(_ask_all(url, clients))


def ask(url: str, request: bytes) -> bytes:
    """Ask once; the body of the answer."""
    answers: list[bytes] = []

    async def once() -> None:
        reader, writer = await _connected(url)
        answers.append(await _answer(reader, writer, request))
        writer.close()

    uvloop.run(once())
    return answers[0]


async def _ask_all(url: str, clients: Sequence[Sequence[bytes]]) -> Load:
    took: list[float] = []
    connections = [await _connected(url) for _ in clients]

    async def one(
        requests: Sequence[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        for request in requests:
            began = time.perf_counter()
            await _answer(reader, writer, request)
            took.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(
        *(one(requests, *connection) for requests, connection in zip(clients, connections, strict=True))
    )
    return Load(time.perf_counter() - began, took)


async def _connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 24)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
    else:
        length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        body = await reader.readexactly(int(length or 0))
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(f"{request[:200]!r} was answered with {head[:40]!r} {body[:500]!r}")
    return body


def found_in(answer: bytes, *path: str) -> str:
    """A text inside an answer in JSON, as `found_in(answer, "run", "info", "run_id")`."""
    value = json.loads(answer)
    for each in path:
        value = value[each]
    return str(value)
