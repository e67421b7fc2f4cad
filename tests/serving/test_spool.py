"""Files of requests: small ones in memory, large ones on disk, and none left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlwright.serving.problems import Problem
from mlwright.serving.spool import IN_MEMORY_BYTES, Spool

MIB = 2**20


async def pieces(mebibytes: int) -> AsyncIterator[bytes]:
    for _ in range(mebibytes):
        yield b"x" * MIB


def test_a_large_file_lies_on_disk_as_long_as_it_is_worked_on(tmp_path: Path) -> None:
    """A small one does not; whatever was taken is given back."""
    spool = Spool(tmp_path, limit_bytes=8 * MIB)

    with spool.begin() as kept:
        large = asyncio.run(kept.keep(pieces(3), 4 * MIB, "the file"))
        small = asyncio.run(kept.keep(pieces(IN_MEMORY_BYTES // MIB), 4 * MIB, "the file"))
        assert isinstance(large, Path)
        assert isinstance(small, bytes)
        assert large.stat().st_size == 3 * MIB
        assert spool.used_bytes == 3 * MIB

    assert list(tmp_path.iterdir()) == []
    assert spool.used_bytes == 0


def test_what_is_too_large_is_told_from_what_has_no_room_now(tmp_path: Path) -> None:
    """One is 413 whenever it comes; the other is 503, and may come again."""
    spool = Spool(tmp_path, limit_bytes=4 * MIB)

    with spool.begin() as kept, pytest.raises(Problem, match="is larger than") as too_large:
        asyncio.run(kept.keep(pieces(3), 2 * MIB, "the file"))
    with spool.begin() as kept:
        asyncio.run(kept.keep(pieces(3), 5 * MIB, "the file"))
        with pytest.raises(Problem, match="there is no room") as no_room:
            asyncio.run(kept.keep(pieces(3), 5 * MIB, "the file"))

    assert (too_large.value.http_status, no_room.value.http_status) == (413, 503)
    assert no_room.value.headers == {"retry-after": "1"}


def test_a_full_disk_is_no_room(disk: Path) -> None:
    """The request is refused, the file goes, and the next one finds the room again."""
    spool = Spool(disk, limit_bytes=100 * MIB)

    with spool.begin() as kept, pytest.raises(Problem, match="there is no room") as refused:
        asyncio.run(kept.keep(pieces(30), 50 * MIB, "the file"))

    assert refused.value.http_status == 503
    assert list(disk.iterdir()) == []
    with spool.begin() as kept:
        assert isinstance(asyncio.run(kept.keep(pieces(4), 50 * MIB, "the file")), Path)
