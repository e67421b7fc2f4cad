"""Names of bytes: BLAKE3, plain for an object, `derive_key` with the kind for a composite.

Source: BLAKE3, O'Connor et al., 2020, section 2.3 (the three modes).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NewType

from blake3 import blake3

if TYPE_CHECKING:
    from typing_extensions import Buffer

Digest = NewType("Digest", str)
"""64 lowercase hexadecimal digits. `b3sum` agrees on a plain one."""

_PARALLEL_BYTES = 1 << 20
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _hasher(kind: str | None) -> blake3:
    if kind is None:
        return blake3(max_threads=blake3.AUTO)
    return blake3(derive_key_context=_context(kind), max_threads=blake3.AUTO)


def _context(kind: str) -> str:
    return f"mlwright 2026-11-23 {kind}"


def digest_of(data: bytes | memoryview, kind: str | None = None) -> Digest:
    """The digest of bytes in memory; `kind` for a composite (tree, lock, snapshot, fingerprint)."""
    if len(data) < _PARALLEL_BYTES:
        if kind is None:
            return Digest(blake3(data).hexdigest())
        return Digest(blake3(data, derive_key_context=_context(kind)).hexdigest())
    return Digest(_hasher(kind).update(data).hexdigest())


class Hasher:
    """The digest of bytes that come one after the other; on one core, beside other work."""

    __slots__ = ("_hasher", "update")

    def __init__(self, kind: str | None = None) -> None:
        self._hasher = blake3() if kind is None else blake3(derive_key_context=_context(kind))
        self.update: Callable[[Buffer], object] = self._hasher.update

    def digest(self) -> Digest:
        """Of all that came so far."""
        return Digest(self._hasher.hexdigest())


def digest_of_blocks(
    blocks: Iterable[bytes | memoryview],
    kind: str | None = None,
    hear: Callable[[bytes | memoryview], object] = lambda block: None,
) -> Digest:
    """The digest of bytes that come block by block; on one core, beside other work.

    Args:
        hear: is given each block when it is in the digest.
    """
    hasher = Hasher(kind)
    for block in blocks:
        hasher.update(block)
        hear(block)
    return hasher.digest()


def digest_of_file(path: Path, kind: str | None = None) -> Digest:
    """The digest of a file's bytes, on every core, a piece at a time: mapped, all of it would count as ours.

    Raises:
        OSError: the file cannot be read.
    """
    hasher = _hasher(kind)
    with path.open("rb", buffering=0) as file:
        piece = bytearray(min(os.fstat(file.fileno()).st_size + 1, _PARALLEL_BYTES))
        view = memoryview(piece)
        while size := file.readinto(piece):
            hasher.update(view[:size])
    return Digest(hasher.hexdigest())


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8, no NaN."""
    return _ENCODER.encode(value).encode()


def composite(kind: str, value: Any) -> Digest:
    """The digest of a composite value, which no object and no other kind can have."""
    return digest_of(canonical(value), kind)


def is_digest(text: str) -> bool:
    """Whether `text` is a whole digest."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
