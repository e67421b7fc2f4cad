"""Where the user's code stands that called us."""

from __future__ import annotations

import inspect


def caller() -> str:
    """The file and line of the user's code that called us: the innermost frame outside this package."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("mlwright."):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
