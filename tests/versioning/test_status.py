"""Status: what has changed on the disk since it was added or checked out, whatever the times say."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import NotFound
from mlwright.storage import Places, Source, scan, store_tree
from mlwright.versioning import Datasets
from mlwright.versioning.status import PlaceStatus
from mlwright.workspace import Workspace
from tests.conftest import mlwright


@pytest.fixture
def scans(datasets: Datasets, tmp_path: Path) -> Path:
    """A folder of three files that was added."""
    folder = tmp_path / "scans"
    (folder / "b").mkdir(parents=True)
    for name in ("a.txt", "b/c.txt", "d.txt"):
        (folder / name).write_text(f"bytes of {name}")
    datasets.add(folder, "scans")
    return folder


def only(datasets: Datasets, *names: str) -> PlaceStatus:
    (found,) = datasets.status(names)
    return found


def test_nothing_has_changed(datasets: Datasets, scans: Path) -> None:
    """Right after adding, and after a file was touched whose bytes are the same."""
    at_once = only(datasets)
    (scans / "a.txt").touch()
    os.utime(scans / "d.txt", (0, 0))

    touched = only(datasets)

    assert at_once == touched == PlaceStatus("scans@1", str(scans))
    assert (touched.clean, touched.summary) == (True, "unchanged")


def test_added_removed_and_changed_files_are_named(datasets: Datasets, scans: Path) -> None:
    """Each by its path, and counted in the summary."""
    (scans / "new.txt").write_text("new")
    (scans / "d.txt").unlink()
    (scans / "b" / "c.txt").write_text("longer than it was before")
    (scans / "a.txt").chmod(0o755)

    found = only(datasets)

    assert (found.added, found.removed) == (("new.txt",), ("d.txt",))
    assert set(found.changed) == {"a.txt", "b/c.txt"}
    assert found.summary == "1 added, 1 removed, 2 changed"


def test_a_change_of_the_same_size_with_its_time_set_back_is_seen(datasets: Datasets, scans: Path) -> None:
    """What a program does that wants to hide it: the time of change still tells."""
    file = scans / "a.txt"
    before = file.stat()
    file.write_text("BYTES OF a.txt")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    found = only(datasets)

    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert found.changed == ("a.txt",)


def test_a_write_right_after_adding_is_seen(datasets: Datasets, tmp_path: Path) -> None:
    """Written, added and written again as fast as can be, within one tick of the file system's clock."""
    file = tmp_path / "fast.txt"

    for number in range(30):
        file.write_text(f"{number:04} before")
        datasets.add(file, "fast")
        file.write_text(f"{number:04} behind")

        assert only(datasets).changed == ("fast.txt",)


def test_a_write_right_after_the_reading_is_seen(workspace: Workspace, tmp_path: Path) -> None:
    """A file is written, read, and written again at once: it does not look as it did when it was read."""
    file = tmp_path / "fast.txt"
    seen = []

    def written_again(source: Source, digest: Digest) -> None:
        file.write_text("behind")
        seen.append((source.state, digest))

    for _ in range(30):
        file.write_text("before")
        store_tree(workspace.objects.packs, scan(file), learn=written_again)

        state, digest = seen.pop()
        assert digest == digest_of(b"before")
        assert scan(file)[0].state != state


def test_what_is_gone_is_missing_and_what_is_emptied_is_removed(datasets: Datasets, scans: Path) -> None:
    """A place that is not there any more is said so; of an empty folder every file is removed."""
    for path in [path for path in scans.rglob("*") if path.is_file()]:
        path.unlink()
    emptied = only(datasets)
    shutil.rmtree(scans)

    gone = only(datasets)

    assert set(emptied.removed) == {"a.txt", "b/c.txt", "d.txt"}
    assert not emptied.missing
    assert gone.missing
    assert gone.summary == "is not there any more"


def test_a_version_that_is_gone_stands_nowhere(datasets: Datasets, scans: Path, workspace: Workspace) -> None:
    """Of a place whose version was removed there is nothing to say."""
    with workspace.database.transaction() as tx:
        tx.execute("DELETE FROM version")

    assert datasets.status() == []


def test_several_datasets_and_places_are_told_each(datasets: Datasets, scans: Path, tmp_path: Path) -> None:
    """All of them, or those that are named, by name or by any reference."""
    other = tmp_path / "other.txt"
    other.write_text("other")
    datasets.add(other, "other")
    datasets.checkout("scans@1", tmp_path / "copy")
    (tmp_path / "copy" / "a.txt").write_text("edited")

    everything = {(each.reference, each.where, each.clean) for each in datasets.status()}

    assert everything == {
        ("scans@1", str(scans), True),
        ("scans@1", str(tmp_path / "copy"), False),
        ("other@1", str(other), True),
    }
    assert only(datasets, "other").reference == "other@1"
    assert {each.reference for each in datasets.status(["scans@latest"])} == {"scans@1"}


def test_who_is_unknown_or_elsewhere_is_not_found(
    datasets: Datasets, scans: Path, workspace: Workspace
) -> None:
    """A name that no dataset has, and one that stands nowhere on this machine: each with a hint."""
    with pytest.raises(NotFound, match="there is no dataset `scan`") as unknown:
        datasets.status(["scan"])
    shutil.rmtree(workspace.local / "places")
    with pytest.raises(NotFound, match="neither added nor checked out") as elsewhere:
        datasets.status(["scans"])

    assert "scans" in str(unknown.value.hint)
    assert elsewhere.value.hint == "write it out: mlwright datasets checkout scans"
    assert elsewhere.value.exit_code == 3


@pytest.mark.parametrize("damage", [b"", b"\xff\x00 nothing that is known", b"\x95\x01\x02\x03\x04\x05"])
def test_a_damaged_memory_is_only_forgotten(
    datasets: Datasets, scans: Path, workspace: Workspace, damage: bytes
) -> None:
    """Adding the same files again remembers them anew, and makes no version."""
    for file in (workspace.local / "places").iterdir():
        file.write_bytes(damage)

    forgotten = datasets.status()
    version, new = datasets.add(scans, "scans")

    assert forgotten == []
    assert (version.reference, new) == ("scans@1", False)
    assert only(datasets).clean


def test_the_memory_of_a_place_waits_until_changes_can_be_told(tmp_path: Path) -> None:
    """When it is remembered, the next write to any of the files looks different."""
    file = tmp_path / "file"
    places = Places(tmp_path / "places")

    for number in range(30):
        file.write_text(f"{number:04}")
        sources = scan(file)
        places.remember(file, [(source, source.path) for source in sources])  # type: ignore[misc]
        file.write_text(f"{number + 5000}")
        place = places.of(file)

        assert place is not None
        assert place.digests(scan(file)) == {}


def test_the_door_says_it_to_people_and_machines(root: Path, tmp_path: Path) -> None:
    """`datasets status` names each change, `--json` gives the same, and nothing is said of nothing."""
    nothing = mlwright("datasets", "status", cwd=root)
    file = tmp_path / "notes.txt"
    file.write_text("notes")
    mlwright("datasets", "add", str(file), "--name", "notes", cwd=root)
    file.write_text("other notes")

    told = mlwright("datasets", "status", cwd=root)
    data = json.loads(mlwright("datasets", "status", "--json", cwd=root).stdout)

    assert "no dataset was added or checked out" in nothing.stdout
    assert f"notes@1  {file}  1 changed" in told.stdout
    assert "changed" in told.stdout
    assert (data[0]["reference"], data[0]["changed"]) == ("notes@1", ["notes.txt"])
