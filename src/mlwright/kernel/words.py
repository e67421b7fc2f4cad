"""Numbers in a sentence."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`1 element`, `2,000 elements`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def is_or_are(count: int) -> str:
    """The verb behind a number: `1 of 2 is`, `2 of 2 are`."""
    return "is" if count == 1 else "are"


def are_counted(count: int, noun: str) -> str:
    """`1 package is`, `2 packages are`."""
    return f"{counted(count, noun)} {is_or_are(count)}"
