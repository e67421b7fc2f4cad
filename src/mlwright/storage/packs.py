"""Packs: objects whose ranges have digests of their own.

Small files lie side by side in one object, so that 20,000 of them are a handful. Pieces of a large file lie
in the object of the version that was stored first, and what later versions add in packs of their own. Where
they lie stands in the table `packed`; a large file that is no object of its own has a *recipe*, the list of
its pieces, and a row in `chunked`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from mlwright.kernel.database import Database, Queries, Source
from mlwright.kernel.digest import Digest, canonical, digest_of, digest_of_blocks, is_digest
from mlwright.kernel.errors import Corrupt, NotFound, disk_full, is_disk_full
from mlwright.sdk.ranges import Range, blocks_of
from mlwright.storage.objects import Held, Objects, Stored, damaged

_SQL = Queries.beside(__file__)

RECIPE = "recipe"
"""The kind of a list of pieces."""
_RENEWED_S = 600.0
"""For so long nobody asks again whether a pack is there; what is collected was left alone for a day."""


class Packed(Struct, frozen=True):
    """Bytes that lie in a pack."""

    digest: Digest
    pack: Digest
    start: int
    size_bytes: int


def side_by_side(pack: Digest, sizes: Iterable[tuple[Digest, int]]) -> list[Packed]:
    """Where bytes lie in a pack that holds nothing else, in this order.

    Args:
        sizes: digests, each with how many bytes it is of.
    """
    places, start = [], 0
    for digest, size_bytes in sizes:
        places.append(Packed(digest, pack, start, size_bytes))
        start += size_bytes
    return places


class PackedObjects:
    """A store that also answers for what lies in packs.

    What is put through it is an object of its own; packs are made by `mlwright.storage.ingest`.

    Args:
        objects: where packs, recipes and all other objects lie.
        made: of this machine, for what somebody wants as a whole file; disposable.
        source: where records are looked for, if not in the database.
    """

    def __init__(
        self, objects: Objects, database: Database, made: Objects, source: Source | None = None
    ) -> None:
        self._objects = objects
        self._database = database
        self._source = source or database
        self._made = made
        self._renewed_s: dict[Digest, float] = {}

    @property
    def store(self) -> Objects:
        """The store beneath."""
        return self._objects

    @property
    def made(self) -> Objects:
        """Whole files of this machine, made of ranges; disposable."""
        return self._made

    def seen_in(self, source: Source) -> PackedObjects:
        """The same store, with the records as they are seen there."""
        return PackedObjects(self._objects, self._database, self._made, source)

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
        """Store an object of its own."""
        return self._objects.put(source, kind=kind, take=take, digest=digest)

    def get(self, digest: Digest, *, kind: str | None = None) -> bytes:
        """The bytes, of which every one was looked at."""
        if digest in self._objects:
            return self._objects.get(digest, kind=kind)
        data = b"".join(each.read() for each in self.ranges(digest))
        if digest_of(data, kind) != digest:
            raise damaged(digest)
        return data

    def path(self, digest: Digest, *, kind: str | None = None, verify: bool = False) -> Path:
        """The object's own file, or one that is made of the ranges that hold its bytes."""
        if digest in self._objects:
            return self._objects.path(digest, kind=kind, verify=verify)
        ranges = self.ranges(digest, verify=verify)
        if digest in self._made:
            with contextlib.suppress(Corrupt, NotFound):
                path = self._made.path(digest, kind=kind, verify=verify)
                if self._made.renew(digest, kind=kind):  # what is used is not collected
                    return path
            self._made.remove(digest)
        return self._make(digest, kind, ranges)

    def ranges(self, digest: Digest, *, verify: bool = False) -> list[Range]:
        """Where the bytes of an object lie, in their order, in verified files.

        Raises:
            NotFound: nowhere.
            Corrupt: a file that holds them is damaged.
        """
        # Where it lies in a pack is a row; whether it is an object may be a request.
        if (found := self.find(digest)) is not None:
            try:
                return list(self._ranges([found], verify))
            except (NotFound, Corrupt):
                if digest not in self._objects:
                    raise
        if digest in self._objects:
            path = self.pack_path(digest, verify=verify)
            return [Range(path, 0, path.stat().st_size)]
        return list(self._ranges(self.places(digest), verify))

    def places(self, digest: Digest) -> list[Packed]:
        """Where the bytes of what is no object of its own lie, in their order.

        Raises:
            NotFound: nowhere.
        """
        if (found := self.find(digest)) is not None:
            return [found]
        places = []
        for piece, _ in self.pieces(digest):
            place = self.find(piece) or self._whole(piece)
            if place is None:
                raise NotFound(f"object {digest[:12]} lacks its piece {piece[:12]}")
            places.append(place)
        return places

    def verify_behind(self, digest: Digest) -> None:
        """Read the objects that hold an object's bytes in full; nobody takes a damaged one for right then.

        Raises:
            Corrupt: one is damaged.
        """
        if digest in self._objects:
            self.pack_path(digest, verify=True)
            return
        for pack in {place.pack for place in self.places(digest)}:
            self.pack_path(pack, verify=True)

    def beneath(self, digest: Digest) -> list[tuple[Digest, str | None]]:
        """The objects of the store beneath that hold an object's bytes, each with its kind.

        Of what is kept in pieces, a piece that is nowhere is among them, as if it were an object.

        Raises:
            NotFound: there are none.
            Corrupt: its recipe is damaged.
        """
        if digest in self._objects:
            return [(digest, None)]
        if (found := self.find(digest)) is not None:
            return [(found.pack, None)]
        places = ((piece, self.find(piece)) for piece, _ in self.pieces(digest))
        packs: dict[Digest, str | None] = {place.pack if place else piece: None for piece, place in places}
        if (recipe := self._recipe_of(digest)) is not None:
            packs[recipe] = RECIPE
        return list(packs.items())

    def in_pieces(self, digest: Digest) -> bool:
        """Whether it is a large file that has a recipe."""
        return self._recipe_of(digest) is not None

    def find(self, digest: Digest) -> Packed | None:
        """Where a packed range lies."""
        rows = self._source.read(_SQL["packed_by_digest"], digest=digest)
        return Packed(digest, **rows[0]) if rows else None

    def inside(self, pack: Digest) -> list[Packed]:
        """All that lies in a pack, in the order of its bytes."""
        return [
            Packed(row["digest"], pack, row["start"], row["size_bytes"])
            for row in self._source.read(_SQL["packed_in"], pack=pack)
        ]

    def is_object(self, digest: Digest) -> bool:
        """Whether it is an object of its own."""
        return digest in self._objects

    def pack_path(self, pack: Digest, *, verify: bool = False) -> Path:
        """The verified file of a pack.

        Raises:
            NotFound, Corrupt: it is not there, or damaged; nothing relies on it any more.
        """
        try:
            return self._objects.path(pack, verify=verify)
        except (NotFound, Corrupt):
            self._renewed_s.pop(pack, None)
            raise

    def pieces(self, digest: Digest) -> list[tuple[Digest, int]]:
        """The pieces of a large file, each with its size.

        Raises:
            NotFound: it is not kept in pieces.
            Corrupt: its recipe is damaged.
        """
        recipe = self._recipe_of(digest)
        if recipe is None:
            raise NotFound(f"object {digest[:12]} is not in the store")
        return self.pieces_in(recipe)

    def pieces_in(self, recipe: Digest) -> list[tuple[Digest, int]]:
        """The pieces that a recipe lists, each with its size.

        Raises:
            NotFound: there is no such recipe.
            Corrupt: it is damaged, or no list of pieces.
        """
        try:
            return msgspec.json.decode(self._objects.get(recipe, kind=RECIPE), type=list[tuple[Digest, int]])
        except msgspec.DecodeError as error:
            raise Corrupt(f"recipe {recipe[:12]} is not a list of pieces: {error}") from error

    def reliable(self, digest: Digest) -> Packed | None:
        """Where a range lies, in a pack that is whole and young: what has no record yet may rely on it."""
        found = self.find(digest)
        if found is None:
            return None
        now_s = time.monotonic()
        if self._renewed_s.get(found.pack, -_RENEWED_S) + _RENEWED_S <= now_s:
            if not self._objects.renew(found.pack):
                return None
            self._renewed_s[found.pack] = now_s
        return found

    def anything(self) -> bool:
        """Whether anything is packed at all."""
        return bool(self._source.read(_SQL["packed_any"]))

    def add(self, packed: Iterable[Packed]) -> None:
        """Record where ranges lie, of packs that are durable."""
        rows = [msgspec.structs.asdict(each) for each in packed]
        with self._database.transaction() as tx:
            tx.execute_many(_SQL["add_packed"], rows)

    def add_chunked(self, digest: Digest, size_bytes: int, pieces: Sequence[tuple[Digest, int]]) -> None:
        """Record of which pieces, packed before, a large file is made."""
        recipe = self._objects.put(canonical([list(piece) for piece in pieces]), kind=RECIPE).digest
        with self._database.transaction() as tx:
            tx.execute(_SQL["add_chunked"], digest=digest, recipe=recipe, size_bytes=size_bytes)

    def renew(self, digest: Digest, *, kind: str | None = None) -> bool:
        """Renew the object, or every pack that holds its bytes, and its recipe."""
        if kind is None and self.reliable(digest) is not None:
            return True
        if digest in self._objects:
            return self._objects.renew(digest, kind=kind)
        try:
            packs = {place.pack for place in self.places(digest)}
        except (NotFound, Corrupt):
            return False
        recipe = self._recipe_of(digest)
        return all(self._objects.renew(pack) for pack in packs) and (
            recipe is None or self._objects.renew(recipe, kind=RECIPE)
        )

    def __contains__(self, digest: Digest) -> bool:
        if digest in self._objects:
            return True
        if not is_digest(digest):
            return False
        try:
            return all(pack in self._objects for pack in {place.pack for place in self.places(digest)})
        except (NotFound, Corrupt):
            return False

    def __iter__(self) -> Iterator[Held]:
        """The objects beneath, then what lies in packs, as old as these."""
        ages = {}
        for held in self._objects:
            ages[held.digest] = held.put_us
            yield held
        for row in (*self._source.read(_SQL["packed_all"]), *self._source.read(_SQL["chunked_all"])):
            age = ages.get(row["pack" if "pack" in row else "recipe"])
            if age is not None and row["digest"] not in ages:
                yield Held(row["digest"], row["size_bytes"], age)

    def remove(self, digest: Digest, *, before_us: int | None = None) -> bool:
        """Remove the object; of what lies in packs only where it lies is forgotten, if no time is set."""
        if not self._objects.remove(digest, before_us=before_us):
            return False
        if before_us is None:
            with self._database.transaction() as tx:
                tx.execute(_SQL["remove_packed_one"], digest=digest)
                tx.execute(_SQL["remove_chunked"], digest=digest)
        return digest not in self

    def _recipe_of(self, digest: Digest) -> Digest | None:
        """The recipe of a large file that is kept in pieces."""
        rows = self._source.read(_SQL["chunked_by_digest"], digest=digest)
        return Digest(rows[0]["recipe"]) if rows else None

    def _whole(self, digest: Digest) -> Packed | None:
        """A piece that is an object of its own."""
        if digest not in self._objects:
            return None
        return Packed(digest, digest, 0, self._objects.path(digest).stat().st_size)

    def _ranges(self, places: Iterable[Packed], verify: bool) -> Iterator[Range]:
        paths: dict[Digest, Path] = {}
        for place in places:
            if place.pack not in paths:
                paths[place.pack] = self.pack_path(place.pack, verify=verify)
            yield Range(paths[place.pack], place.start, place.size_bytes)

    def _make(self, digest: Digest, kind: str | None, ranges: Sequence[Range]) -> Path:
        """A file of this machine with the bytes of ranges."""
        descriptor, name = tempfile.mkstemp(dir=self._made.incoming)
        try:
            with os.fdopen(descriptor, "wb") as file:
                found = digest_of_blocks(blocks_of(ranges), kind, hear=file.write)
            if found != digest:
                raise damaged(digest)
            self._made.put(Path(name), take=True, digest=digest)
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(Path(name).parent, sum(each.size_bytes for each in ranges)) from error
            raise
        finally:
            Path(name).unlink(missing_ok=True)
        return self._made.path(digest, kind=kind)
