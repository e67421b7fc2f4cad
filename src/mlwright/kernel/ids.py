"""Ids of rows: 26 letters that sort by time, so that the newest rows lie together in every index.

Source: the ULID specification (48 bits of milliseconds, 80 random bits, Crockford's base 32).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import NewType
from uuid import UUID

RunId = NewType("RunId", str)
AttemptId = NewType("AttemptId", str)
ArtifactId = NewType("ArtifactId", str)
VersionId = NewType("VersionId", str)

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [one + other for one in ALPHABET for other in ALPHABET]
_TIME_SHIFTS = range(40, -10, -10)
_SHOWN = 10
"""The time part. Two runs of one workspace begin in the same millisecond only by accident."""


def new_id() -> str:
    """A fresh id; one made a millisecond later sorts after it."""
    return _time(time.time_ns() // 1_000_000) + chance(16)


def chance(letters: int) -> str:
    """Random letters, of 5 bits each; an even number of them."""
    number = int.from_bytes(os.urandom((5 * letters + 7) // 8))
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(0, 5 * letters, 10)])


def chances(letters: int) -> Iterator[str]:
    """Random letters again and again, at little cost: 1,024 in a row differ in the last two only."""
    while True:
        first = chance(letters - 2)
        for pair in _PAIRS:
            yield first + pair


@lru_cache(maxsize=1)
def _time(at_ms: int) -> str:
    return "".join([_PAIRS[(at_ms >> shift) & 1023] for shift in _TIME_SHIFTS])


def short(identity: str) -> str:
    """The prefix that people see and may type."""
    return identity[:_SHOWN]


def looks_like_id(text: str) -> bool:
    """Whether `text` can be an id or a prefix of one (any case)."""
    return 4 <= len(text) <= 26 and text[0] in "01234567" and set(text.upper()) <= set(ALPHABET)


def uuid_of(identity: str) -> UUID:
    """The same 128 bits as a UUID, for who wants one."""
    number = 0
    for letter in identity:
        number = number << 5 | ALPHABET.index(letter)
    return UUID(int=number)


def id_of(uuid: UUID) -> str:
    """The id that a UUID was made of by `uuid_of`."""
    return "".join([ALPHABET[(uuid.int >> shift) & 31] for shift in range(125, -5, -5)])
