"""Trying again what a network spoiled: bodies cut off on their way, and bits that flipped."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Corrupt, Unavailable
from mlwright.storage.objects import Held, Objects, Stored

T = TypeVar("T")

TRIES = 6
PAUSE_S = 0.1
_LONGEST_S = 5.0


class Transient(Unavailable):
    """It failed on its way, and may work when it is tried again."""


def retrying(call: Callable[[], T], *, tries: int = TRIES, pause_s: float = PAUSE_S) -> T:
    """Call until it works: what was cut off on its way, or came with wrong bytes, is asked for again.

    Between two tries there is a pause of random length, of up to twice as much after each; what no other try
    can help (denied, expired, not found) is raised at once.

    Args:
        tries: how often at most; the last failure is raised.
        pause_s: the longest first pause, in seconds.
    """
    for number in range(tries - 1):
        try:
            return call()
        except (Transient, Corrupt):
            time.sleep(random.uniform(0, min(pause_s * 2**number, _LONGEST_S)))  # noqa: S311
    return call()


class RetryingObjects:
    """A store whose answers are asked for again when the way to it spoiled them.

    Args:
        objects: the store.
        tries: how often at most.
        pause_s: the longest first pause, in seconds.
    """

    def __init__(self, objects: Objects, *, tries: int = TRIES, pause_s: float = PAUSE_S) -> None:
        self._objects = objects
        self._tries = tries
        self._pause_s = pause_s

    @property
    def incoming(self) -> Path:
        """That of the store."""
        return self._objects.incoming

    def put(
        self,
        source: bytes | Path,
        *,
        kind: str | None = None,
        take: bool = False,
        digest: Digest | None = None,
    ) -> Stored:
        """Store; a file that is taken stays until it is stored."""
        return self._again(lambda: self._objects.put(source, kind=kind, take=take, digest=digest))

    def get(self, digest: Digest, *, kind: str | None = None) -> bytes:
        """The bytes; wrong ones are asked for again, and are Corrupt when they stay wrong."""
        return self._again(lambda: self._objects.get(digest, kind=kind))

    def path(self, digest: Digest, *, kind: str | None = None, verify: bool = False) -> Path:
        """As `get`."""
        return self._again(lambda: self._objects.path(digest, kind=kind, verify=verify))

    def renew(self, digest: Digest, *, kind: str | None = None) -> bool:
        """Whether it is here; young then."""
        return self._again(lambda: self._objects.renew(digest, kind=kind))

    def __contains__(self, digest: Digest) -> bool:
        return self._again(lambda: digest in self._objects)

    def __iter__(self) -> Iterator[Held]:
        """Not tried again as a whole: whoever lists goes on where the list was cut off."""
        return iter(self._objects)

    def remove(self, digest: Digest, *, before_us: int | None = None) -> bool:
        """Forget; twice is once."""
        return self._again(lambda: self._objects.remove(digest, before_us=before_us))

    def _again(self, call: Callable[[], T]) -> T:
        return retrying(call, tries=self._tries, pause_s=self._pause_s)
