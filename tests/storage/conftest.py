"""Stores on a disk, and ways to damage what lies in them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.digest import Digest
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import InlineObjects, LocalObjects, MemoryObjects, Objects, PackedObjects
from tests.processes import until
from tests.s3 import s3, s3_server

__all__ = ["s3", "s3_server"]


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
    known = memory.read_bytes()
    for then, now in [(str(then_ns).encode(), str(now_ns).encode()), (_packed(then_ns), _packed(now_ns))]:
        missing = missing or then in known
        known = known.replace(then, now)
    assert missing, "the time is not remembered"
    memory.write_bytes(known)


def _packed(number: int) -> bytes:
    """As MessagePack writes it."""
    return b"\xcf" + number.to_bytes(8)


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
