"""The thread in which models are asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from threading import get_ident
from time import monotonic
from traceback import StackSummary, walk_stack
from types import FrameType
from typing import Any

STUCK_S, STUCK_TIMES = 60.0, 2
"""So long a model may be at one answer, or so many times as long as a request waits at most."""
_FRAMES = 8
_OURS = f"{Path(__file__).parents[1]}/"


class Computing(ThreadPoolExecutor):
    """One thread, of which can be told what it does not come to an end with.

    Nobody can stop a thread: who asks a model that never answers is told so in time, and who asks after him
    is refused, but that is all that this process can do.

    Args:
        timeout_s: after which no request waits any more.
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__(1, thread_name_prefix="predict")
        self._most_s = max(STUCK_S, STUCK_TIMES * timeout_s)
        self._at: tuple[float, int] | None = None

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Call it when those before it have come to their end."""
        return super().submit(self._do, call, *arguments, **named)

    def _do(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        self._at = monotonic(), get_ident()
        try:
            return call(*arguments, **named)
        finally:
            self._at = None

    @property
    def stuck(self) -> str:
        """That it has been at one thing for too long, as a clause, and where it is; else nothing."""
        began, thread = self._at or (monotonic(), 0)
        at_s = monotonic() - began
        if at_s <= self._most_s:
            return ""
        return f"its model has been at one answer for {at_s:.0f} s{_place(thread)}"


def _place(thread: int) -> str:
    """Where a thread is, in code that is not ours; the innermost call last."""
    frame = sys._current_frames().get(thread)
    calls = () if frame is None else takewhile(_is_theirs, walk_stack(frame))
    stack = StackSummary.extract(calls, limit=_FRAMES)
    stack.reverse()
    return "".join(["\n", *stack.format()]).rstrip()


def _is_theirs(call: tuple[FrameType, int]) -> bool:
    return not call[0].f_code.co_filename.startswith(_OURS)
