"""What applications answer, as it goes over the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.wire.answering import answering, body_of, live, told

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "header", [(b"x", b"a\r\n"), (b"x", b"a\r\nb: c"), (b"x\r\ny", b"a"), (b"x", b"\n"), (b"x", b"\0")]
)
@pytest.mark.parametrize("length", [[], [(b"content-length", b"2")]])
def test_a_header_cannot_hold_another_line(
    header: tuple[bytes, bytes], length: list[tuple[bytes, bytes]]
) -> None:
    """Whatever an application is made to say in a header, nothing of it goes out."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        await body_of(receive)
        start: Message = {"type": "http.response.start", "status": 200, "headers": [*length, header]}
        await send(start)
        await send({"type": "http.response.body", "body": b"OK"})

    with answering(app) as there, there.connect() as stream:
        stream.sendall(GET)
        answer = b"".join(iter(lambda: stream.recv(1 << 16), b""))

    assert answer == b""


def test_a_body_that_nobody_reads_does_not_hold_up_the_next_request() -> None:
    """An answer that is given while most of a body waits unread leaves the connection to be used again."""
    size = 100 << 10

    async def app(scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        while scope["method"] == "POST" and not receive.__self__.full:
            await asyncio.sleep(0.001)
        await told(send)

    with answering(app) as there, there.connect() as stream:
        stream.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % size)
        stream.sendall(b"x" * (size - 1))
        first = stream.recv(1 << 16)
        stream.sendall(b"x" + GET)
        second = b"".join(iter(lambda: stream.recv(1 << 16), b""))

    assert b"connection: close" not in first
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 200 ")
