"""An application that answers on a port of this process, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from mlwright.kernel.sockets import listen
from mlwright.wire.loop import answer


@contextmanager
def answering(app: ASGIApp) -> Iterator[int]:
    """It answers while the block runs; yields the port of 127.0.0.1."""
    with listen("127.0.0.1", 0) as listener:
        loop, told_to_end, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
        until_told = answer(app, listener, ready.set, told_to_end)
        thread = threading.Thread(target=loop.run_until_complete, args=(until_told,))
        thread.start()
        try:
            assert ready.wait(30)
            yield int(listener.getsockname()[1])
        finally:
            loop.call_soon_threadsafe(told_to_end.set)
            thread.join(30)
            loop.close()
