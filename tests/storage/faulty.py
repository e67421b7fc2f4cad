"""A proxy in front of an HTTP server that does what networks and servers do on a bad day."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Literal

from msgspec import Struct

Fault = Literal["500", "503", "stall", "truncate", "flip", "flip upload", "expired", "denied", "cut"]

ANYTHING: tuple[Fault, ...] = ("500", "503", "stall", "truncate", "flip", "flip upload")
"""What may befall a request, and be gone when it is made again."""

LEAKED = "AKIALEAKEDLEAKEDLEAK"
"""What an answer says and no message may repeat."""

_ERRORS = {
    "500": (500, "Internal Server Error", "InternalError"),
    "503": (503, "Service Unavailable", "SlowDown"),
    "expired": (400, "Bad Request", "ExpiredToken"),
    "denied": (403, "Forbidden", "AccessDenied"),
}


class Message(Struct):
    """A request or an answer: its first line, its headers as they came, its body."""

    first: bytes
    headers: list[bytes]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header; empty when there is none."""
        for line in self.headers:
            key, _, value = line.decode("latin-1").partition(":")
            if key.lower() == name:
                return value.strip()
        return ""


class FaultyProxy:
    """Passes requests on to a server on loopback; some of them meet a fault.

    Args:
        port: of the server.
        share: of the requests that meet a fault, 0 to 1.
        most: how many do at most; as many as there are, when it is None.
        faults: those that are drawn from.
        seed: of the drawing.
        only: requests whose method stands here may meet a fault; all, when it is empty.
        delay_s: how long each answer takes at least.
        partial: say 206 to whoever asks for a part, as a server should; rclone answers 200.
        encrypted: its checksums look like those of the bytes, and are not, as those of encrypted buckets.
    """

    def __init__(
        self,
        port: int,
        *,
        share: float = 0.2,
        most: int | None = None,
        faults: Iterable[Fault] = ANYTHING,
        seed: int = 0,
        only: Iterable[str] = (),
        delay_s: float = 0.0,
        partial: bool = False,
        encrypted: bool = False,
    ) -> None:
        self.upstream = port
        self.share = share
        self._most = most
        self.faults = tuple(faults)
        self.only = frozenset(only)
        self.met: Counter[str] = Counter()
        self.requests: list[str] = []
        self.most_in_flight = 0
        self.sent_bytes = 0
        self._delay_s = delay_s
        self._partial = partial
        self._encrypted = encrypted
        self.port = 0
        self._in_flight = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._random = random.Random(seed)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(0)  # what was aborted is closed in the next round
        await asyncio.sleep(0)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while (request := await _read(reader)) is not None:
                self._in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self._in_flight)
                try:
                    if not await self._answer(request, writer):
                        break
                finally:
                    self._in_flight -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _drawn(self, request: Message) -> Fault | None:
        method = request.first.split()[0].decode()
        self.requests.append(" ".join(request.first.decode("latin-1").split()[:2]))
        if (self.only and method not in self.only) or self._random.random() >= self.share:
            return None
        if self._most is not None and self.met.total() >= self._most:
            return None
        fitting = [
            fault
            for fault in self.faults
            if (fault not in {"flip", "truncate", "cut"} or method == "GET")
            and (fault != "flip upload" or (method == "PUT" and request.body))
        ]
        return self._random.choice(fitting) if fitting else None

    async def _answer(self, request: Message, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection can be used again."""
        fault = self._drawn(request)
        if fault in _ERRORS:
            self.met[fault] += 1
            _write(writer, _error(request, *_ERRORS[fault]))
            await writer.drain()
            return True
        if fault == "stall":
            self.met[fault] += 1
            await asyncio.sleep(3600)
        if fault == "flip upload":
            self.met[fault] += 1
            request.body = _flipped(request.body, self._random)
        await asyncio.sleep(self._delay_s)
        answer = await self._forward(request)
        if self._partial and answer.header("content-range"):
            answer.first = b"HTTP/1.1 206 Partial Content"
        if self._encrypted:
            answer.headers = [_of_own_kind(line) for line in answer.headers]
        self.sent_bytes += len(answer.body)
        of_object = answer.body and b" 20" in answer.first and "list-type" not in self.requests[-1]
        if fault == "flip" and of_object:
            self.met[fault] += 1
            answer.body = _flipped(answer.body, self._random)
        if fault in {"truncate", "cut"} and of_object:
            self.met[fault] += 1
            answer.body = answer.body[: len(answer.body) // 2]
            _write(writer, answer)
            await writer.drain()
            return False
        _write(writer, answer)
        await writer.drain()
        return True

    async def _forward(self, request: Message) -> Message:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream, limit=1 << 20)
        self._open.add(writer)
        try:
            headers = [line for line in request.headers if not line.lower().startswith(b"connection:")]
            _write(writer, Message(request.first, [*headers, b"Connection: close"], request.body))
            await writer.drain()
            answer = await _read(reader, has_body=not request.first.startswith(b"HEAD"))
            assert answer is not None, "the server closed the connection"
            answer.headers = [
                line
                for line in answer.headers
                if not line.lower().startswith((b"connection:", b"transfer-encoding:"))
            ]
            if not answer.header("content-length"):
                answer.headers.append(b"Content-Length: %d" % len(answer.body))
            return answer
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader, *, has_body: bool = True) -> Message | None:
    """A whole message; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *headers = head[:-4].split(b"\r\n")
    message = Message(first, headers, b"")
    if has_body and message.header("transfer-encoding").lower() == "chunked":
        pieces = []
        while size := int(await reader.readline(), 16):
            pieces.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readline()
        message.body = b"".join(pieces)
    elif has_body and (length := message.header("content-length")):
        message.body = await reader.readexactly(int(length))
    return message


def _write(writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(b"\r\n".join([message.first, *message.headers, b"", message.body]))


def _of_own_kind(header: bytes) -> bytes:
    name, _, value = header.partition(b":")
    if name.lower() != b"etag":
        return header
    return b'%s: "%s"' % (name, hashlib.md5(value, usedforsecurity=False).hexdigest().encode())


def _flipped(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]


def _error(request: Message, status: int, reason: str, code: str) -> Message:
    # Amazon's answers repeat the name of the key.
    body = (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as asked</Message>"
        f"<AWSAccessKeyId>{LEAKED}</AWSAccessKeyId></Error>"
    ).encode()
    if request.first.startswith(b"HEAD"):
        body = b""
    headers: Mapping[str, object] = {"Content-Type": "application/xml", "Content-Length": len(body)}
    lines = [f"{name}: {value}".encode() for name, value in headers.items()]
    return Message(f"HTTP/1.1 {status} {reason}".encode(), lines, body)
