"""Bytes that come a block at a time, of a size that nobody knows before: at most a block is in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from mlwright.kernel.digest import Digest, Hasher, digest_of
from mlwright.kernel.errors import Unavailable, disk_full, is_disk_full
from mlwright.storage.inline import INLINE_BYTES
from mlwright.storage.objects import Objects

BLOCK_BYTES = 512 << 10
"""What is worth a write, or a read."""


class Received(Struct, frozen=True):
    """Bytes that a record may name from now on.

    Args:
        small: the bytes themselves, when they are to be a row of the transaction that names them.
    """

    digest: Digest
    size_bytes: int
    small: bytes | None = None


class IncomingFile:
    """A new file that is hashed while it is written; it goes when its block ends, unless it was moved away.

    Args:
        folder: where it is made.
    """

    def __init__(self, folder: Path) -> None:
        with disk(folder):
            self._descriptor, name = tempfile.mkstemp(dir=folder)
        self.path = Path(name)
        self.size_bytes = 0
        self._hasher = Hasher()

    def write(self, block: bytes) -> None:
        """Append.

        Raises:
            DiskFull: there is no room.
            Unavailable: the disk cannot be written.
        """
        with disk(self.path.parent, len(block)):
            view = memoryview(block)
            while view:
                view = view[os.write(self._descriptor, view) :]
        self._hasher.update(block)
        self.size_bytes += len(block)

    def digest(self) -> Digest:
        """Of all that was written."""
        return self._hasher.digest()

    def close(self) -> None:
        """Take the file away, if it is still where it was made."""
        os.close(self._descriptor)
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Upload:
    """One file on its way into a store: nothing of it is there before `put`, and nothing is left without it.

    Args:
        objects: the store.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._first = b""
        self._file: IncomingFile | None = None

    def write(self, block: bytes) -> None:
        """Append a block; the first one stays in memory until there is another.

        Raises:
            DiskFull, Unavailable: as `IncomingFile.write`.
        """
        if not self._first and self._file is None:
            self._first = block
            return
        if self._file is None:
            self._file = IncomingFile(self._objects.incoming)
            self._file.write(self._first)
            self._first = b""
        self._file.write(block)

    def put(self) -> Received:
        """Store what came; it is durable on return, or small enough to be a row.

        Raises:
            DiskFull, Unavailable: as `write`.
        """
        if self._file is not None:
            with disk(self._file.path.parent):
                stored = self._objects.put(self._file.path, take=True, digest=self._file.digest())
        elif len(self._first) <= INLINE_BYTES:
            return Received(digest_of(self._first), len(self._first), self._first)
        else:
            stored = self._objects.put(self._first)
        return Received(stored.digest, stored.size_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


@contextmanager
def disk(folder: Path, size_bytes: int | None = None) -> Iterator[None]:
    """Say the disk's failures in our words.

    Args:
        folder: that is written to.
        size_bytes: that are to be written.

    Raises:
        DiskFull: there is no room left.
        Unavailable: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(folder, size_bytes) from error
        why = error.strerror or error
        raise Unavailable(f"the disk cannot be written: {why}", where=str(folder)) from error
