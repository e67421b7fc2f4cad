"""Bodies that may be large: what is small stays in memory, the rest goes to a file that has no name."""

from __future__ import annotations

import asyncio
import errno
import io
import tempfile
from pathlib import Path
from typing import BinaryIO, Self, cast

_BLOCK_BYTES = 256 << 10
"""So much is handed to the file at once, by a thread."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class TooLarge(Exception):
    """A body is larger than one may be.

    Args:
        limit_bytes: what one may be.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes:,} bytes")
        self.limit_bytes = limit_bytes


class NoRoom(Exception):
    """There is no room for a body beside the others, or on the disk; later there may be."""


class Spool:
    """Where the bodies of a process are kept while they are worked on.

    Args:
        folder: for the files, which have no name there: whatever ends the process, none is left.
        memory_bytes: of one body, what is kept in memory.
        body_bytes: what one body may be.
        all_bytes: what all bodies may be together, in memory and on the disk.
    """

    def __init__(
        self,
        folder: Path,
        *,
        memory_bytes: int = 1 << 20,
        body_bytes: int = 1 << 30,
        all_bytes: int = 4 << 30,
    ) -> None:
        self.folder = folder
        self.memory_bytes = memory_bytes
        self.body_bytes = body_bytes
        self.all_bytes = all_bytes
        self.held_bytes = 0

    def body(self, declared_bytes: int = 0) -> Body:
        """A place for a body, to be used as a context manager.

        Args:
            declared_bytes: what the client says that comes; 0 if it does not.

        Raises:
            TooLarge: more than one body may be.
            NoRoom: more than there is room for now.
        """
        self.check(0, declared_bytes)
        return Body(self)

    def check(self, size_bytes: int, more_bytes: int) -> None:
        """Whether a body of some size may grow.

        Raises:
            TooLarge: to more than one may be.
            NoRoom: there is no room for that beside the others.
        """
        if size_bytes + more_bytes > self.body_bytes:
            raise TooLarge(self.body_bytes)
        if self.held_bytes + more_bytes > self.all_bytes:
            raise NoRoom("too many large bodies are being worked on")


class Body:
    """A body that is taken in pieces and read as a file. Leaving it as a context manager gives its room back.

    Args:
        spool: that it lies in.
    """

    def __init__(self, spool: Spool) -> None:
        self.size_bytes = 0
        self._spool = spool
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._file: io.FileIO | None = None
        self._writing: asyncio.Future[None] | None = None

    async def write(self, piece: bytes) -> None:
        """Take a piece; one after the other.

        Raises:
            TooLarge: the body has become larger than one may be.
            NoRoom: there is no room for it, beside the others or on the disk.
        """
        self._spool.check(self.size_bytes, len(piece))
        self.size_bytes += len(piece)
        self._spool.held_bytes += len(piece)
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes > (self._spool.memory_bytes if self._file is None else _BLOCK_BYTES):
            await self._to_disk()

    async def file(self) -> BinaryIO:
        """All of it, from the begin. It is closed with the body."""
        if self._file is None:
            return io.BytesIO(b"".join(self._waiting))
        return cast("BinaryIO", await self._on_disk())

    async def path(self) -> str:
        """Where this process, and no other, can open it by name, each time from the begin."""
        return f"/proc/self/fd/{(await self._on_disk()).fileno()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writing is not None and not self._writing.done():  # given up in the middle
            self._writing.add_done_callback(lambda _: self._close())
        else:
            self._close()

    async def _on_disk(self) -> io.FileIO:
        if self._waiting or self._file is None:
            await self._to_disk()
        assert self._file is not None
        self._file.seek(0)
        return self._file

    async def _to_disk(self) -> None:
        block, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._append, block)
        try:
            await asyncio.shield(self._writing)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise NoRoom(f"the disk has no room for a body: {error.strerror}") from error
            raise

    def _append(self, block: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._spool.folder, prefix="body-", buffering=0)  # noqa: SIM115
        self._file.seek(0, io.SEEK_END)
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _close(self) -> None:
        self._spool.held_bytes -= self.size_bytes
        self.size_bytes = 0
        self._waiting = []
        if self._file is not None:
            self._file.close()
