"""What clients send, kept for as long as it is answered: a little in memory, more on disk, all bounded."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

from mlwright.serving.problems import Problem

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
IN_MEMORY_BYTES = 2**20
"""A file that is larger lies on disk."""


class Spool:
    """A folder for files of requests.

    Args:
        folder: where files go; None for the system's.
        limit_bytes: that all files together may have at a time.
    """

    def __init__(self, folder: Path | None, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def begin(self) -> Kept:
        """For the files of one request."""
        return Kept(self)


class Kept:
    """The files of one request; leaving it as a context manager removes them."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._files: list[Path] = []
        self._bytes = 0

    async def keep(self, pieces: AsyncIterator[bytes], limit_bytes: int, what: str) -> bytes | Path:
        """Keep what comes: in memory if it is small, else in a file.

        Args:
            what: how a message names it.

        Raises:
            Problem: 413, it is larger than the limit; 503, there is no room for it now.
        """
        memory, size, file = bytearray(), 0, None
        try:
            async for piece in pieces:
                size += len(piece)
                if size > limit_bytes:
                    raise Problem(413, f"{what} is larger than {limit_bytes} bytes")
                memory += piece
                if len(memory) > IN_MEMORY_BYTES:
                    if file is None:
                        file = tempfile.NamedTemporaryFile(dir=self._spool.folder, delete=False)  # noqa: SIM115
                        self._files.append(Path(file.name))
                    self._take(len(memory))
                    # Beside the event loop: a disk may be slow.
                    await asyncio.to_thread(file.write, bytes(memory))
                    memory.clear()
            if file is None:
                return bytes(memory)
            self._take(len(memory))
            await asyncio.to_thread(file.write, bytes(memory))
            await asyncio.to_thread(file.flush)
            return Path(file.name)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise _no_room() from error
            raise
        finally:
            if file is not None:
                file.close()

    def close(self) -> None:
        """Remove the files."""
        self._spool.used_bytes -= self._bytes
        self._bytes = 0
        while self._files:
            self._files.pop().unlink(missing_ok=True)

    def __del__(self) -> None:
        self.close()  # of a stream that nobody began to read

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, size: int) -> None:
        if self._spool.used_bytes + size > self._spool.limit_bytes:
            raise _no_room()
        self._spool.used_bytes += size
        self._bytes += size


def _no_room() -> Problem:
    return Problem(503, "there is no room for more files at the moment", headers={"retry-after": "1"})
