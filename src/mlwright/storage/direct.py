"""Writing large files past the page cache, which they would only fill: in a virtual machine a page of it can
cost more than the disk does.

Source: open(2), O_DIRECT: offsets, lengths and memory are multiples of the block size.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from pathlib import Path

_BLOCK_BYTES = 4096
_STAGED_BYTES = 16 << 20


class DirectFile:
    """A file that is written from its beginning to its end; on a file system that cannot, as any other.

    What was written is in the file after `end`; whether it is on the disk, `os.fsync` decides.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._descriptor = os.open(path, os.O_WRONLY)
        self._memory = mmap.mmap(-1, _STAGED_BYTES)  # begins on a page
        self._staged = 0
        self.written = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append.

        Raises:
            OSError: the disk is full, or fails.
        """
        rest = memoryview(data)
        while rest:
            count = min(len(rest), _STAGED_BYTES - self._staged)
            self._memory[self._staged : self._staged + count] = rest[:count]
            self._staged += count
            self.written += count
            rest = rest[count:]
            if self._staged == _STAGED_BYTES:
                self._write_staged()

    def end(self) -> None:
        """Write what is left.

        Raises:
            OSError: as `write`.
        """
        if self._staged:
            self._staged += -self._staged % _BLOCK_BYTES
            self._write_staged()
            os.ftruncate(self._descriptor, self.written)

    def close(self) -> None:
        """Let go of the file; also once more."""
        if not self._memory.closed:
            os.close(self._descriptor)
            self._memory.close()

    def _write_staged(self) -> None:
        with memoryview(self._memory) as memory:
            done = 0
            while done < self._staged:
                with memory[done : self._staged] as rest:
                    done += self._write(rest)
        self._staged = 0

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
            if error.errno != errno.EINVAL or not flags & os.O_DIRECT:
                raise
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
            return os.write(self._descriptor, data)
