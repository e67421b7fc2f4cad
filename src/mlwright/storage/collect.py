"""Collecting: what nothing names any more goes, after a day in which nobody wanted it.

An object is taken away only when it was found dead twice, and was neither put nor renewed since the time that
is spared: an attempt that runs, or an upload, may hold bytes that no record names yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from mlwright.kernel.database import Database, Queries, Source
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import NotFound
from mlwright.kernel.progress import SILENT, Progress
from mlwright.storage.inline import InlineObjects
from mlwright.storage.named import beneath, compact, named
from mlwright.storage.objects import RENEWED_US, Held, Objects
from mlwright.storage.packs import Packed

_SQL = Queries.beside(__file__)

SPARED_US = 2 * RENEWED_US
"""What is younger stays, whatever names it or not."""


class Sweep(Struct, frozen=True):
    """What is to go.

    Args:
        dead: objects that nothing needs.
        thin: packs of which less than half is needed: what is needed moves to a new one.
        thin_bytes: that are not needed in these.
        rows: small values that nothing names.
        row_bytes: all of them together.
        temporary: files of puts that were interrupted, with their sizes.
        young: objects that nothing names yet, and that are spared.
        kept: objects that are needed, and their bytes.
    """

    dead: tuple[Held, ...]
    thin: tuple[Digest, ...]
    thin_bytes: int
    rows: tuple[Digest, ...]
    row_bytes: int
    temporary: tuple[tuple[Path, int], ...]
    young: tuple[int, int]
    kept: tuple[int, int]

    @property
    def bytes(self) -> int:
        """All that would be free."""
        return (
            sum(held.size_bytes for held in self.dead)
            + self.thin_bytes
            + self.row_bytes
            + sum(size for _, size in self.temporary)
        )


def plan_sweep(source: Source, objects: InlineObjects, before_us: int) -> Sweep:
    """What is to go; nothing is changed.

    Args:
        source: the records.
        objects: the bytes.
        before_us: what was put or renewed since then stays.

    Raises:
        NotFound, Corrupt: a tree cannot be read: what it names cannot be known, and nothing may go.
    """
    needed = {compact(name.digest) for name in beneath(source, objects)}
    store = objects.packs.store
    dead: list[Held] = []
    young: list[Held] = []
    kept: list[Held] = []
    for held in store:
        if compact(held.digest) in needed:
            kept.append(held)
        else:
            (young if held.put_us >= before_us else dead).append(held)
    old = {held.digest for held in kept if held.put_us < before_us}
    thin = list(_thin(source, objects, old))
    rows = [(Digest(row["digest"]), row["size_bytes"]) for row in source.read(_SQL["inline_unnamed"])]
    return Sweep(
        tuple(dead),
        tuple(pack for pack, _ in thin),
        sum(wasted for _, wasted in thin),
        tuple(digest for digest, _ in rows),
        sum(size for _, size in rows),
        tuple(_temporary(store, before_us)),
        _counted(young),
        _counted(kept),
    )


def sweep(
    database: Database, objects: InlineObjects, plan: Sweep, before_us: int, progress: Progress = SILENT
) -> Sweep:
    """Do what was planned, of which all is looked at again; returns what went.

    Whoever is killed here leaves a store in which everything that is named is whole.

    Args:
        before_us: as it was planned with.

    Raises:
        NotFound, Corrupt: a tree cannot be read by now.
    """
    for pack in plan.thin:
        _move_what_is_needed(database, objects, pack)
    needed = {compact(name.digest) for name in beneath(database, objects)}
    store = objects.packs.store
    gone = []
    progress.begin("collecting", sum(held.size_bytes for held in plan.dead))
    try:
        for held in plan.dead:
            if compact(held.digest) not in needed and store.remove(held.digest, before_us=before_us):
                gone.append(held)
            progress.advance(held.size_bytes)
    finally:
        progress.end()
        _forget(database, store, {held.digest for held in gone})
    with database.transaction() as tx:
        rows = [digest for digest in plan.rows if tx.execute(_SQL["remove_unnamed"], digest=digest)]
    for file, _ in plan.temporary:
        file.unlink(missing_ok=True)
    return Sweep(
        tuple(gone),
        plan.thin,
        plan.thin_bytes,
        tuple(rows),
        plan.row_bytes,
        plan.temporary,
        plan.young,
        plan.kept,
    )


def _thin(source: Source, objects: InlineObjects, old: set[Digest]) -> Iterator[tuple[Digest, int]]:
    """Packs of which less than half is needed, with the bytes that are not."""
    packs = {row["pack"] for row in source.read(_SQL["packs"])} & old
    if not packs:
        return
    wanted = {compact(digest) for digest in _wanted(source, objects)}
    for pack in packs:
        if compact(pack) in wanted:  # a large file of its own, whose pieces others share
            continue
        inside = objects.packs.inside(pack)
        size = sum(each.size_bytes for each in inside)
        used = sum(each.size_bytes for each in inside if compact(each.digest) in wanted)
        if used < size / 2:
            yield pack, size - used


def _wanted(source: Source, objects: InlineObjects) -> Iterator[Digest]:
    """All that is named, and the pieces that it is made of."""
    seen = objects.seen_in(source)
    for name in named(source, seen):
        yield name.digest
        if name.kind is None and seen.packs.find(name.digest) is None:
            with suppress(NotFound):
                yield from (piece for piece, _ in seen.packs.pieces(name.digest))


def _move_what_is_needed(database: Database, objects: InlineObjects, pack: Digest) -> None:
    """Write what is needed of a pack into a new one. The old one is renewed: somebody may be reading it."""
    packs = objects.packs
    wanted = {compact(digest) for digest in _wanted(database, objects)}
    inside = [each for each in packs.inside(pack) if compact(each.digest) in wanted]
    if not inside or packs.reliable(inside[0].digest) is None:
        return
    data = b"".join(packs.get(each.digest) for each in inside)
    moved, start = [], 0
    new = packs.put(data).digest
    for each in inside:
        moved.append(Packed(each.digest, new, start, each.size_bytes))
        start += each.size_bytes
    packs.add(moved)


def _forget(database: Database, store: Objects, gone: set[Digest]) -> None:
    """Where ranges lie that lay in what is gone, now and after an earlier sweep that was killed."""
    with database.transaction() as tx:
        for row in tx.read(_SQL["packs"]):
            if row["pack"] in gone or row["pack"] not in store:
                tx.execute(_SQL["remove_packed"], pack=row["pack"])
        for row in tx.read(_SQL["chunked_all"]):
            if row["recipe"] in gone or row["recipe"] not in store:
                tx.execute(_SQL["remove_chunked"], digest=row["digest"])


def _temporary(store: Objects, before_us: int) -> Iterator[tuple[Path, int]]:
    for file in store.incoming.iterdir():
        with suppress(FileNotFoundError):
            status = file.stat()
            if file.is_file() and status.st_mtime_ns // 1000 < before_us:
                yield file, status.st_size


def _counted(held: Iterable[Held]) -> tuple[int, int]:
    sizes = [each.size_bytes for each in held]
    return len(sizes), sum(sizes)
