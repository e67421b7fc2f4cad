"""Bodies of requests: so many bytes, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.server import bodies
from mlwright.server.bodies import Bodies, TooLarge, TooSlow

SMALL = 8 << 10
CHUNKED = {b"transfer-encoding": b"chunked"}


def arriving(*chunks: bytes, gone: bool = False) -> Callable[[], Awaitable[Any]]:
    """A body that comes in pieces; with `gone`, its client goes away before the end."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if gone:
        messages.append({"type": "http.disconnect"})
    else:
        messages[-1]["more_body"] = False

    async def receive() -> Any:
        return messages.pop(0)

    return receive


def read(made: Bodies, *chunks: bytes, limit: int = 1 << 20, gone: bool = False, **headers: str) -> bytes:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return asyncio.run(made.read(arriving(*chunks, gone=gone), named, limit))


def test_a_body_comes_back_whole() -> None:
    """Pieces are joined in order."""
    assert read(Bodies(), b"ab", b"", b"c") == b"abc"
    assert read(Bodies(), b"") == b""


@pytest.mark.parametrize("headers", [{}, {"content_length": "11"}, {"content_length": "9" * 50}])
def test_one_byte_more_than_the_limit_is_refused(headers: dict[str, str]) -> None:
    """Whether its length is declared or found out, the limit is told."""
    assert read(Bodies(), b"x" * 10, limit=10, content_length="10") == b"x" * 10
    with pytest.raises(TooLarge, match="10 bytes"):
        read(Bodies(), b"x" * 6, b"x" * 5, limit=10, **headers)


def test_all_bodies_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held counts until it is let go of, also when reading it failed."""
    monkeypatch.setattr(bodies, "MOST_BYTES", 4 * SMALL)
    made, large = Bodies(), b"x" * (2 * SMALL)

    for _ in range(3):  # what failed is not held
        with pytest.raises(TooLarge):
            read(made, large, large, limit=3 * SMALL)
        with pytest.raises(Invalid, match="too early"):
            read(made, large, gone=True)
    held = [read(made, large), read(made, large)]
    with pytest.raises(Unavailable, match="at once"):
        read(made, large)
    small = read(made, b"x" * SMALL)
    made.let_go(len(held[0]))

    assert read(made, large) == large
    assert len(small) == SMALL


def test_what_a_handler_keeps_counts_while_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that streams declares what it holds."""
    monkeypatch.setattr(bodies, "MOST_BYTES", 4 * SMALL)
    made = Bodies()

    async def beside() -> None:
        async with made.held(3 * SMALL):
            with pytest.raises(Unavailable):
                await made.read(arriving(b"x" * (2 * SMALL)), {}, 1 << 20)

    asyncio.run(beside())

    assert read(made, b"x" * (2 * SMALL))


def test_a_slow_body_makes_place_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no place, the body that has been coming longest is given up, not the new one."""
    monkeypatch.setattr(bodies, "MOST_BYTES", 4 * SMALL)
    monkeypatch.setattr(bodies, "LONG_S", 0.0)
    made = Bodies()

    def stuck(size_bytes: int) -> Callable[[], Awaitable[Any]]:
        messages = [{"type": "http.request", "body": b"x" * size_bytes, "more_body": True}]

        async def receive() -> Any:
            return messages.pop() if messages else await asyncio.Event().wait()

        return receive

    async def crowded() -> tuple[Any, ...]:
        slow = [asyncio.ensure_future(made.read(stuck(2 * SMALL), CHUNKED, 1 << 20)) for _ in range(2)]
        await asyncio.sleep(0)
        taken = await made.read(arriving(b"y" * SMALL, b"y" * SMALL), CHUNKED, 1 << 20)
        done, pending = await asyncio.wait(slow, timeout=0.1)
        slow[1].cancel()
        return taken, [type(each.exception()) for each in done], len(pending)

    taken, given_up, left = asyncio.run(crowded())

    assert taken == b"y" * 2 * SMALL
    assert (given_up, left) == ([TooSlow], 1)
