"""Ranges of files: where bytes lie that have no file of their own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_BLOCK_BYTES = 1 << 20


class Range(NamedTuple):
    """A range of a file, of which nothing outside of it is ever told."""

    path: Path
    start: int
    size_bytes: int

    @property
    def is_file(self) -> bool:
        """Whether it is all of the file."""
        return self.start == 0 and self.path.stat().st_size == self.size_bytes

    def read(self) -> bytes:
        """All of its bytes."""
        return b"".join(self.blocks())

    def blocks(self, most_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
        """Its bytes, so many at a time; fewer in all, if the file is too short."""
        with self.path.open("rb", buffering=0) as file:
            at, end = self.start, self.start + self.size_bytes
            while at < end and (block := os.pread(file.fileno(), min(most_bytes, end - at), at)):
                at += len(block)
                yield block


def blocks_of(ranges: Iterable[Range]) -> Iterator[bytes]:
    """The bytes of ranges, one after the other, a block at a time."""
    for each in ranges:
        yield from each.blocks()
