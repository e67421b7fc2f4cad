"""A disk with no room left: said in one message, nothing half-written, and it works again with room."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mlwright.kernel.errors import Unavailable
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import LocalObjects
from tests.conftest import PYPROJECT, mlwright
from tests.exams.objects import digests_in

MIB = 1 << 20


@pytest.fixture
def small(disk: Path) -> LocalObjects:
    """A store on that disk, whose memory of what was verified lies there too."""
    return LocalObjects(disk / "objects", disk / "verified")


@pytest.mark.parametrize("form", ["bytes", "file", "take"])
def test_a_full_disk_is_said_and_keeps_nothing_half(small: LocalObjects, tmp_path: Path, form: str) -> None:
    """The message says how much is free and how much is needed; with room the same put works."""
    kept = small.put(b"k" * MIB).digest
    ballast = small.root.parent / "ballast"
    ballast.write_bytes(b"b" * 9 * MIB)
    source = tmp_path / "source"
    source.write_bytes(b"n" * 10 * MIB)

    with pytest.raises(Unavailable) as raised:
        small.put(source.read_bytes() if form == "bytes" else source, take=form == "take")

    told = re.fullmatch(
        r"the disk is full: (\d+\.\d) MiB are free, (\d+\.\d) MiB are needed", raised.value.message
    )
    assert told, raised.value.message
    assert 5.5 <= float(told[1]) <= 6.1
    assert float(told[2]) == 10.0
    assert raised.value.hint
    assert raised.value.exit_code == 6
    assert digests_in(small) == [kept]
    assert list((small.root / "incoming").iterdir()) == []
    assert source.stat().st_size == 10 * MIB

    ballast.unlink()

    assert small.put(source).size_bytes == 10 * MIB
    assert small.get(kept) == b"k" * MIB


def test_a_store_on_a_full_disk_is_read(small: LocalObjects, disk: Path) -> None:
    """Not a byte free: objects are still read and verified, by path too."""
    digest = small.put(b"k" * MIB).digest
    with pytest.raises(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"b" * 4096)

    opened_later = LocalObjects(small.root, disk / "another" / "verified")

    assert opened_later.path(digest).read_bytes() == opened_later.get(digest) == b"k" * MIB


def test_a_database_on_a_full_disk_says_so_and_stays_whole(disk: Path) -> None:
    """A transaction that finds no room raises the same message, and nothing of it is visible."""
    database = SqliteDatabase(disk / "metadata.db")
    with database.transaction() as tx:
        tx.execute("CREATE TABLE kept (data BLOB) STRICT")
        tx.execute("INSERT INTO kept VALUES (:data)", data=b"k")
    ballast = disk / "ballast"
    ballast.write_bytes(b"b" * 14 * MIB)

    full = pytest.raises(Unavailable, match=r"the disk is full: .* MiB are free")
    with full, database.transaction() as tx:
        for _ in range(40):
            tx.execute("INSERT INTO kept VALUES (:data)", data=b"n" * 100_000)

    assert database.read("SELECT COUNT(*) AS rows FROM kept") == [{"rows": 1}]
    ballast.unlink()
    with database.transaction() as tx:
        tx.execute("INSERT INTO kept VALUES (:data)", data=b"n" * 100_000)
    assert database.read("SELECT COUNT(*) AS rows FROM kept") == [{"rows": 2}]
    database.close()


@pytest.mark.parametrize("what", ["small files", "one large file", "files between"])
def test_a_dataset_that_does_not_fit_is_said_and_leaves_nothing(
    disk: Path, tmp_path: Path, what: str
) -> None:
    """The command tells how much is needed and how much is free; no version appears; with room it works."""
    project, data = disk / "project", tmp_path / "data"
    project.mkdir()
    (project / "pyproject.toml").write_text(PYPROJECT)
    data.mkdir()
    sizes = {"small files": [50_000] * 300, "one large file": [65 * MIB], "files between": [5 * MIB] * 3}
    for number, size in enumerate(sizes[what]):
        (data / str(number)).write_bytes(os.urandom(size))
    # The workspace is made first, and something is in the way afterwards.
    assert mlwright("datasets", "list", cwd=project).returncode == 0
    (disk / "ballast").write_bytes(b"b" * 4 * MIB)

    failed = mlwright("datasets", "add", str(data), "--name", "data", cwd=project)

    assert failed.returncode == 6, failed.stderr
    assert re.search(r"the disk is full: \d+\.\d MiB are free, \d+\.\d MiB are needed", failed.stderr)
    assert "hint: free some space" in failed.stderr
    assert "none" in mlwright("datasets", "list", cwd=project).stdout
    assert list((project / ".mlwright/objects/incoming").iterdir()) == []
    assert mlwright("workspace", "verify", cwd=project).returncode == 0

    for each in list(data.iterdir())[1:] if what != "one large file" else []:
        each.unlink()
    if what == "one large file":
        (data / "0").write_bytes(os.urandom(8 * MIB))
    (disk / "ballast").unlink()
    assert mlwright("datasets", "add", str(data), "--name", "data", cwd=project).returncode == 0
    assert mlwright("datasets", "verify", "data", cwd=project).returncode == 0
