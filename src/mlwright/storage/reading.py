"""Where the bytes of a tree's files lie, and whether they are right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlwright.kernel.digest import Digest, digest_of_blocks
from mlwright.kernel.progress import SILENT, Progress
from mlwright.sdk.ranges import Range, blocks_of
from mlwright.storage.objects import damaged
from mlwright.storage.packs import PackedObjects
from mlwright.storage.trees import Entry


def files_behind(packs: PackedObjects, entries: Iterable[Entry]) -> Iterator[list[Range]]:
    """Where the bytes of each entry lie, in verified files. What lies in one pack is looked up at once.

    Raises:
        NotFound: an object is not in the store.
        Corrupt: a file that holds one is damaged.
    """
    near: dict[Digest, Range] = {}
    seen: set[Digest] = set()
    for entry in entries:
        if (found := near.get(entry.digest)) is not None:
            yield [found]
            continue
        place = packs.find(entry.digest)
        if place is None or place.pack in seen or packs.is_object(entry.digest):
            yield packs.ranges(entry.digest)
            continue
        seen.add(place.pack)
        path = packs.pack_path(place.pack)
        near |= {each.digest: Range(path, each.start, each.size_bytes) for each in packs.inside(place.pack)}
        yield packs.ranges(entry.digest) if entry.digest not in near else [near[entry.digest]]


def ranges_of(packs: PackedObjects, entries: Iterable[Entry]) -> Iterator[Range]:
    """One range of a verified file for each entry; of what is kept in pieces a file is made.

    Raises:
        NotFound, Corrupt: as `files_behind`.
    """
    entries = tuple(entries)
    for entry, ranges in zip(entries, files_behind(packs, entries), strict=True):
        yield ranges[0] if len(ranges) == 1 else Range(packs.path(entry.digest), 0, entry.size_bytes)


def verify_entries(packs: PackedObjects, entries: Iterable[Entry], progress: Progress = SILENT) -> None:
    """Read every file in full, whatever was found of it before.

    Raises:
        NotFound: one is not in the store.
        Corrupt: one is damaged.
    """
    entries = tuple(entries)
    for entry, ranges in zip(entries, files_behind(packs, entries), strict=True):
        _compare(packs, entry.digest, ranges)
        progress.advance(entry.size_bytes)


def verify_object(packs: PackedObjects, digest: Digest, progress: Progress = SILENT) -> int:
    """Read one object in full; returns its size in bytes.

    Raises:
        NotFound, Corrupt: as `verify_entries`.
    """
    ranges = packs.ranges(digest)
    _compare(packs, digest, ranges, progress)
    return sum(each.size_bytes for each in ranges)


def _compare(
    packs: PackedObjects, digest: Digest, ranges: Iterable[Range], progress: Progress = SILENT
) -> None:
    if digest_of_blocks(blocks_of(ranges), hear=lambda block: progress.advance(len(block))) != digest:
        packs.verify_behind(digest)
        raise damaged(digest)
