"""The port behind which bytes live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from mlwright.kernel.digest import Digest


class Stored(Struct, frozen=True):
    """What `put` answers: the name the bytes have from now on, and how many they are."""

    digest: Digest
    size_bytes: int


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
    """

    def put(self, source: bytes | Path, *, kind: str | None = None, take: bool = False) -> Stored:
        """Store bytes; on return they are durable.

        Args:
            source: the bytes, or a file that holds them.
            kind: of a composite.
            take: the file is ours to move away.
        """

    def get(self, digest: Digest, *, kind: str | None = None) -> bytes:
        """The bytes."""

    def path(self, digest: Digest, *, kind: str | None = None, verify: bool = False) -> Path:
        """A read-only file that holds the bytes; `verify` trusts nothing that is remembered of it."""

    def __contains__(self, digest: Digest) -> bool:
        """Whether the object is here; says nothing of its health."""

    def __iter__(self) -> Iterator[Digest]:
        """Every digest that is here, in no order."""

    def remove(self, digest: Digest) -> None:
        """Forget an object; nothing happens when it is not here."""
