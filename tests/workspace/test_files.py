"""Files that clients stored are verified, backed up, and, when they were deleted, collected."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.digest import digest_of
from mlwright.sdk.ranges import blocks_of
from mlwright.tracking.files import Files
from mlwright.workspace.restore import restore
from tests.storage.conftest import two_days_old
from tests.versioning.conftest import store_files
from tests.workspace.conftest import flip


@pytest.fixture
def stored(project: Project) -> dict[str, bytes]:
    """A small and a large file that a client stored, by their places."""
    return store_files(project)


def got(project: Project, place: str) -> bytes:
    """The bytes of a file."""
    rooms = project.rooms
    files = Files(rooms.objects)
    data = files.data(files.get(rooms.database, place).digest)
    return data if isinstance(data, bytes) else b"".join(blocks_of(data))


def large_file(root: Path, stored: dict[str, bytes]) -> Path:
    """Where the bytes of the large one lie."""
    digest = digest_of(max(stored.values(), key=len))
    return root / ".mlwright" / "objects" / digest[:2] / digest[2:]


def test_a_damaged_file_is_named(project: Project, root: Path, stored: dict[str, bytes]) -> None:
    """By its place, with what helps; before, there was no fault."""
    before = project.verify().faults
    flip(large_file(root, stored))

    (fault,) = project.verify().faults

    assert before == ()
    (place,) = [place for place, data in stored.items() if len(data) > 4096]
    assert f"file {place}" in str(fault)
    assert "store the file at the same place again" in str(fault)


def test_an_edge_of_a_file_that_is_not_there_is_found(project: Project, stored: dict[str, bytes]) -> None:
    """As if a row had been lost."""
    with project.rooms.database.transaction() as tx:
        tx.execute("DELETE FROM file WHERE size_bytes = 5")

    (fault,) = project.verify().faults

    assert fault.kind == "edge"
    assert "note.txt" in str(fault)


def test_files_are_in_a_backup(project: Project, stored: dict[str, bytes], tmp_path: Path) -> None:
    """Restored elsewhere they have the same bytes."""
    project.backup(tmp_path / "backup")

    restore(tmp_path / "backup", tmp_path / "other", here=False)

    with Project.open(tmp_path / "other") as restored:
        assert {place: got(restored, place) for place in stored} == stored
        assert restored.verify().faults == ()


def test_what_is_named_stays_and_what_was_deleted_goes(
    project: Project, root: Path, stored: dict[str, bytes]
) -> None:
    """A day later, both: the row of the small one and the object of the large one."""
    file, rooms = large_file(root, stored), project.rooms
    small = digest_of(min(stored.values(), key=len))
    two_days_old(file)
    kept = project.collect()
    whole = {place: got(project, place) for place in stored}
    with rooms.database.transaction() as tx:
        folder = next(iter(stored)).rpartition("/")[0]
        deleted = Files(rooms.objects).delete(tx, folder)
    two_days_old(file)

    gone = project.collect()

    assert kept.kept["files that clients stored"] == 2
    assert whole == stored
    assert deleted == 2
    assert not file.exists()
    assert rooms.objects.inline(small) is None
    assert digest_of(max(stored.values(), key=len)) in {held.digest for held in gone.sweep.dead}
    assert project.verify().faults == ()
