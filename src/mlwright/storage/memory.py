"""Objects in memory: for tests, and for code that must not touch a disk."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import NotFound
from mlwright.storage.objects import Held, Stored, damaged


class MemoryObjects:
    """A dictionary by digest; a path is a copy in a temporary folder that ends with this object."""

    def __init__(self) -> None:
        self.held: dict[Digest, bytes] = {}
        self.put_us: dict[Digest, int] = {}

    @property
    def incoming(self) -> Path:
        """A temporary folder."""
        return self._folder

    def put(
        self,
        source: bytes | Path,
        *,
        kind: str | None = None,
        take: bool = False,
        digest: Digest | None = None,
    ) -> Stored:
        """Keep the bytes."""
        data = source if isinstance(source, bytes) else source.read_bytes()
        if take and isinstance(source, Path):
            source.unlink()
        digest = digest or digest_of(data, kind)
        self.held[digest] = data
        self.put_us[digest] = now_us()
        return Stored(digest, len(data))

    def get(self, digest: Digest, *, kind: str | None = None) -> bytes:
        """The bytes, hashed again."""
        if digest not in self.held:
            raise NotFound(f"object {digest[:12]} is not in the store")
        if digest_of(self.held[digest], kind) != digest:
            raise damaged(digest)
        return self.held[digest]

    def path(self, digest: Digest, *, kind: str | None = None, verify: bool = False) -> Path:
        """A fresh read-only file with the bytes."""
        path = self._folder / digest
        data = self.get(digest, kind=kind)
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        path.chmod(0o444)
        return path

    def renew(self, digest: Digest, *, kind: str | None = None) -> bool:
        """Put anew."""
        if digest not in self or digest_of(self.held[digest], kind) != digest:
            return False
        self.put_us[digest] = now_us()
        return True

    def __contains__(self, digest: Digest) -> bool:
        return digest in self.held

    def __iter__(self) -> Iterator[Held]:
        return iter([Held(digest, len(data), self.put_us[digest]) for digest, data in self.held.items()])

    def remove(self, digest: Digest, *, before_us: int | None = None) -> bool:
        """Forget the bytes."""
        if before_us is not None and digest in self and self.put_us[digest] >= before_us:
            return False
        self.held.pop(digest, None)
        self.put_us.pop(digest, None)
        return True

    @cached_property
    def _folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="mlwright-objects-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder
