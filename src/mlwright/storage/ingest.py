"""Files of a disk into the store: small ones into packs, large ones in pieces, the others as they are."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Conflict, Invalid, Unavailable, disk_full, is_disk_full
from mlwright.kernel.progress import SILENT, Progress
from mlwright.storage.chunks import LARGE_BYTES, store_large
from mlwright.storage.objects import Stored
from mlwright.storage.packs import PackedObjects, side_by_side
from mlwright.storage.scan import Source, settle, state_of
from mlwright.storage.trees import KIND, Entry, Tree

if TYPE_CHECKING:
    from concurrent.futures import Future

SMALL_BYTES = 64 << 10
"""Smaller files are packed."""
_PACK_BYTES = 32 << 20
_WRITERS = 2
_TRIES = 2

Learn = Callable[[Source, Digest], object]
"""Hears of a file that was read, as it was then."""


def store_tree(
    packs: PackedObjects,
    sources: Sequence[Source],
    remembered: Mapping[str, Digest] | None = None,
    *,
    progress: Progress = SILENT,
    learn: Learn = lambda source, digest: None,
) -> tuple[Digest, Tree]:
    """Store files and the manifest that names them; on return all is durable.

    Args:
        packs: where to.
        sources: as `scan` found them.
        remembered: by path, the digests of files that look as when they were read, and whose bytes are here;
            they are not read again.
        progress: hears of every byte.
        learn: hears the digest of each file that was read, as soon as it is known.

    Returns:
        The tree's own digest, and the tree.

    Raises:
        Conflict: a file changes or vanishes while it is read.
        Invalid: a file cannot be read.
        Unavailable: the disk is full, or fails.
    """
    known = remembered or {}
    stored = {
        source.path: Stored(known[source.path], source.size_bytes)
        for source in sources
        if source.path in known
    }
    progress.advance(sum(each.size_bytes for each in stored.values()))
    if unknown := [source for source in sources if source.path not in known]:
        with Ingest(packs, progress, learn) as ingest:
            for source in unknown:
                ingest.add(source)
            stored |= ingest.end()
    entries = (
        Entry(each.path, stored[each.path].size_bytes, stored[each.path].digest, each.executable)
        for each in sources
    )
    tree = Tree(tuple(sorted(entries, key=lambda entry: entry.path)))
    return packs.put(tree.encode(), kind=KIND).digest, tree


class Ingest:
    """Stores files one by one, and writes while it reads; `end` waits for all of it."""

    def __init__(self, packs: PackedObjects, progress: Progress, learn: Learn) -> None:
        from concurrent.futures import ThreadPoolExecutor  # 16 ms, for those who have files to store

        self._packs = packs
        self._progress = progress
        self._learn = learn
        self._look = packs.anything()
        self._pool = ThreadPoolExecutor(_WRITERS, "mlwright-store")
        self._stored: dict[str, Stored] = {}
        self._batch: dict[Digest, bytes] = {}
        self._batch_bytes = 0
        self._seen: set[Digest] = set()
        self._writing: deque[Future[object]] = deque()

    def __enter__(self) -> Ingest:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, source: Source) -> None:
        """Take a file; it is read now, or soon.

        Raises:
            Conflict, Invalid, Unavailable: as `store_tree`; for this file or for an earlier one.
        """
        if source.size_bytes < SMALL_BYTES:
            self._small(source)
        elif source.size_bytes <= LARGE_BYTES:
            self._submit(lambda: self._usual(source))
        else:
            self._large(source)

    def end(self) -> dict[str, Stored]:
        """All that was added, by path; on return it is durable."""
        if len(self._batch) == 1 and len(self._seen) == 1:
            (data,) = self._batch.values()
            self._submit(lambda: self._packs.put(data))  # a pack of one file would be nothing but a detour
        elif self._batch:
            self._write_batch()
        while self._writing:
            self._writing.popleft().result()
        return self._stored

    def _small(self, source: Source) -> None:
        data, steady = _read_small(source)
        digest = digest_of(data)
        self._keep(steady, Stored(digest, len(data)))
        if digest in self._seen:
            return
        self._seen.add(digest)
        if self._look and self._packs.reliable(digest) is not None:
            return
        self._batch[digest] = data
        self._batch_bytes += len(data)
        if self._batch_bytes >= _PACK_BYTES:
            self._write_batch()

    def _write_batch(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, {}, 0
        self._submit(lambda: _pack(self._packs, batch))

    def _usual(self, source: Source) -> None:
        stored, steady = _steadily(source, lambda: self._packs.put(Path(source.file)), self._packs.incoming)
        self._keep(steady, stored)

    def _large(self, source: Source) -> None:
        def store() -> Stored:
            descriptor = os.open(source.file, os.O_RDONLY)
            try:
                return store_large(self._packs, descriptor, self._progress)
            finally:
                os.close(descriptor)

        stored, steady = _steadily(source, store, self._packs.incoming)
        self._keep(steady, stored, told=True)

    def _keep(self, source: Source, stored: Stored, *, told: bool = False) -> None:
        self._stored[source.path] = stored
        self._learn(source, stored.digest)
        if not told:
            self._progress.advance(stored.size_bytes)

    def _submit(self, work: Callable[[], object]) -> None:
        while len(self._writing) > _WRITERS or (self._writing and self._writing[0].done()):
            self._writing.popleft().result()
        self._writing.append(self._pool.submit(work))


def _pack(packs: PackedObjects, batch: Mapping[Digest, bytes]) -> None:
    """Write small files side by side; the records follow the bytes."""
    pack = packs.put(b"".join(batch.values())).digest
    places = side_by_side(pack, ((digest, len(data)) for digest, data in batch.items()))
    packs.add(sorted(places, key=lambda place: place.digest))  # neighbours in the index, one after the other


def _read_small(source: Source) -> tuple[bytes, Source]:
    """The bytes of a small file, and the file as it was when they were read."""
    for _ in range(_TRIES):
        try:
            descriptor = os.open(source.file, os.O_RDONLY)
        except OSError as error:
            raise _unreadable(source, error) from error
        try:
            before = os.fstat(descriptor)
            settle(before.st_ctime_ns)
            data = os.read(descriptor, SMALL_BYTES)
            after = state_of(os.fstat(descriptor))
        except OSError as error:
            raise _unreadable(source, error) from error
        finally:
            os.close(descriptor)
        if after == state_of(before) and len(data) == before.st_size:
            return data, source if after == source.state else msgspec.structs.replace(source, state=after)
    raise _unsteady(source)


def _steadily(source: Source, store: Callable[[], Stored], incoming: Path) -> tuple[Stored, Source]:
    """What was stored of a file that was the same before and after."""
    for _ in range(_TRIES):
        try:
            before = state_of(os.stat(source.file))  # noqa: PTH116
            settle(before[3])
            stored = store()
            after = state_of(os.stat(source.file))  # noqa: PTH116
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(incoming, source.size_bytes) from error
            raise _unreadable(source, error) from error
        if before == after and stored.size_bytes == after[0]:
            return stored, msgspec.structs.replace(source, state=after)
    raise _unsteady(source)


def _unreadable(source: Source, error: OSError) -> Exception:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return Conflict(
                f"{source.file} vanished while it was to be read",
                hint="run the same command again when nobody writes to these files",
            )
        case errno.EACCES | errno.EPERM:
            return Invalid(f"{source.file} cannot be read: no permission", hint="change its permissions")
        case errno.EIO:
            return Unavailable(f"{source.file} cannot be read: the disk fails", hint="look at the disk")
    return error


def _unsteady(source: Source) -> Conflict:
    return Conflict(
        f"{source.file} changes while it is read",
        hint="run the same command again when nobody writes to it",
    )
