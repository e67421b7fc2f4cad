"""The port behind which bytes live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Corrupt

RENEWED_US = 12 * 3600 * 1_000_000
"""What is younger needs not be renewed. Collecting spares what is less than twice as old."""


class Stored(Struct, frozen=True):
    """What `put` answers: the name the bytes have from now on, and how many they are."""

    digest: Digest
    size_bytes: int


class Held(Struct, frozen=True):
    """An object that is here.

    Args:
        put_us: when it was put last, also if its bytes were here already.
    """

    digest: Digest
    size_bytes: int
    put_us: int


def damaged(digest: Digest, where: object = None) -> Corrupt:
    """The one message for wrong bytes.

    Args:
        where: what holds them, if it is known.
    """
    return Corrupt(
        f"object {digest[:12]} is damaged: its bytes are not those its name says",
        where=None if where is None else str(where),
        hint="store it anew: mlwright datasets add --verify PATH, or run again with --no-cache",
    )


class Objects(Protocol):
    """Where bytes live, named by their own digest.

    An object of a kind (`tree`) is named by the digest of that kind, so that it can be found by the
    composite's own name; everything else by plain BLAKE3.

    Laws, examined for every implementation by `tests/exams/objects.py`:
        1. get(put(data)) == data, from bytes and from a file
        2. put twice stores once and answers the same digest
        3. a half-written object is never visible, whatever dies
        4. get and path of an unknown digest raise NotFound; of a damaged one, Corrupt; no wrong bytes are
           ever answered. What path found right it may remember as long as the file seems unchanged; with
           `verify` it reads every byte again
        5. an object is never changed through the path that was answered for it
        6. what was put or renewed is at most RENEWED_US old then, also if it was here before: whoever removes
           with an earlier `before_us`, at the same time too, does not remove it
    """

    @property
    def incoming(self) -> Path:
        """A folder where files may be made that are to be put with `take`."""

    def put(
        self,
        source: bytes | Path,
        *,
        kind: str | None = None,
        take: bool = False,
        digest: Digest | None = None,
    ) -> Stored:
        """Store bytes; on return they are durable.

        Args:
            source: the bytes, or a file that holds them.
            kind: of a composite.
            take: the file is ours to move away.
            digest: of a file to take that the caller hashed while writing it; it is not read again.
        """

    def get(self, digest: Digest, *, kind: str | None = None) -> bytes:
        """The bytes."""

    def path(self, digest: Digest, *, kind: str | None = None, verify: bool = False) -> Path:
        """A read-only file that holds the bytes; `verify` trusts nothing that is remembered of it."""

    def renew(self, digest: Digest, *, kind: str | None = None) -> bool:
        """Whether the object is here and, as far as can be told without moving it, whole.

        It is young then, so that what has no record yet may rely on it.
        """

    def __contains__(self, digest: Digest) -> bool:
        """Whether the object is here; says nothing of its health."""

    def __iter__(self) -> Iterator[Held]:
        """Every object that is here, in no order."""

    def remove(self, digest: Digest, *, before_us: int | None = None) -> bool:
        """Forget an object; nothing happens when it is not here.

        Args:
            before_us: only if it was put last before then, in microseconds since the epoch.

        Returns:
            Whether it is not here any more.
        """
