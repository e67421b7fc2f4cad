"""Bodies of requests: so many bytes, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.server import bodies
from mlwright.server.bodies import Bodies, TooLarge

SMALL = 64 << 10


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

    with made.held(3 * SMALL), pytest.raises(Unavailable):
        read(made, b"x" * (2 * SMALL))

    assert read(made, b"x" * (2 * SMALL))
