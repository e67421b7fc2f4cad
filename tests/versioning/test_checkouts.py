"""Checkouts: a version's files stand at a place; nothing that somebody edited is lost, nothing half stays."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
from pathlib import Path

import pytest

from mlwright.kernel.errors import Conflict, Corrupt, Invalid, NotFound, Unavailable
from mlwright.storage import checkout as writer
from mlwright.versioning import Datasets
from mlwright.workspace import Workspace
from tests.conftest import mlwright
from tests.processes import start_python, until

MIB = 1 << 20
ONE = {"a.txt": "one", "b/c.txt": "two", "b/empty": "", "gone.txt": "only in the first"}
TWO = {"a.txt": "other", "b/c.txt": "two", "b/empty": "", "new/d.txt": "only in the second"}

Contents = dict[str, str]


def fill(folder: Path, files: Contents) -> Path:
    """Make a folder hold these files and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def read(folder: Path) -> Contents:
    """All files of a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def left_beside(place: Path) -> list[str]:
    """What an interrupted checkout left."""
    return [path.name for path in place.parent.iterdir() if ".part-" in path.name]


@pytest.fixture
def scans(datasets: Datasets, tmp_path: Path) -> Path:
    """A folder that was added in two versions, of which the second stands there."""
    folder = tmp_path / "scans"
    datasets.add(fill(folder, ONE), "scans")
    datasets.add(fill(folder, TWO), "scans")
    return folder


def test_a_fresh_folder_holds_the_version(datasets: Datasets, scans: Path, tmp_path: Path) -> None:
    """Where nothing is, or an empty folder, all files are written; a second checkout keeps all."""
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    for place in (tmp_path / "new" / "deep", tmp_path / "empty"):
        planned = datasets.plan_checkout("scans@1", place)
        done = datasets.checkout("scans@1", place)

        assert planned.plan == done.plan
        assert [change.action for change in done.plan.changes] == ["write"]
        assert read(place) == ONE
        assert left_beside(place) == []
        assert datasets.plan_checkout("scans@1", place).plan.empty
    assert read(scans) == TWO


def test_a_file_goes_to_a_file_or_into_a_folder(
    datasets: Datasets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version of one file: a new name is the file's, a folder that is there or meant takes it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text("table")
    datasets.add(tmp_path / "t.txt", "table")
    (tmp_path / "there").mkdir()

    for dest in ("named.txt", "there", "meant/"):
        datasets.checkout("table", dest)

    files = {"named.txt", "there/t.txt", "meant/t.txt"}
    assert all((tmp_path / name).read_text() == "table" for name in files)


def test_a_place_goes_from_version_to_version_and_back(datasets: Datasets, scans: Path) -> None:
    """Only what differs is written, what the version has not is removed, and extra files are left alone."""
    (scans / "extra.txt").write_text("mine")

    back = datasets.checkout("scans@1", scans)
    first = read(scans)
    forth = datasets.checkout("scans@2", scans)

    assert {entry.path for entry in back.write} == {"a.txt", "gone.txt"}
    assert (back.remove, set(back.keep)) == (("new/d.txt",), {"b/c.txt", "b/empty"})
    assert first == ONE | {"extra.txt": "mine"}
    assert not (scans / "gone.txt").exists()
    assert forth.remove == ("gone.txt",)
    assert read(scans) == TWO | {"extra.txt": "mine"}


def test_a_folder_that_is_empty_then_is_removed(datasets: Datasets, scans: Path) -> None:
    """A folder goes with the last of its files."""
    datasets.checkout("scans@1", scans)

    assert not (scans / "new").exists()


@pytest.mark.parametrize("name", ["a.txt", "new/d.txt"])
def test_an_edited_file_is_not_lost(datasets: Datasets, scans: Path, name: str) -> None:
    """To be written over, or removed: it is named, nothing is changed, and --force does it."""
    (scans / name).write_text("edited")
    before = read(scans)

    with pytest.raises(Conflict) as raised:
        datasets.checkout("scans@1", scans)

    assert raised.value.exit_code == 4
    assert name in raised.value.message
    assert "--force" in str(raised.value.hint)
    assert read(scans) == before
    datasets.checkout("scans@1", scans, force=True)
    assert read(scans) == ONE


def test_files_that_no_version_holds_are_not_lost(datasets: Datasets, tmp_path: Path, scans: Path) -> None:
    """A folder that was never added, with files of the same names: they are taken for edited."""
    place = fill(tmp_path / "foreign", {"a.txt": "mine", "other.txt": "mine"})

    with pytest.raises(Conflict, match=r"a\.txt"):
        datasets.checkout("scans@1", place)

    assert read(place) == {"a.txt": "mine", "other.txt": "mine"}


def test_what_an_interrupted_add_has_read_is_not_taken_for_a_version(
    datasets: Datasets, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edited, then an add that is interrupted before its record: a checkout does not write over the edit."""
    (scans / "a.txt").write_text("edited, and in no version")

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("mlwright.storage.packs.PackedObjects.put", interrupted)
        datasets.add(scans, "scans")

    with pytest.raises(Conflict, match=r"a\.txt"):
        datasets.checkout("scans@1", scans)
    assert (scans / "a.txt").read_text() == "edited, and in no version"


def test_what_stood_in_a_version_that_is_gone_is_not_lost(
    datasets: Datasets, scans: Path, workspace: Workspace
) -> None:
    """The only copy of a removed version's files is on the disk: it is not written over."""
    with workspace.database.transaction() as tx:
        tx.execute("DELETE FROM version WHERE number = 2")

    with pytest.raises(Conflict, match=r"a\.txt"):
        datasets.checkout("scans@1", scans)

    assert read(scans) == TWO


def test_another_datasets_files_are_left_alone(datasets: Datasets, scans: Path, tmp_path: Path) -> None:
    """What another dataset has at the place is extra: nothing of it is removed."""
    datasets.add(fill(tmp_path / "both", {"x.txt": "x"}), "others")

    datasets.checkout("scans@1", tmp_path / "both")

    assert read(tmp_path / "both") == ONE | {"x.txt": "x"}


def test_a_file_may_become_a_folder_and_a_folder_a_file(datasets: Datasets, tmp_path: Path) -> None:
    """Versions that have a file where the other has a folder follow each other at one place."""
    place = tmp_path / "turning"
    first, second = {"x": "file", "y/z": "in a folder"}, {"x/w": "in a folder", "y": "file"}
    datasets.add(fill(place, first), "turning")
    datasets.add(fill(place, second), "turning")

    datasets.checkout("turning@1", place)
    then = read(place)
    datasets.checkout("turning@2", place)

    assert then == first
    assert read(place) == second


@pytest.mark.parametrize("there", [{"b": "a file"}, {"a.txt/x": "in a folder"}])
@pytest.mark.parametrize("force", [False, True])
def test_what_is_in_the_way_is_named_before_anything_is_changed(
    datasets: Datasets, scans: Path, tmp_path: Path, there: Contents, force: bool
) -> None:
    """An extra file where a folder must be, or a folder with files where a file must be: Conflict."""
    place = fill(tmp_path / "place", there)

    with pytest.raises(Conflict) as raised:
        datasets.checkout("scans@1", place, force=force)

    assert next(iter(there)).partition("/")[0] in raised.value.message
    assert raised.value.hint
    assert read(place) == there
    assert left_beside(place) == []


def test_a_file_is_no_place_for_a_folder(datasets: Datasets, scans: Path, tmp_path: Path) -> None:
    """DEST is a file, the version has several: Conflict, and the file is as it was."""
    (tmp_path / "file").write_text("mine")

    with pytest.raises(Conflict, match="is a file"):
        datasets.checkout("scans@1", tmp_path / "file", force=True)

    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_with_the_name_of_a_file_gives_way(
    datasets: Datasets, scans: Path, tmp_path: Path
) -> None:
    """Nothing is lost by it."""
    place = fill(tmp_path / "place", {"extra": "mine"})
    (place / "a.txt").mkdir()

    datasets.checkout("scans@1", place)

    assert read(place) == ONE | {"extra": "mine"}


def test_the_default_is_where_the_dataset_stands(
    datasets: Datasets, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it was added from; a name where it is nowhere; several places are named."""
    monkeypatch.chdir(_made(tmp_path / "here"))

    datasets.checkout("scans@1")
    at_home = read(scans)
    datasets.checkout("scans@1", "copy")

    assert at_home == ONE
    with pytest.raises(Invalid, match="stands at 2 places") as raised:
        datasets.checkout("scans@1")
    assert "DEST" in str(raised.value.hint)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_where_nothing_is_remembered_the_name_is_the_place(
    datasets: Datasets, scans: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that has never seen the dataset writes it to a folder of its name."""
    shutil.rmtree(workspace.local / "places")
    monkeypatch.chdir(_made(tmp_path / "here"))

    datasets.checkout("scans@1")

    assert read(tmp_path / "here" / "scans") == ONE


def test_a_folder_with_one_file_stays_a_folder(datasets: Datasets, tmp_path: Path) -> None:
    """It was added as a folder, and deleted: the default brings back a folder."""
    datasets.add(fill(tmp_path / "one", {"x.txt": "x"}), "one")
    shutil.rmtree(tmp_path / "one")

    datasets.checkout("one")

    assert read(tmp_path / "one") == {"x.txt": "x"}


@pytest.mark.parametrize("dest", [".", "../inner", "link"])
def test_the_place_may_be_spelt_in_any_way(
    datasets: Datasets, scans: Path, tmp_path: Path, dest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder one is in, a way with dots, a link to a folder: the files come into that folder."""
    inner = fill(tmp_path / "inner", {"extra": "mine"})
    (inner / ".." / "outer").mkdir()
    (tmp_path / "outer" / "link").symlink_to(inner)
    monkeypatch.chdir(tmp_path / "outer" if dest == "link" else inner)

    datasets.checkout("scans@1", dest)

    assert read(inner) == ONE | {"extra": "mine"}
    assert (tmp_path / "outer" / "link").is_symlink()
    assert [each.changed + each.removed for each in datasets.status(["scans"])] == [(), ()]


def test_nothing_is_written_through_a_link_inside(datasets: Datasets, scans: Path, tmp_path: Path) -> None:
    """A folder in DEST that is a link is refused; a file that is one is replaced, not followed."""
    outside = fill(tmp_path / "outside", {"c.txt": "outside"})
    folder_link, file_link = tmp_path / "p", tmp_path / "q"
    folder_link.mkdir()
    (folder_link / "b").symlink_to(outside)
    file_link.mkdir()
    (file_link / "a.txt").symlink_to(outside / "c.txt")

    with pytest.raises(Invalid, match="is a link to a folder"):
        datasets.checkout("scans@1", folder_link, force=True)
    with pytest.raises(Conflict, match=r"a\.txt"):
        datasets.checkout("scans@1", file_link)
    datasets.checkout("scans@1", file_link, force=True)

    assert read(outside) == {"c.txt": "outside"}
    assert not (file_link / "a.txt").is_symlink()
    assert read(file_link) == ONE


def test_names_modes_and_empty_files_come_back(datasets: Datasets, tmp_path: Path) -> None:
    """Line breaks, letters of any language, leading dots and dashes; what may be run still may."""
    files = {
        "new\nline": "1",
        "größe/日本.txt": "2",
        "-dash": "3",
        ".hidden": "4",
        "empty": "",
        "run.sh": "#!",
    }
    folder = fill(tmp_path / "names", files)
    (folder / "run.sh").chmod(0o755)
    datasets.add(folder, "names")

    for link in (False, True):
        place = tmp_path / f"copy-{link}"
        datasets.checkout("names", place, link=link)

        assert read(place) == files
        assert (place / "run.sh").stat().st_mode & 0o100
        assert not (place / "empty").stat().st_mode & 0o100
    assert all(each.clean for each in datasets.status())


def test_links_share_the_stores_file(datasets: Datasets, workspace: Workspace, tmp_path: Path) -> None:
    """With --link a large file is the stored one, read-only; a later checkout never writes into it."""
    folder = fill(tmp_path / "big", {"big": "x" * 100_000, "same": "z" * 100_000})
    first, _ = datasets.add(folder, "big")
    (folder / "big").write_text("y" * 100_000)
    datasets.add(folder, "big")
    stored = workspace.objects.path(datasets.tree(first).entries[0].digest)

    datasets.checkout("big@1", tmp_path / "linked", link=True)

    linked = tmp_path / "linked" / "big"
    assert linked.stat().st_ino == stored.stat().st_ino
    assert linked.stat().st_mode & 0o222 == 0
    datasets.checkout("big@2", tmp_path / "linked")
    assert linked.read_text() == "y" * 100_000
    assert stored.read_text() == "x" * 100_000
    datasets.verify(first)


def test_a_link_across_file_systems_is_said(
    datasets: Datasets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hard link cannot leave its file system: Unavailable, with the way on."""
    datasets.add(fill(tmp_path / "big", {"big": "x" * 100_000}), "big")

    def elsewhere(*arguments: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), "from", None, "to")

    monkeypatch.setattr(Path, "hardlink_to", elsewhere)

    with pytest.raises(Unavailable, match="another file system") as raised:
        datasets.checkout("big", tmp_path / "linked", link=True)

    assert "--link" in str(raised.value.hint)
    assert not (tmp_path / "linked").exists()


def test_damaged_bytes_are_not_written_out(
    datasets: Datasets, scans: Path, workspace: Workspace, tmp_path: Path
) -> None:
    """A pack or an object is damaged: Corrupt, exit 5; the place is as it was, and nothing lies beside."""
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "a.txt").write_text("l" * 100_000)
    version, _ = datasets.add(tmp_path / "large", "large")
    for digest in (datasets.tree(version).entries[0].digest, *_packs(workspace)):
        path = workspace.objects.packs.store.path(digest)
        path.chmod(0o644)
        path.write_bytes(b"x" * path.stat().st_size)
    before = read(scans)

    for reference, place in (
        ("scans@1", scans),
        ("scans@1", tmp_path / "new"),
        ("large", tmp_path / "other"),
    ):
        with pytest.raises(Corrupt) as raised:
            datasets.checkout(reference, place)
        assert raised.value.exit_code == 5
        assert left_beside(place) == []

    assert read(scans) == before
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "other").exists()


def _packs(workspace: Workspace) -> list[str]:
    return [row["pack"] for row in workspace.database.read("SELECT DISTINCT pack FROM packed")]


@pytest.mark.parametrize("into", ["place", "."])
def test_a_full_disk_is_said_and_with_room_the_checkout_goes_on(
    datasets: Datasets, tmp_path: Path, disk: Path, into: str
) -> None:
    """What is needed and what is free; nothing stands at the place; with room a second try continues.

    The disk itself may be the place.
    """
    folder = tmp_path / "big"
    folder.mkdir()
    for number in range(6):
        (folder / str(number)).write_bytes(os.urandom(2 * MIB))
    datasets.add(folder, "big")
    ballast = disk / "ballast"
    ballast.write_bytes(b"b" * 9 * MIB)
    place = disk / into

    with pytest.raises(Unavailable, match=r"\d\.\d MiB are free, 12\.0 MiB are needed") as raised:
        datasets.checkout("big", place)

    assert raised.value.exit_code == 6
    assert [path.name for path in disk.iterdir() if ".part-" not in path.name] == ["ballast"]
    ballast.unlink()
    datasets.checkout("big", place)
    assert {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    assert left_beside(disk / "x") == []


def test_a_folder_without_permission_is_said(root: Path, tmp_path: Path) -> None:
    """Who may not write there is told so in one message, exit 6."""
    folder = fill(tmp_path / "scans", ONE)
    assert mlwright("datasets", "add", str(folder), "--name", "scans", cwd=root).returncode == 0

    done = mlwright("datasets", "checkout", "scans", "/proc/nowhere/scans", cwd=root)

    assert done.returncode == 6, done.stderr
    assert done.stderr.startswith("error: it cannot be written: ")
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr


CHECK_OUT = """
    import sys
    from pathlib import Path
    from mlwright.app import Project

    with Project.open(sys.argv[1]) as project:
        print("ready", flush=True)
        sys.stdin.readline()
        project.datasets.checkout("many", sys.argv[2])
"""


def has_bytes(folder: Path) -> bool:
    """Whether a folder that somebody is filling, or moving away, has a file that is not empty."""
    with contextlib.suppress(FileNotFoundError):
        return any(path.stat().st_size for path in folder.iterdir())
    return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_checkout_leaves_nothing_and_is_continued(
    root: Path, tmp_path: Path, how: signal.Signals
) -> None:
    """Killed in the middle of many files: nothing stands at the place, and a second try writes the rest."""
    from mlwright.app import Project

    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(3000):
        (folder / f"{number:04}").write_bytes(b"%d" % number * 2000)
    place = tmp_path / "out"
    with Project.open(root) as project:
        version, _ = project.datasets.add(folder, "many")
        beside = tmp_path / f".out.part-{version.digest[:12]}"
        process = start_python(CHECK_OUT, root, place)
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        until(lambda: place.exists() or has_bytes(beside))

        process.send_signal(how)
        process.communicate(timeout=60)

        stood = place.exists()
        waiting = beside.iterdir() if beside.exists() else ()
        found = {path.name: path.stat().st_ino for path in waiting if path.stat().st_size}
        done = project.datasets.checkout("many", place)

        if not stood:  # else it was faster than we were
            assert found
            kept = [name for name, inode in found.items() if (place / name).stat().st_ino == inode]
            assert len(kept) >= len(found) - 8  # but those that were half-written
        assert done.version == version
        assert {path.name for path in place.iterdir()} == {f"{number:04}" for number in range(3000)}
        assert all((place / f"{n:04}").read_bytes() == b"%d" % n * 2000 for n in range(3000))
        assert left_beside(place) == []


CHECK_OUT_AND_WAIT = """
    import sys
    from mlwright.app import Project
    from mlwright.kernel.progress import Progress

    class Waiting(Progress):
        def advance(self, done_bytes):
            if self.waits:
                self.waits = False
                print("writing", flush=True)
                sys.stdin.readline()
        waits = True

    with Project.open(sys.argv[1]) as project:
        project.datasets.checkout("scans@1", sys.argv[2], progress=Waiting())
"""


@pytest.mark.parametrize("reference", ["scans@1", "scans@2"])
@pytest.mark.parametrize("spelt", ["out", "link/../out"])
def test_of_two_at_one_place_the_later_is_refused(
    root: Path, tmp_path: Path, datasets: Datasets, scans: Path, reference: str, spelt: str
) -> None:
    """Whatever version it wants: it is told who writes there, and the place is that of the first, whole.

    Another place is free meanwhile. Whoever is killed there is in nobody's way.
    """
    (tmp_path / "link").symlink_to(scans)
    place, other = tmp_path / "out", tmp_path / "other"
    first = start_python(CHECK_OUT_AND_WAIT, root, place)
    assert first.stdout is not None
    assert first.stdout.readline() == "writing\n"

    second = mlwright("datasets", "checkout", reference, str(tmp_path / spelt), cwd=root)
    beside = mlwright("datasets", "checkout", reference, str(other), cwd=root)
    told, _ = first.communicate("go\n", timeout=60)

    assert first.returncode == 0, told
    assert (second.returncode, second.stdout) == (4, "")
    assert f"another checkout writes to {tmp_path / spelt}, by process {first.pid} on " in second.stderr
    assert "hint: wait until it has ended" in second.stderr
    assert read(place) == ONE
    assert beside.returncode == 0, beside.stderr
    assert left_beside(place) == []
    killed = start_python(CHECK_OUT_AND_WAIT, root, tmp_path / "killed")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "writing\n"
    killed.kill()
    killed.communicate(timeout=60)
    assert mlwright("datasets", "checkout", reference, "../killed", cwd=root).returncode == 0
    assert read(tmp_path / "killed") == (ONE if reference == "scans@1" else TWO)


def test_several_processes_write_what_one_would(
    datasets: Datasets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many files are shared between processes: all are written, and each state is that of its file."""
    monkeypatch.setattr(writer, "_MANY", 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    files = {f"{number}/{number}.txt": str(number) * number for number in range(1, 40)}
    datasets.add(fill(tmp_path / "many", files), "many")

    datasets.checkout("many", tmp_path / "out")

    assert read(tmp_path / "out") == files
    assert all(each.clean for each in datasets.status())


def test_what_cannot_be_resolved_is_not_found(datasets: Datasets, scans: Path, tmp_path: Path) -> None:
    """A version or a dataset that is not there: NotFound with what there is; nothing is made."""
    for reference in ("scans@9", "scan"):
        with pytest.raises(NotFound) as raised:
            datasets.checkout(reference, tmp_path / "new")
        assert raised.value.hint

    assert not (tmp_path / "new").exists()


def test_the_door_plans_and_writes(root: Path, tmp_path: Path) -> None:
    """`datasets checkout` shows with --dry-run what it does then, and refuses to write over an edit."""
    folder = fill(tmp_path / "scans", ONE)
    mlwright("datasets", "add", str(folder), "--name", "scans", cwd=root)
    place = tmp_path / "out"

    planned = mlwright("datasets", "checkout", "scans@1", str(place), "--dry-run", cwd=root)
    nothing = place.exists()
    done = mlwright("datasets", "checkout", "scans@1", str(place), cwd=root)
    (place / "a.txt").write_text("edited")
    refused = mlwright("datasets", "checkout", "scans@1", str(place), cwd=root)

    assert (planned.returncode, done.returncode, refused.returncode) == (0, 0, 4), done.stderr
    assert not nothing
    assert "write" in planned.stdout
    assert "a.txt" in refused.stderr
    assert "hint: " in refused.stderr
