"""A request as the endpoints of a replica see it, and the reply that they give."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import cached_property
from urllib.parse import parse_qsl

from msgspec import Struct
from starlette.types import Receive, Scope

from mlwright.serving.problems import Problem
from mlwright.serving.tracing import Trace

JSON = "application/json"


class Request:
    """What a client asks.

    Args:
        scope: as ASGI has it.
        receive: gives the body.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.admit: Callable[[], None] | None = None
        """Called before the body is read; it may refuse."""

    @property
    def method(self) -> str:
        """In capitals."""
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        """Decoded."""
        return str(self.scope["path"])

    @cached_property
    def query(self) -> Mapping[str, str]:
        """What stands behind the question mark; of two of one name the last."""
        given = self.scope["query_string"]
        return dict(parse_qsl(given.decode("latin-1"), keep_blank_values=True)) if given else {}

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """With names in small letters; of two of one name the last."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}

    def header(self, name: bytes) -> str:
        """One of them, without a dict of all; the last of two, and empty where there is none.

        Args:
            name: in small letters.
        """
        found = b""
        for each, value in self.scope["headers"]:
            if each == name:
                found = value
        return found.decode("latin-1")

    @property
    def media_type(self) -> str:
        """Of the body, in small letters and without parameters; empty where none is declared."""
        declared = self.header(b"content-type")
        return declared if declared == JSON else declared.partition(";")[0].strip().lower()

    async def body(self, limit_bytes: int) -> bytes:
        """The whole body, of which no more than the limit is ever kept.

        What is not read here is read and thrown away by the server, so that the client gets to the answer.

        Raises:
            Problem: 413 too large, 400 it ended too early, 415 it is encoded, 503 too many others wait.
        """
        self.check_coding()
        if int(self.header(b"content-length") or 0) > limit_bytes:
            raise _too_large(limit_bytes)
        pieces, size = [], 0
        async for piece in self.pieces():
            size += len(piece)
            if size > limit_bytes:
                raise _too_large(limit_bytes)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The body as it comes.

        Raises:
            Problem: 400, it ended too early; 503, too many others wait.
        """
        if self.admit is not None:
            self.admit()
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Problem(400, "the body ended too early")
            more = message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece

    async def gone(self) -> None:
        """Return when nobody waits for the answer any more; to be asked after the body was read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def check_coding(self) -> None:
        """A body that is compressed could be of any size.

        Raises:
            Problem: 415, it is.
        """
        coding = self.header(b"content-encoding").strip().lower()
        if coding not in ("", "identity"):
            raise Problem(415, f"the content must not be encoded, and is {coding[:40]}")


def _too_large(limit_bytes: int) -> Problem:
    return Problem(413, f"the body is larger than {limit_bytes} bytes: send fewer rows at once")


class Reply(Struct, frozen=True):
    """What a client is answered.

    Args:
        body: all of it, or its pieces as they are made.
        headers: beside the content's type and length.
    """

    body: bytes | AsyncGenerator[bytes]
    status: int = 200
    media_type: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def head(self, trace: Trace | None) -> list[tuple[bytes, bytes]]:
        """All headers; with the trace that it is a part of, and the length of the body, if that is known."""
        headers = [(b"content-type", self.media_type.encode()), *self.headers]
        if isinstance(self.body, bytes):
            headers.append((b"content-length", b"%d" % len(self.body)))
        if trace is not None:
            headers += trace.headers
        return headers


Endpoint = Callable[[Request], Awaitable[Reply]]
"""Answers the requests of one method and path."""


class Doors(Struct, frozen=True):
    """Where a model is asked, by one protocol.

    Args:
        endpoint: answers there.
        version: the path of this very version; empty for none.
        model: that of its model; empty for none.
        any: where no model is named; empty if there is no such path.
    """

    endpoint: Endpoint
    version: str = ""
    model: str = ""
    any: str = ""


Routes = dict[tuple[str, str], Endpoint]
"""Endpoints by method and path: all paths are known when the models are loaded."""
