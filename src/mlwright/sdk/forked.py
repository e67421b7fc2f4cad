"""Children that a step forks: one that comes out of the step too is not to go on as if it were its parent."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def children_end_here(say: Callable[[BaseException], None]) -> Iterator[None]:
    """A child that was forked within ends where this ends, with the status of a Python that ends there.

    Args:
        say: puts an error where it is read; called in the child, for what it raised.
    """
    mine = os.getpid()
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        if os.getpid() != mine:
            _leave(error, say)


def _leave(error: BaseException | None, say: Callable[[BaseException], None]) -> None:
    status = 0 if error is None else 1
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        status = error.code or 0
    elif error is not None:
        say(error)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # theirs to close, or to replace
            stream.flush()
    os._exit(status & 0xFF)
