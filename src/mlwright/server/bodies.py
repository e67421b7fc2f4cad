"""The bodies of requests, of which no more is kept than their route allows, nor in all than fits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from mlwright.kernel.errors import Invalid, Unavailable

MOST_BYTES = 32 << 20
"""What all bodies that are being received or answered may hold together."""
SMALL_BYTES = 8 << 10
"""A body up to this size is not counted: what so many connections could send is bounded by their number."""
LONG_S = 1.0
"""A body that has been coming for longer is given up when there is no place for others."""
_UNWOUND_S = 0.002


class TooLarge(Invalid):
    """A body is larger than its route takes."""

    http_status = 413


class TooSlow(Invalid):
    """A body that took long had to make place for others."""

    http_status = 408


class Bodies:
    """Reads bodies, and knows how much of them is held."""

    def __init__(self) -> None:
        self._held_bytes = 0
        self._coming: dict[asyncio.Timeout, float] = {}

    async def read(
        self, receive: Receive, headers: dict[bytes, bytes], limit_bytes: int
    ) -> bytes | bytearray:
        """The whole body; it counts until it is let go of.

        What is not read is read and thrown away by the server, so that the client gets to the answer.

        Raises:
            TooLarge: it has more bytes than `limit_bytes`.
            Invalid: the client has gone before its end, or has encoded it.
            Unavailable: too much is held already.
        """
        check_plain(headers)
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > limit_bytes:
            raise _too_large(limit_bytes)
        if declared.isdigit() and int(declared[:20]) <= SMALL_BYTES and b"transfer-encoding" not in headers:
            return await self._read(receive, limit_bytes)
        async with self.coming():
            return await self._read(receive, limit_bytes)

    async def _read(self, receive: Receive, limit_bytes: int) -> bytes | bytearray:
        whole = bytearray()
        size = 0
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Invalid("the body ended too early")
                chunk = message.get("body", b"")
                if size + len(chunk) > limit_bytes:
                    raise _too_large(limit_bytes)
                await self._take(_counted(size + len(chunk)) - _counted(size))
                size += len(chunk)
                more = message.get("more_body", False)
                if not more and not whole:
                    return bytes(chunk)
                whole += chunk
        except BaseException:
            self.let_go(size)
            raise
        return whole

    @asynccontextmanager
    async def coming(self) -> AsyncIterator[None]:
        """A body comes while the block runs; if that takes long, it is given up when others need the place.

        Raises:
            TooSlow: it was given up.
        """
        try:
            async with asyncio.timeout(None) as patience:
                self._coming[patience] = asyncio.get_running_loop().time()
                try:
                    yield
                finally:
                    self._coming.pop(patience, None)
        except TimeoutError:
            raise TooSlow(
                "the body came so slowly that others needed its place", hint="send it again"
            ) from None

    def let_go(self, size_bytes: int) -> None:
        """A body of so many bytes no longer counts."""
        self._held_bytes -= _counted(size_bytes)

    @asynccontextmanager
    async def held(self, size_bytes: int) -> AsyncIterator[None]:
        """Count what a handler keeps of a body that it reads itself, while the block runs.

        Raises:
            Unavailable: too much is held already.
        """
        await self._take(size_bytes)
        try:
            yield
        finally:
            self._held_bytes -= size_bytes

    async def _take(self, size_bytes: int) -> None:
        while self._held_bytes + size_bytes > MOST_BYTES and self._give_up_eldest():
            await asyncio.sleep(_UNWOUND_S)
        if self._held_bytes + size_bytes > MOST_BYTES:
            raise Unavailable("too much is being received at once", hint="try again soon")
        self._held_bytes += size_bytes

    def _give_up_eldest(self) -> bool:
        """Give up the body that has been coming longest; False if none has for long."""
        now = asyncio.get_running_loop().time()
        for patience, since in self._coming.items():
            if now - since < LONG_S:
                return False
            del self._coming[patience]
            patience.reschedule(now)
            return True
        return False


def check_plain(headers: dict[bytes, bytes]) -> None:
    """Refuse a body that could unfold.

    Raises:
        Invalid: its client has encoded it.
    """
    if (coding := headers.get(b"content-encoding", b"identity").lower()) != b"identity":
        raise Invalid(f"the body must not be encoded, and is {coding[:40].decode('latin-1')}")


def _counted(size_bytes: int) -> int:
    return size_bytes if size_bytes > SMALL_BYTES else 0


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit_bytes:,} bytes", hint="send less at once")
