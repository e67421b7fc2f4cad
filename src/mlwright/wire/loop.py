"""The event loop of a server: begun, and ended by signals without losing what it has taken."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import uvloop

from mlwright.wire.bounds import Bounds
from mlwright.wire.refusals import Refuse, problem
from mlwright.wire.service import BOUNDS, Service

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_SWITCH_S = 0.001
"""How long a thread computes before another may: by default a commit waits 5 ms for the event loop."""


def serve(
    app: ASGIApp,
    listener: socket.socket,
    ready: Callable[[], object],
    *,
    tls: ssl.SSLContext | None = None,
    bounds: Bounds = BOUNDS,
    refuse: Refuse = problem,
) -> None:
    """Answer until SIGTERM or Ctrl-C: then what was taken is still answered; a second one ends it at once.

    Args:
        app: as of a `Service`, as are `tls`, `bounds` and `refuse`.
        ready: called as soon as it answers.
    """
    sys.setswitchinterval(_SWITCH_S)
    uvloop.run(_serve(app, listener, ready, tls, bounds, refuse))


async def _serve(
    app: ASGIApp,
    listener: socket.socket,
    ready: Callable[[], object],
    tls: ssl.SSLContext | None,
    bounds: Bounds,
    refuse: Refuse,
) -> None:
    loop, told_to_end = asyncio.get_running_loop(), asyncio.Event()
    with signalled(lambda: loop.call_soon_threadsafe(told_to_end.set)):
        await answer(app, listener, ready, told_to_end, tls=tls, bounds=bounds, refuse=refuse)


async def answer(
    app: ASGIApp,
    listener: socket.socket,
    ready: Callable[[], object],
    told_to_end: asyncio.Event,
    *,
    tls: ssl.SSLContext | None = None,
    bounds: Bounds = BOUNDS,
    refuse: Refuse = problem,
) -> None:
    """Answer until it is told to end: then what was taken is still answered.

    Args:
        app: as of a `Service`, as are `tls`, `bounds` and `refuse`.
        ready: called as soon as it answers.
        told_to_end: set by whoever ends it.
    """
    service = Service(app, tls=tls, bounds=bounds, refuse=refuse)
    await service.begin()
    await service.listen(listener)
    ready()
    await told_to_end.wait()
    await service.end()


@contextmanager
def signalled(ask: Callable[[], object]) -> Iterator[None]:
    """The first interrupt asks for the end, the next one is the end; what is ignored (`nohup`) stays so."""
    interrupts = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    numbers = [number for number in interrupts if signal.getsignal(number) is not signal.SIG_IGN]

    def first(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        ask()

    before = {number: signal.signal(number, first) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
