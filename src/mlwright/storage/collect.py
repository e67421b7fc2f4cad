"""Collecting: what nothing names any more goes, after a day in which nobody wanted it.

An object is taken away only when it was found dead twice, and was neither put nor renewed since the time that
is spared: an attempt that runs, or an upload, may hold bytes that no record names yet.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel import leases
from mlwright.kernel.database import Database, Queries, Source
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Corrupt, MlwrightError, NotFound
from mlwright.kernel.leases import Lease
from mlwright.kernel.progress import SILENT, Progress
from mlwright.storage.inline import InlineObjects
from mlwright.storage.named import beneath, compact, named
from mlwright.storage.objects import RENEWED_US, Held, Objects
from mlwright.storage.packs import side_by_side

_SQL = Queries.beside(__file__)

SPARED_US = 2 * RENEWED_US
"""What is younger stays, whatever names it or not."""
_BATCH = 100
"""After so many objects it is asked again whether they are still this process's to remove."""


class Sweep(Struct, frozen=True):
    """What is to go.

    Args:
        dead: objects that nothing needs.
        thin: packs of which less than half is needed: what is needed moves to a new one.
        thin_bytes: that are not needed in these; a later sweep frees them.
        rows: small values that nothing names.
        row_bytes: all of them together.
        temporary: files of puts, and folders of fetches, that were interrupted, with their sizes.
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
        """All that is free afterwards."""
        freed = sum(held.size_bytes for held in self.dead) + self.row_bytes
        return freed + sum(size for _, size in self.temporary)


def plan_sweep(source: Source, objects: InlineObjects, before_us: int) -> Sweep:
    """What is to go; nothing is changed.

    Args:
        source: the records.
        objects: the bytes.
        before_us: what was put or renewed since then stays.

    Raises:
        Corrupt: a tree or a recipe cannot be read: what it names cannot be known, and nothing may go.
    """
    needed = _needed(source, objects)
    store = objects.packs.store
    packs = {Digest(row["pack"]) for row in source.read(_SQL["packs"])}
    dead: list[Held] = []
    young: list[int] = []
    kept: list[int] = []
    old: set[Digest] = set()
    for held in store:
        if compact(held.digest) in needed:
            kept.append(held.size_bytes)
            if held.digest in packs and held.put_us < before_us:
                old.add(held.digest)
        elif held.put_us >= before_us:
            young.append(held.size_bytes)
        else:
            dead.append(held)
    thin = list(_thin(source, objects, old))
    rows = [(Digest(row["digest"]), row["size_bytes"]) for row in source.read(_SQL["inline_unnamed"])]
    return Sweep(
        tuple(dead),
        tuple(pack for pack, _ in thin),
        sum(wasted for _, wasted in thin),
        tuple(digest for digest, _ in rows),
        sum(size for _, size in rows),
        tuple(_temporary(store, before_us)),
        (len(young), sum(young)),
        (len(kept), sum(kept)),
    )


def sweep(
    database: Database,
    objects: InlineObjects,
    plan: Sweep,
    before_us: int,
    lease: Lease,
    progress: Progress = SILENT,
) -> Sweep:
    """Do what was planned, of which all is looked at again; returns what went.

    Whoever is killed here leaves a store in which everything that is named is whole.

    Args:
        before_us: as it was planned with.
        lease: that nobody else collects or makes a backup; once another has it, nothing more goes.

    Raises:
        Conflict: another process has taken the lease meanwhile.
        Corrupt: a tree or a recipe cannot be read by now.
    """
    wanted = {compact(digest) for digest in _wanted(database, objects)} if plan.thin else set()
    for pack in plan.thin:
        _move_what_is_needed(objects, pack, wanted)
    needed = _needed(database, objects)
    store = objects.packs.store
    gone = []
    try:
        with progress.work("collecting", sum(held.size_bytes for held in plan.dead)):
            for number, held in enumerate(plan.dead):
                if number % _BATCH == 0:
                    leases.refuse_taken(database, lease)
                if compact(held.digest) not in needed and store.remove(held.digest, before_us=before_us):
                    gone.append(held)
                progress.advance(held.size_bytes)
    finally:
        _forget(database, store)
    leases.refuse_taken(database, lease)
    with database.transaction() as tx:
        rows = [digest for digest in plan.rows if tx.execute(_SQL["remove_unnamed"], digest=digest)]
    for file, _ in plan.temporary:
        if file.is_dir():
            rmtree(file, ignore_errors=True)
        else:
            file.unlink(missing_ok=True)
    return replace(plan, dead=tuple(gone), rows=tuple(rows))


def _needed(source: Source, objects: InlineObjects) -> set[bytes]:
    """The objects of the store that hold what the records name, compact."""

    def unreadable(digest: Digest, error: MlwrightError) -> None:
        raise Corrupt(
            f"nothing is collected: what {digest[:12]} is made of cannot be known: {error.message}",
            where=error.where,
            hint="see whose it is, and what brings it back: mlwright workspace verify",
        ) from error

    return {compact(name.digest) for name in beneath(source, objects, unreadable)}


def _thin(source: Source, objects: InlineObjects, packs: set[Digest]) -> Iterator[tuple[Digest, int]]:
    """Those packs of which less than half is needed, with the bytes that are not."""
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


def _move_what_is_needed(objects: InlineObjects, pack: Digest, wanted: set[bytes]) -> None:
    """Write what is needed of a pack into a new one. The old one is renewed: somebody may be reading it.

    What has come to be needed since it was looked at stays in the old one, which is young then.
    """
    packs = objects.packs
    inside = [each for each in packs.inside(pack) if compact(each.digest) in wanted]
    if not inside or not packs.store.renew(pack):
        return
    descriptor, name = tempfile.mkstemp(dir=packs.incoming)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for each in inside:
                file.write(packs.get(each.digest))
        new = packs.put(Path(name), take=True).digest
    finally:
        Path(name).unlink(missing_ok=True)
    packs.add(side_by_side(new, ((each.digest, each.size_bytes) for each in inside)))


def _forget(database: Database, store: Objects) -> None:
    """Where ranges lie that lay in what is gone, now or by an earlier sweep that was killed.

    What was just removed may have been stored again: only the store tells.
    """
    with database.transaction() as tx:
        for row in tx.read(_SQL["packs"]):
            if row["pack"] not in store:
                tx.execute(_SQL["remove_packed"], pack=row["pack"])
        for row in tx.read(_SQL["chunked_all"]):
            if row["recipe"] not in store:
                tx.execute(_SQL["remove_chunked"], digest=row["digest"])


def _temporary(store: Objects, before_us: int) -> Iterator[tuple[Path, int]]:
    for file in store.incoming.iterdir():
        with suppress(FileNotFoundError):
            # A folder is as young as the youngest in it: a fetch may write to one file of it for days.
            found = [each.stat() for each in (file, *file.rglob("*"))]
            if max(status.st_mtime_ns for status in found) // 1000 < before_us:
                yield file, sum(status.st_size for status in found if stat.S_ISREG(status.st_mode))
