"""A store far away with a folder in front: what was put or read once is read from the disk afterwards."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Corrupt, NotFound
from mlwright.kernel.files import write_whole
from mlwright.storage.local import LocalObjects
from mlwright.storage.objects import RENEWED_US, Held, Objects, Stored

_SEEN_S = 600.0
"""For so long nobody asks again whether an object is there; what is collected was left alone for a day."""


class CachedObjects:
    """A read-through cache. What is here, how old it is and what is removed, the far store alone decides.

    Args:
        objects: the far store; its paths are files that may be moved away.
        cache: the folder. It may be emptied at any time.
        renewed: a file of this machine that remembers what was put or renewed in the far store, and when: so
            long it is there, and need not be asked for. One line each: digest, microseconds since 1970.
    """

    def __init__(self, objects: Objects, cache: LocalObjects, renewed: Path) -> None:
        self._objects = objects
        self._cache = cache
        self._renewed_file = renewed
        self._renewed: dict[str, int] | None = None
        self._seen_s: dict[Digest, float] = {}

    @property
    def incoming(self) -> Path:
        """That of the cache: what is put is kept there too."""
        return self._cache.incoming

    def put(
        self,
        source: bytes | Path,
        *,
        kind: str | None = None,
        take: bool = False,
        digest: Digest | None = None,
    ) -> Stored:
        """Into the cache, and from there, where nobody changes it, into the far store; durable there."""
        stored = self._cache.put(source, kind=kind, take=take, digest=digest)
        began_us = now_us()
        self._objects.put(self._cache.path(stored.digest, kind=kind), kind=kind, digest=stored.digest)
        self._remember(stored.digest, began_us)
        return stored

    def get(self, digest: Digest, *, kind: str | None = None) -> bytes:
        """The bytes, from the cache or else from the far store, then from the cache."""
        if digest in self._cache:
            with contextlib.suppress(Corrupt, NotFound):  # the far store has it whole
                return self._cache.get(digest, kind=kind)
            self._cache.remove(digest)
        with self._asking(digest):
            data = self._objects.get(digest, kind=kind)
        self._cache.put(data, kind=kind)
        return data

    def path(self, digest: Digest, *, kind: str | None = None, verify: bool = False) -> Path:
        """The cache's file; with `verify` the bytes of the far store are read too."""
        if verify or digest not in self._cache:
            return self._fetched(digest, kind)
        try:
            return self._cache.path(digest, kind=kind)
        except (Corrupt, NotFound):
            return self._fetched(digest, kind)

    def renew(self, digest: Digest, *, kind: str | None = None) -> bool:
        """Whether the far store has it; not asked again for what was renewed there not long ago."""
        if self._is_young(digest):
            return True
        began_us = now_us()
        if renewed := self._objects.renew(digest, kind=kind):
            self._remember(digest, began_us)
        return renewed

    def __contains__(self, digest: Digest) -> bool:
        if self._is_young(digest) or self._seen_s.get(digest, -_SEEN_S) + _SEEN_S > time.monotonic():
            return True
        if there := digest in self._objects:
            self._seen_s[digest] = time.monotonic()
        return there

    def __iter__(self) -> Iterator[Held]:
        """What the far store holds."""
        return iter(self._objects)

    def remove(self, digest: Digest, *, before_us: int | None = None) -> bool:
        """Forget it there, then here."""
        self._forget(digest)
        if not self._objects.remove(digest, before_us=before_us):
            return False
        self._cache.remove(digest)
        return True

    def _fetched(self, digest: Digest, kind: str | None) -> Path:
        with self._asking(digest):
            there = self._objects.path(digest, kind=kind, verify=True)
        self._cache.remove(digest)
        self._cache.put(there, kind=kind, take=True, digest=digest)
        return self._cache.path(digest, kind=kind)

    @contextlib.contextmanager
    def _asking(self, digest: Digest) -> Iterator[None]:
        """What the far store has lost is known here no longer."""
        try:
            yield
        except (Corrupt, NotFound):
            self._forget(digest)
            raise

    def _is_young(self, digest: Digest) -> bool:
        """Whether it is in the far store for sure: nobody removes what was renewed so short a time ago."""
        return self._memory().get(digest, 0) > now_us() - RENEWED_US

    def _remember(self, digest: Digest, at_us: int) -> None:
        self._memory()[digest] = at_us
        with contextlib.suppress(OSError):  # what is forgotten is only asked once more
            self._renewed_file.parent.mkdir(parents=True, exist_ok=True)
            with self._renewed_file.open("a") as file:
                file.write(f"{digest} {at_us}\n")

    def _forget(self, digest: Digest) -> None:
        self._seen_s.pop(digest, None)
        if digest in self._memory():
            self._remember(digest, 0)

    def _memory(self) -> dict[str, int]:
        if self._renewed is None:
            self._renewed = {}
            with contextlib.suppress(OSError):
                lines = self._renewed_file.read_text(errors="replace").splitlines()
                for digest, _, at in (line.partition(" ") for line in lines):
                    self._renewed[digest] = int(at) if at.isdecimal() else 0
                self._shorten(len(lines))
        return self._renewed

    def _shorten(self, lines: int) -> None:
        """Write the file anew when most of it says nothing any more."""
        assert self._renewed is not None
        since = now_us() - RENEWED_US
        young = {digest: at for digest, at in self._renewed.items() if at > since}
        if lines > 2 * len(young) + 1000:
            text = "".join(f"{digest} {at}\n" for digest, at in young.items())
            write_whole(self._renewed_file, text.encode())
