"""Small values as rows: committed with the attempt that made them, read through the same port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Corrupt
from mlwright.storage.objects import Held, Objects, Stored
from mlwright.storage.packs import PackedObjects

_SQL = Queries.beside(__file__)

INLINE_BYTES = 4096
"""Up to this size an encoded value is a row: a file would cost two flushes of the disk."""

_PAGE_ROWS = 1000


class InlineObjects:
    """A store that also answers for the rows of `inline`.

    Args:
        packs: the store beneath; whoever stores or reads many files speaks to it.
        source: where rows are looked for, if not in the database.
    """

    def __init__(self, packs: PackedObjects, database: Database, source: Source | None = None) -> None:
        self.packs = packs
        self._objects: Objects = packs
        self._database = database
        self._source = source or database

    def seen_in(self, source: Source) -> InlineObjects:
        """The same store, with the rows as they are seen there."""
        return InlineObjects(self.packs.seen_in(source), self._database, source)

    @property
    def incoming(self) -> Path:
        """That of the store beneath."""
        return self._objects.incoming

    def put(
        self,
        source: bytes | Path,
        *,
        kind: str | None = None,
        take: bool = False,
        digest: Digest | None = None,
    ) -> Stored:
        """Store in the store beneath; small values that belong to an attempt go through `put_inline`."""
        return self._objects.put(source, kind=kind, take=take, digest=digest)

    def get(self, digest: Digest, *, kind: str | None = None) -> bytes:
        """The bytes, from the row or from the store."""
        row = self._row(digest)
        return self._objects.get(digest, kind=kind) if row is None else row

    def path(self, digest: Digest, *, kind: str | None = None, verify: bool = False) -> Path:
        """A file with the bytes; a row becomes an object first."""
        row = self._row(digest)
        if row is not None and digest not in self._objects:
            self._objects.put(row, kind=kind)
        return self._objects.path(digest, kind=kind, verify=verify)

    def is_row(self, digest: Digest) -> bool:
        """Whether it is a row, whatever it holds."""
        return bool(self._source.read(_SQL["inline_known"], digest=digest))

    def inline(self, digest: Digest) -> bytes | None:
        """The bytes when they are a row."""
        return self._row(digest)

    def renew(self, digest: Digest, *, kind: str | None = None) -> bool:
        """Renew the object. A row is of no use here: it goes with the last record that names it."""
        return self._objects.renew(digest, kind=kind)

    def __contains__(self, digest: Digest) -> bool:
        return self._row(digest) is not None or digest in self._objects

    def __iter__(self) -> Iterator[Held]:
        """The rows, as young as can be: no age ends them; and what the store beneath holds."""
        rows = {row["digest"]: row["size_bytes"] for row in self._source.read(_SQL["inline_sizes"])}
        yield from (Held(Digest(digest), size, now_us()) for digest, size in rows.items())
        yield from (held for held in self._objects if held.digest not in rows)

    def remove(self, digest: Digest, *, before_us: int | None = None) -> bool:
        """Forget the row and the object; with `before_us` the object only."""
        if not self._objects.remove(digest, before_us=before_us):
            return False
        if before_us is None:
            with self._database.transaction() as tx:
                tx.execute(_SQL["remove_inline"], digest=digest)
        return self._row(digest) is None

    def _row(self, digest: Digest) -> bytes | None:
        rows = self._source.read(_SQL["inline_by_digest"], digest=digest)
        if not rows:
            return None
        data: bytes = rows[0]["data"]
        if digest_of(data) != digest:
            raise Corrupt(f"the inline value {digest[:12]} is damaged")
        return data


def rows_of(source: Source) -> Iterator[tuple[Digest, int, bool]]:
    """Every small value that is a row: its digest, its size, and whether it is what its digest says."""
    after = ""
    while rows := source.read(_SQL["inline_after"], after=after, limit=_PAGE_ROWS):
        for row in rows:
            yield Digest(row["digest"]), len(row["data"]), digest_of(row["data"]) == row["digest"]
        after = rows[-1]["digest"]


def put_inline(tx: Transaction, data: bytes) -> Stored:
    """Keep a small value as a row of the transaction that names it."""
    digest = digest_of(data)
    put_all_inline(tx, {digest: data})
    return Stored(digest, len(data))


def put_all_inline(tx: Transaction, values: Mapping[Digest, bytes]) -> None:
    """Keep small values, by their digests, as rows of the transaction that names them."""
    assert all(len(data) <= INLINE_BYTES for data in values.values())
    tx.execute_many(_SQL["add_inline"], [{"digest": digest, "data": data} for digest, data in values.items()])
