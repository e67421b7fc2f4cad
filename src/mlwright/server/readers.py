"""Reads beside the event loop: a few threads, each with a connection of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from mlwright.kernel.database import Database, Source, View

_THREADS = 4
P = ParamSpec("P")
T = TypeVar("T")


class Readers:
    """Runs functions that only read; a read sees all that was committed before it began.

    Args:
        database: what they read.
        threads: how many at once.
    """

    def __init__(self, database: Database, threads: int = _THREADS) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="mlwright-read")
        self._own = threading.local()
        self._views: list[View] = []

    async def read(
        self, function: Callable[Concatenate[Source, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `function(source, ...)` answers; all that it reads is of one moment."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: self._run(function, *args, **kwargs))

    def close(self) -> None:
        """Wait for the reads that run, and let go of the connections."""
        self._threads.shutdown()
        for view in self._views:
            view.close()

    def _run(self, function: Callable[Concatenate[Source, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        view: View | None = getattr(self._own, "view", None)
        if view is None:
            view = self._own.view = self._database.view()
            self._views.append(view)
        try:
            return function(view, *args, **kwargs)
        finally:
            view.renew()
