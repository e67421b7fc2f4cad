"""gRPC: calls are requests of HTTP/2; a message has its length before it, and the end says how it went.

Source: gRPC, doc/PROTOCOL-HTTP2.md, doc/statuscodes.md, doc/compression.md; proposal A6 (client retries).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from time import monotonic
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from mlwright.serving.access import Access
from mlwright.serving.asking import asking
from mlwright.serving.figures import Figures
from mlwright.serving.hosts import check_host
from mlwright.serving.problems import MEDIA_TYPE as DOCUMENT
from mlwright.serving.problems import Problem
from mlwright.serving.request import Reply, Request

MEDIA_TYPE = "application/grpc"
_TAKEN = {MEDIA_TYPE, f"{MEDIA_TYPE}+proto"}
_PREFIX_BYTES = 5
_STATUS = {
    **{200: 0, 400: 3, 403: 7, 404: 5, 413: 8, 415: 12, 422: 3},
    **{401: 16, 499: 1, 500: 13, 501: 12, 503: 14, 504: 4},
}
"""gRPC's code for each of our statuses; UNKNOWN for another one."""
_OK, _UNKNOWN = 0, 2
_HEADERS = ((b"content-type", MEDIA_TYPE.encode()),)
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_PRINTED = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_LONGEST = 600
"""Letters of a message: metadata of more than 8 KiB are not taken by clients."""
_LOG = logging.getLogger(__name__)


class Call(Request):
    """What a client calls for.

    `message` is what it sends, without its length; `deadline` is when it has no use for an answer any more,
    by `time.monotonic()`, None if it does not say; `asks` says that it was a model's to answer, and counted
    there.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.began = monotonic()
        self.message = b""
        self.asks = False

    @property
    def deadline(self) -> float | None:
        """As above.

        Raises:
            Problem: 400, it is said in no way that gRPC has.
        """
        told = self.header(b"grpc-timeout")
        if not told:
            return None
        found = _TIMEOUT.fullmatch(told.encode("latin-1"))
        if found is None:
            raise Problem(400, "`grpc-timeout` must be a number of up to 8 digits and a unit, as 250m")
        return self.began + int(found[1]) * _SECONDS[found[2]]

    async def read(self, limit_bytes: int) -> None:
        """Take the message, of which no more than the limit is ever kept.

        Raises:
            Problem: 400, it is not one message; 413, it is too large; 415, it is compressed.
        """
        coding = self.header(b"grpc-encoding")
        if coding not in ("", "identity"):
            raise Problem(415, f"messages must not be compressed, and are by {coding[:40]}")
        came, pieces = 0, list[bytes]()
        async for piece in self.pieces():
            if came < _PREFIX_BYTES <= came + len(piece):
                _check_prefix(b"".join([*pieces, piece]), limit_bytes)
            came += len(piece)
            if came > limit_bytes + _PREFIX_BYTES:
                raise Problem(400, "one message must be sent")
            pieces.append(piece)
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if len(whole) < _PREFIX_BYTES or len(whole) - _PREFIX_BYTES != int.from_bytes(whole[1:5]):
            raise Problem(400, "one message must be sent, after a byte and its length in 4 bytes")
        self.message = whole[_PREFIX_BYTES:]


def _check_prefix(begin: bytes, limit_bytes: int) -> None:
    if begin[0]:
        raise Problem(415, "messages must not be compressed")
    if (size := int.from_bytes(begin[1:_PREFIX_BYTES])) > limit_bytes:
        raise Problem(
            413, f"the message has {size} bytes, and may have {limit_bytes}: send fewer rows at once"
        )


Method = Callable[[Call], Awaitable[Reply]]
"""Answers the calls of one path. The body of its reply is a message, or are messages as they are made; its
headers stand behind it, in the trailing metadata."""


class Calls:
    """What can be called, as an ASGI application over HTTP/2.

    Args:
        access: on what terms it is answered.
        limit_bytes: of a message.
        figures: where calls are counted that ask no model.
        methods: by their paths, as `/grpc.health.v1.Health/Check`.
        anybody: the paths of those that probes call, which have no token.
    """

    def __init__(
        self,
        access: Access,
        limit_bytes: int,
        figures: Figures,
        methods: dict[str, Method],
        anybody: Collection[str],
    ) -> None:
        self.methods = methods
        self._access = access
        self._limit_bytes = limit_bytes
        self._figures = figures
        self._anybody = frozenset(anybody)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        call = Call(scope, receive)
        if call.media_type not in _TAKEN:
            await _refuse(send)
            return
        reply = await self._reply(call)
        if not call.asks:
            self._figures.elsewhere[reply.status // 100] += 1
        code = _STATUS.get(reply.status, _UNKNOWN)
        trailers = [(b"grpc-status", b"%d" % code), *reply.headers]
        if trace := asking.get().trace:
            trailers += trace.headers
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS, "trailers": True})
        if code == _OK:
            await _pour(reply.body, call, send)
        await send({"type": "http.response.trailers", "headers": trailers})

    async def _reply(self, call: Call) -> Reply:
        try:
            check_host(call.scope)
            if call.path not in self._anybody:
                self._access.check(call)
            method = self.methods.get(call.path)
            if method is None:
                raise Problem(501, f"{call.path[:100]} cannot be called here")
            await call.read(self._limit_bytes)
            return await method(call)
        except Problem as problem:
            return _told(problem)
        except Exception:
            _LOG.exception("a call was not answered")
            return _told(Problem(500, "the server failed, which is its own mistake"))


async def _pour(body: bytes | AsyncGenerator[bytes], call: Call, send: Send) -> None:
    """Send the message, or messages as they are made until nobody waits for them."""
    if isinstance(body, bytes):
        await send({"type": "http.response.body", "body": b"\0" + len(body).to_bytes(4) + body})
        return
    gone = asyncio.ensure_future(call.gone())
    try:
        next_ = asyncio.ensure_future(anext(body, None))
        while (await asyncio.wait({gone, next_}, return_when=asyncio.FIRST_COMPLETED)) and next_.done():
            if (piece := next_.result()) is None:
                return
            framed = b"\0" + len(piece).to_bytes(4) + piece
            await send({"type": "http.response.body", "body": framed, "more_body": True})
            next_ = asyncio.ensure_future(anext(body, None))
        next_.cancel()
    finally:
        gone.cancel()


def _told(problem: Problem) -> Reply:
    """A problem, with what says when the call may be tried again."""
    told = [(b"grpc-message", quote(problem.message[:_LONGEST], safe=_PRINTED).encode())]
    for name, value in problem.headers.items():
        told.append((name.encode(), value.encode("latin-1")))
        if name == "retry-after":
            told.append((b"grpc-retry-pushback-ms", b"%d" % (int(value) * 1000)))
    return Reply(b"", problem.http_status, headers=tuple(told))


async def _refuse(send: Send) -> None:
    """What is not gRPC is answered as gRPC says, and otherwise as any other request."""
    body = Problem(415, f"over HTTP/2 gRPC is spoken here ({MEDIA_TYPE}); else ask by HTTP/1.1").document()
    headers = [(b"content-type", DOCUMENT.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 415, "headers": headers})
    await send({"type": "http.response.body", "body": body})
