"""What a store is asked, counted: requests, bytes and seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from mlwright.kernel.digest import Digest
from mlwright.storage.objects import Held, Objects, Stored


class Meter(Struct, frozen=True):
    """What a store was asked so far.

    Args:
        calls: how often.
        put_bytes: of the objects that were put, whether they were there or not.
        got_bytes: of the objects that were read.
        busy_s: how long callers waited, all together; more than the time that passed where several wait.
    """

    calls: int = 0
    put_bytes: int = 0
    got_bytes: int = 0
    busy_s: float = 0.0


class MeteredObjects:
    """A store that counts what it is asked; `meter` tells."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self.meter = Meter()

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
        """Store, counted."""
        with self._counted():
            stored = self._objects.put(source, kind=kind, take=take, digest=digest)
        self._add(put_bytes=stored.size_bytes)
        return stored

    def get(self, digest: Digest, *, kind: str | None = None) -> bytes:
        """Read, counted."""
        with self._counted():
            data = self._objects.get(digest, kind=kind)
        self._add(got_bytes=len(data))
        return data

    def path(self, digest: Digest, *, kind: str | None = None, verify: bool = False) -> Path:
        """Read into a file, counted."""
        with self._counted():
            path = self._objects.path(digest, kind=kind, verify=verify)
        self._add(got_bytes=path.stat().st_size)
        return path

    def renew(self, digest: Digest, *, kind: str | None = None) -> bool:
        """Renew, counted."""
        with self._counted():
            return self._objects.renew(digest, kind=kind)

    def __contains__(self, digest: Digest) -> bool:
        with self._counted():
            return digest in self._objects

    def __iter__(self) -> Iterator[Held]:
        """Counted as one call, however long the list is."""
        self._add(calls=1)
        return iter(self._objects)

    def remove(self, digest: Digest, *, before_us: int | None = None) -> bool:
        """Remove, counted."""
        with self._counted():
            return self._objects.remove(digest, before_us=before_us)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._add(calls=1, busy_s=time.perf_counter() - begin)

    def _add(self, *, calls: int = 0, put_bytes: int = 0, got_bytes: int = 0, busy_s: float = 0.0) -> None:
        with self._lock:
            now = self.meter
            self.meter = Meter(
                now.calls + calls,
                now.put_bytes + put_bytes,
                now.got_bytes + got_bytes,
                now.busy_s + busy_s,
            )
