"""Answers that go on: an iterator of an operation as server-sent events, one JSON value each.

Source: the HTML standard, 9.2 Server-sent events.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import msgspec
from starlette.responses import StreamingResponse

from mlwright.kernel.errors import Unavailable
from mlwright.server.call import Call
from mlwright.server.operations import Operation
from mlwright.server.problems import problem_of

MEDIA_TYPE = "text/event-stream"
MOST_STREAMS = 64
"""A client of one more is told to come again: each has a thread."""
_BEAT_S = 10.0
"""So often something is sent, though nothing happens: who has gone is noticed, and no proxy gives up."""
_AHEAD = 100
_END = object()


class _Gone(BaseException):
    """Nobody listens any more."""


def stream(call: Call, operation: Operation[..., Any], asked: dict[str, Any]) -> StreamingResponse:
    """The answer to a request for a stream.

    An item is an event with the item as its data; the end is an event `end`; an error an event `error` with
    a problem document.

    Raises:
        Unavailable: too many streams go on already.
    """
    followers = call.tracker.threads.followers
    if len(followers) >= MOST_STREAMS:
        raise Unavailable(f"{MOST_STREAMS} streams go on already", hint="try again when one has ended")
    gone = threading.Event()
    followers.add(gone)
    return StreamingResponse(
        _events(call, operation, asked, gone), headers={"cache-control": "no-store"}, media_type=MEDIA_TYPE
    )


async def _events(
    call: Call, operation: Operation[..., Any], asked: dict[str, Any], gone: threading.Event
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    draining: asyncio.Event = call.request.scope["state"]["draining"]
    queue: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)
    beat = time.monotonic()

    def put(item: Any) -> None:
        waiting = asyncio.run_coroutine_threadsafe(queue.put(item), loop)
        while not gone.is_set():
            with suppress(TimeoutError):
                return waiting.result(0.5)
        waiting.cancel()
        raise _Gone

    def pause(seconds: float) -> None:
        nonlocal beat
        if gone.wait(seconds):
            raise _Gone
        if time.monotonic() - beat > _BEAT_S:
            put(b": still here\n\n")
            beat = time.monotonic()

    def run() -> None:
        with suppress(_Gone, RuntimeError):  # the loop has ended
            try:
                items: Iterator[Any] = operation.function(call.tracker.project, **asked, pause=pause)
                for item in items:
                    put(b"data: " + msgspec.json.encode(item) + b"\n\n")
                put(b"event: end\ndata: {}\n\n")
            except Exception as error:
                put(b"event: error\ndata: " + msgspec.json.encode(problem_of(error)) + b"\n\n")
            put(_END)

    threading.Thread(target=copy_context().run, args=(run,), name="mlwright-stream", daemon=True).start()
    try:
        while not (gone.is_set() or draining.is_set()):
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    item = await queue.get()
                if item is _END:
                    return
                yield item
    finally:
        gone.set()
        call.tracker.threads.followers.discard(gone)
