"""Stores on a disk, and ways to damage what lies in them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.digest import Digest
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import InlineObjects, LocalObjects, MemoryObjects, Objects, PackedObjects, Place
from tests.processes import until


def file_of(objects: LocalObjects, digest: Digest) -> Path:
    """The file that holds an object."""
    return objects.root / digest[:2] / digest[2:]


def overwrite(path: Path, data: bytes) -> None:
    """Write into a file in place, and wait until the clock of the file system says so.

    A write in the same tick of that clock (some milliseconds) as the last one cannot be told from none.
    """
    before = path.stat().st_ctime_ns
    path.chmod(0o644)

    def written() -> bool:
        path.write_bytes(data)
        return path.stat().st_ctime_ns != before

    until(written)
    path.chmod(0o444)


def two_days_old(path: Path) -> None:
    """Make a file seem older than it is."""
    then_s = time.time() - 2 * 86_400
    os.utime(path, (then_s, then_s))


def over(objects: Objects, database: Database | None = None) -> InlineObjects:
    """Every layer of a workspace's store over `objects`."""
    if database is None:
        database = SqliteDatabase(":memory:")
        database.migrate(all_migrations())
    return InlineObjects(PackedObjects(objects, database, MemoryObjects()), database)


def bring_forward(memory: Path, then_ns: int, now_ns: int, *, missing: bool = False) -> None:
    """Let what this machine remembers of files hold a later time of change for an earlier one."""
    if memory.suffix == ".place":
        place = msgspec.msgpack.decode(memory.read_bytes(), type=Place)
        times = {then_ns: now_ns}
        lines = tuple(
            replace(line, state=(*line.state[:3], times.get(line.state[3], line.state[3])))
            for line in place.lines
        )
        assert missing or lines != place.lines, "the time is not remembered"
        memory.write_bytes(msgspec.msgpack.encode(replace(place, lines=lines)))
    else:
        assert str(then_ns) in memory.read_text()
        memory.write_text(memory.read_text().replace(str(then_ns), str(now_ns)))


@pytest.fixture
def database() -> Iterator[SqliteDatabase]:
    """An empty database at the newest schema."""
    opened = SqliteDatabase(":memory:")
    opened.migrate(all_migrations())
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path) -> LocalObjects:
    """An empty store in a folder."""
    return LocalObjects(tmp_path / "objects", tmp_path / "local" / "verified")
