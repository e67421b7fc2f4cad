"""Whether this process runs an attempt of a step."""

from __future__ import annotations

_running = False


def begin() -> None:
    """An attempt begins: what it reads and reports is its own."""
    global _running  # noqa: PLW0603 - one attempt at a time in a worker, by construction
    _running = True


def end() -> None:
    """No attempt runs any more."""
    global _running  # noqa: PLW0603
    _running = False


def running() -> bool:
    """Whether one runs now."""
    return _running
