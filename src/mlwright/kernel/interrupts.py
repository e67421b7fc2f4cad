"""Interrupts (Ctrl-C, SIGTERM, a terminal that is closed) that wait until they do no harm.

Raised wherever they find the program, they tear apart what belongs together: a task that was handed over and
its record, a thread that is being started and the list of threads.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """While entered, the first interrupt is raised where it is `heard`; a second one at once, anywhere.

    What an interrupt raises is what it raised before: signals without a handler in Python are left alone, and
    so is everything in a thread that is not the main one, where no signal is handled.
    """

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._waiting = 0
        self._came = False
        self._hears = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _NUMBERS:
                before = signal.getsignal(number)
                if callable(before):
                    self._before[number] = before
                    signal.signal(number, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        if kind is None:  # else something is on its way already
            self._raise()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Here an interrupt may be raised: the one that waits, and one that comes meanwhile."""
        self._hears = True
        try:
            self._raise()
            yield
        finally:
            self._hears = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._hears or self._came:
            self._came = True
            self._before[number](number, frame)
        else:
            self._came, self._waiting = True, number

    def _raise(self) -> None:
        number, self._waiting = self._waiting, 0
        if number:
            self._before[number](number, None)
