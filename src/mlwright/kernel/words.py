"""Numbers in a sentence."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`1 element`, `2,000 elements`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def are_counted(count: int, noun: str) -> str:
    """`1 package is`, `2 packages are`."""
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"
