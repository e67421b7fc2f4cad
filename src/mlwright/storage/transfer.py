"""From one store into another, of one machine: what trees name, packs as packs."""

from __future__ import annotations

from collections.abc import Iterable

from mlwright.kernel.digest import Digest
from mlwright.kernel.progress import SILENT, Progress
from mlwright.storage.packs import PackedObjects
from mlwright.storage.trees import KIND, load_tree


def transfer(
    source: PackedObjects, target: PackedObjects, digests: Iterable[Digest], progress: Progress = SILENT
) -> None:
    """Copy what is not there yet, verified; on return it is durable.

    Raises:
        NotFound: an object is not in the source.
        Corrupt: one is damaged there.
        Unavailable: the disk is full.
    """
    for digest in digests:
        if target.renew(digest):
            continue
        if source.is_object(digest):
            progress.advance(target.put(source.path(digest)).size_bytes)
            continue
        for pack in {place.pack: None for place in source.places(digest)}:
            inside = source.inside(pack)
            if any(target.reliable(each.digest) is None for each in inside):
                progress.advance(target.put(source.pack_path(pack)).size_bytes)
                target.add(inside)
        if source.find(digest) is None:
            pieces = source.pieces(digest)
            target.add_chunked(digest, sum(size for _, size in pieces), pieces)


def transfer_tree(
    source: PackedObjects, target: PackedObjects, digest: Digest, progress: Progress = SILENT
) -> None:
    """Copy the files of a tree that are not there yet, then its manifest; on return all is durable.

    Raises:
        NotFound, Corrupt, Unavailable: as `transfer`.
    """
    tree = load_tree(source, digest)
    transfer(source, target, (entry.digest for entry in tree.entries), progress)
    target.put(source.get(digest, kind=KIND), kind=KIND)
