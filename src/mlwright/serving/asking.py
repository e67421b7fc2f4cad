"""What is known of the request that is being answered, beside what it asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from msgspec import Struct

from mlwright.serving.tracing import Trace

TIMEOUT = "x-mlwright-timeout-ms"
"""The header that says how long a client waits for an answer."""


class Asking(Struct, frozen=True):
    """A request that waits for its answer.

    Args:
        deadline: by `time.monotonic()`: an answer is of no use later.
        trace: what it is a part of.
        gone: waits until nobody waits for the answer any more.
    """

    deadline: float | None = None
    trace: Trace | None = None
    gone: Callable[[], Awaitable[None]] | None = None


NOBODY = Asking()

asking: ContextVar[Asking] = ContextVar("asking", default=NOBODY)
"""Of the task that answers the request."""
