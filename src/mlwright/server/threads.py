"""Threads beside the event loop, in which operations are done; and the streams that go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

_THREADS = 8
P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Runs what may take long, a few at once."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="mlwright-do")
        self.followers: dict[threading.Event, str] = {}
        """One for each stream that goes on, and who follows it; it ends when its event is set."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function(...)` answers, in the context of who asks."""
        context = copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: context.run(function, *args, **kwargs))

    def end_streams(self) -> None:
        """Tell every stream to end."""
        for gone in list(self.followers):
            gone.set()

    def close(self) -> None:
        """Wait for what is being done."""
        self.end_streams()
        self._pool.shutdown()
