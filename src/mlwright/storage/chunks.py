"""Large files, cut where their content says, so that an edited one shares all but a few pieces with the old.

The pieces of a file of which nothing is known yet are written one after the other: what is left is the file
itself, an object of its own whose ranges the table `packed` knows. Of a file that shares pieces with what is
here, only the new ones are written, into a pack.

Source: Xia et al., FastCDC, USENIX ATC 2016; cut by pyfastcdc.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mlwright.kernel.digest import Digest, Hasher, digest_of_blocks
from mlwright.kernel.progress import SILENT, Progress
from mlwright.storage.direct import DirectFile
from mlwright.storage.objects import Stored
from mlwright.storage.packs import Packed, PackedObjects

if TYPE_CHECKING:
    from concurrent.futures import Future

LARGE_BYTES = 64 << 20
"""Files that are larger are cut."""
_LEAST, _USUAL, _MOST = 256 << 10, 1 << 20, 4 << 20
_WINDOW_BYTES = 8 << 20
_WINDOWS = 4
_PACK_BYTES = 4 << 30
"""What is written is kept at the latest after so much, so that a second try need not begin anew."""

Piece = tuple[Digest, int]
"""A digest, and how many bytes it is of."""


def store_large(packs: PackedObjects, descriptor: int, progress: Progress = SILENT) -> Stored:
    """Store the bytes of an open file that are not here yet; on return all are durable.

    Reading and cutting, hashing, and writing go on at the same time, in some 64 MiB of memory: four
    windows, and what waits to be written.

    Raises:
        OSError: the file cannot be read.
        Unavailable: the disk is full.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ExitStack() as stack:
        store = stack.enter_context(_Store(packs))  # ends last: nobody writes any more then
        hashing = stack.enter_context(ThreadPoolExecutor(1, "mlwright-hash"))
        writing = stack.enter_context(ThreadPoolExecutor(1, "mlwright-write"))
        pending: deque[Future[int]] = deque()
        free = [bytearray(_MOST + _WINDOW_BYTES) for _ in range(_WINDOWS)]
        for window, cuts in _windows(descriptor, free):
            hashed = hashing.submit(_digests, window, cuts)
            pending.append(writing.submit(store.write, window, cuts, hashed))
            while len(pending) >= _WINDOWS - 1:
                progress.advance(pending.popleft().result())
        for each in pending:
            progress.advance(each.result())
        return store.end()


class _Store:
    """Writes the pieces that are new, and learns the digest of the whole."""

    def __init__(self, packs: PackedObjects) -> None:
        self._packs = packs
        self._whole = Hasher()
        self._size = 0
        self._pieces: list[Piece] = []
        self._cut_up = False
        self._look = packs.anything()
        self._begin()

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, window: memoryview, cuts: Sequence[int], hashed: Future[list[Digest]]) -> int:
        """Take pieces that lie side by side; returns how many bytes they are."""
        start = 0
        run = 0  # pieces that are new and follow each other are written at once
        for digest, end in zip(hashed.result(), cuts, strict=True):
            size = end - start
            self._pieces.append((digest, size))
            if digest in self._new or (self._look and self._packs.reliable(digest) is not None):
                self._cut_up = True
                self._file.write(window[run:start])
                run = end
            else:
                self._new[digest] = Packed(digest, Digest(""), self._file.written + start - run, size)
            start = end
        self._file.write(window[run:start])
        self._whole.update(window[:start])
        self._size += start
        if self._file.written >= _PACK_BYTES:
            self._end_pack()
            self._begin()
        return start

    def end(self) -> Stored:
        """All pieces came; what is new is durable and recorded."""
        whole = self._whole.digest()
        if not self._cut_up and self._file.written == self._size:
            self._file.end()
            self._packs.put(self._path, take=True, digest=whole)
            self._record(whole)
        elif not self._packs.renew(whole):
            self._end_pack()
            self._packs.add_chunked(whole, self._size, self._pieces)
        return Stored(whole, self._size)

    def _begin(self) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._packs.incoming)
        os.close(descriptor)
        self._path = Path(name)
        self._file = DirectFile(self._path)
        self._new: dict[Digest, Packed] = {}

    def _end_pack(self) -> None:
        self._cut_up = True
        if self._new:
            self._file.end()
            self._record(self._packs.put(self._path, take=True).digest)
            self._look = True
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _record(self, pack: Digest) -> None:
        self._packs.add(Packed(each.digest, pack, each.start, each.size_bytes) for each in self._new.values())
        self._new = {}


def _windows(descriptor: int, free: Sequence[bytearray]) -> Iterator[tuple[memoryview, list[int]]]:
    """A file in windows that are cut into pieces; what follows the last cut of one begins the next.

    Yields:
        the bytes, and where in them each piece ends. The bytes stay until all other buffers were used.
    """
    from pyfastcdc import FastCDC

    cutter = FastCDC(avg_size=_USUAL, min_size=_LEAST, max_size=_MOST)
    rest = b""
    number = 0
    while True:
        buffer = free[number % len(free)]
        number += 1
        start = _MOST - len(rest)
        buffer[start:_MOST] = rest
        size = _fill(descriptor, memoryview(buffer)[_MOST:])
        window = memoryview(buffer)[start : _MOST + size]
        cuts = [piece.offset + piece.length for piece in cutter.cut_buf(window)] if window else []
        last = size < _WINDOW_BYTES
        if not last:
            cuts.pop()  # it ends where the window does, and not for what it holds
        if cuts:
            rest = bytes(window[cuts[-1] :])
            yield window[: cuts[-1]], cuts
        if last:
            return


def _fill(descriptor: int, buffer: memoryview) -> int:
    done = 0
    while done < len(buffer) and (count := os.readv(descriptor, [buffer[done:]])):
        done += count
    return done


def _digests(window: memoryview, cuts: Sequence[int]) -> list[Digest]:
    """On one core: the others read, write and hash the whole."""
    return [digest_of_blocks([window[start:end]]) for start, end in zip([0, *cuts], cuts, strict=False)]
