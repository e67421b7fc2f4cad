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
from starlette.responses import Response, StreamingResponse

from mlwright.kernel.errors import MlwrightError, Unavailable
from mlwright.server.call import Call
from mlwright.server.operations import Operation
from mlwright.server.problems import problem_of

MEDIA_TYPE = "text/event-stream"
MOST_STREAMS = 64
"""A client of one more is told to come again: each has a thread."""
MOST_OF_ONE = 16
"""Of one name; all who have no token have one name, and so the other places are kept for who has one."""
_BEAT_S = 10.0
"""So often something is sent, though nothing happens: who has gone is noticed, and no proxy gives up."""
_LOOK_S = 2.0
"""So often it is looked up whether who follows still may."""
_AHEAD = 100
_END = object()


class _Gone(BaseException):
    """Nobody listens any more."""


def stream(call: Call, operation: Operation[..., Any], asked: dict[str, Any]) -> StreamingResponse:
    """The answer to a request for a stream.

    An item is an event with the item as its data; the end is an event `end`; an error an event `error` with
    a problem document.

    Raises:
        Unavailable: too many streams go on already, in all or of who asks.
    """
    followers, name = call.tracker.threads.followers, call.identity.name
    if sum(each == name for each in followers.values()) >= MOST_OF_ONE:
        raise Unavailable(
            f"{MOST_OF_ONE} streams of {name} go on already", hint="try again when one has ended"
        )
    if len(followers) >= MOST_STREAMS:
        raise Unavailable(f"{MOST_STREAMS} streams go on already", hint="try again when one has ended")
    gone = threading.Event()
    followers[gone] = name
    return StreamingResponse(
        _events(call, operation, asked, gone), headers={"cache-control": "no-store"}, media_type=MEDIA_TYPE
    )


def head_of_stream() -> Response:
    """The answer to who asks for the head of a stream alone: none is begun."""
    answer = Response(headers={"cache-control": "no-store"}, media_type=MEDIA_TYPE)
    del answer.headers["content-length"]  # nobody knows it
    return answer


async def _events(
    call: Call, operation: Operation[..., Any], asked: dict[str, Any], gone: threading.Event
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    draining: asyncio.Event = call.request.scope["state"]["draining"]
    queue: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)
    beat = looked = time.monotonic()

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
                put(_told(error))
            put(_END)

    threading.Thread(target=copy_context().run, args=(run,), name="mlwright-stream", daemon=True).start()
    try:
        while not (gone.is_set() or draining.is_set()):
            if time.monotonic() - looked > _LOOK_S:
                await call.tracker.identities.check_again(call.identity, operation.permission)
                looked = time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    item = await queue.get()
                if item is _END:
                    return
                yield item
    except MlwrightError as error:
        yield _told(error)
    finally:
        gone.set()
        call.tracker.threads.followers.pop(gone, None)


def _told(error: Exception) -> bytes:
    return b"event: error\ndata: " + msgspec.json.encode(problem_of(error)) + b"\n\n"
