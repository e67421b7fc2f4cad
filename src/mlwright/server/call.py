"""A request as a handler sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope

from mlwright.kernel.database import Source, Transaction
from mlwright.server.identity import NOBODY, Identity
from mlwright.server.tracker import Tracker

P = ParamSpec("P")
T = TypeVar("T")
encode = msgspec.json.Encoder().encode
"""A value as JSON."""


class Encoded(msgspec.Struct, frozen=True):
    """An answer that is JSON already."""

    body: bytes


class Call:
    """One request of a route.

    Args:
        tracker: the rooms.
        names: the variables of the route's path.
        headers: by name, in small letters.
        body_bytes: how large its body may be.
        identity: of who asks.
    """

    __slots__ = (
        "__dict__",
        "_body_bytes",
        "_most_bytes",
        "_receive",
        "_scope",
        "headers",
        "identity",
        "names",
        "tracker",
    )

    def __init__(
        self,
        tracker: Tracker,
        names: Mapping[str, str],
        headers: dict[bytes, bytes],
        body_bytes: int,
        scope: Scope,
        receive: Receive,
        identity: Identity = NOBODY,
    ) -> None:
        self.tracker = tracker
        self.names = names
        self.headers = headers
        self.identity = identity
        self._scope = scope
        self._receive = receive
        self._most_bytes = body_bytes
        self._body_bytes = 0

    @property
    def method(self) -> str:
        """`GET`, `POST`, ..."""
        return str(self._scope["method"])

    @property
    def path(self) -> str:
        """What is asked for, decoded."""
        return str(self._scope["path"])

    @property
    def query(self) -> bytes:
        """What stands behind the question mark, as it was sent."""
        return bytes(self._scope["query_string"])

    @cached_property
    def request(self) -> Request:
        """The same for handlers that stream."""
        return Request(self._scope, self._receive)

    async def body(self) -> bytes | bytearray:
        """The whole body.

        Raises:
            TooLarge: it has more bytes than the route takes.
            Invalid: the client has gone before its end, or has encoded it.
            Unavailable: too much is held already.
        """
        body = await self.tracker.bodies.read(self._receive, self.headers, self._most_bytes)
        self._body_bytes += len(body)
        return body

    def end(self) -> None:
        """Let go of what was read."""
        self.tracker.bodies.let_go(self._body_bytes)

    async def read(
        self, function: Callable[Concatenate[Source, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `function(source, ...)` answers, which only reads; it runs in a thread."""
        return await self.tracker.readers.read(function, *args, **kwargs)

    async def told(
        self, function: Callable[Concatenate[Source, P], Any], *args: P.args, **kwargs: P.kwargs
    ) -> Encoded:
        """The same as JSON, for answers that may be long: written in that thread too."""
        return await self.tracker.readers.read(_encoded, function, *args, **kwargs)

    async def write(self, change: Callable[[Transaction], T]) -> T:
        """What `change(tx)` answers; it is on disk on return, and may be called twice."""
        return await self.tracker.commits.write(change)


def _encoded(source: Source, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Encoded:
    answer = function(source, *args, **kwargs)
    return answer if isinstance(answer, Encoded) else Encoded(encode(answer))
