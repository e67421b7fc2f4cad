"""Restoring: whole or not at all, into a project without records or a new folder; nothing is overwritten."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from mlwright.app import Project
from mlwright.kernel import leases
from mlwright.kernel.digest import digest_of, digest_of_file
from mlwright.kernel.errors import Conflict, Corrupt, Incompatible, MlwrightError, NotFound, Unavailable
from mlwright.workspace.backup import Manifest, read_manifest
from mlwright.workspace.restore import plan_restore, restore
from tests.conftest import PYPROJECT, mlwright, write
from tests.processes import run_python
from tests.s3 import Place
from tests.workspace.conftest import BIG, flip, rewrite, stored

MIB = 1 << 20


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "fresh" / "project"


def test_a_fresh_folder_becomes_the_project(backup: Path, fresh: Path) -> None:
    """Code, records and bytes are there; it runs, and its history goes on, from records that nobody owns."""
    done = restore(backup, fresh, here=False)

    assert (fresh / "pipelines" / "p.py").exists()
    assert done.files == sum(
        1 for path in fresh.rglob("*") if path.is_file() and ".mlwright" not in path.parts
    )
    assert done.aside is None
    assert {path.name for path in (fresh / ".mlwright").iterdir()} == {
        ".gitignore",
        "local",
        "metadata.db",
        "metadata.db-next",
        "objects",
    }
    with Project.open(fresh) as project:
        assert project.verify().faults == ()
        assert project.run("count").state == "succeeded"
        assert project.reproduce("latest~1").identical
        assert project.models.versions.resolve("lines@champion").number == 1
        assert "workspace.restored" in [event.verb for event in project.events().found]


def test_a_backup_by_an_older_mlwright_is_brought_back(older: Path, fresh: Path) -> None:
    """Records from before packs and pieces: they come to today's schema, and the backup stays as it is."""
    write(fresh, {"pyproject.toml": PYPROJECT})
    made = read_manifest(older)

    done = restore(older, fresh)

    assert done.lacking == ()
    assert digest_of_file(older / made.database) == made.database_digest
    with Project.open(fresh) as project:
        assert project.rooms.objects.get(made.code) == b"bytes" * 1000
        assert project.events().found[-1].verb == "run.started"


def test_a_project_without_records_takes_a_backup(backup: Path, fresh: Path) -> None:
    """A clone of the code, in which some command has made an empty workspace, gets the records."""
    write(fresh, {"pyproject.toml": "[tool.mlwright]\n", "mine.txt": "mine"})
    Project.open(fresh).close()
    empty = (fresh / ".mlwright" / "objects" / "WORKSPACE").read_text()

    done = restore(backup, fresh / ".")

    assert done.files == 0
    assert (fresh / "mine.txt").read_text() == "mine"
    assert done.aside is not None
    assert (done.aside / "objects" / "WORKSPACE").read_text() == empty
    with Project.open(fresh) as project:
        assert project.verify().faults == ()
        assert project.runs.count() == 1


def test_a_project_with_records_is_refused(backup: Path, root: Path, fresh: Path) -> None:
    """The same workspace: only with --force, another one: never; not a byte changes."""
    write(fresh, {"pyproject.toml": "[tool.mlwright]\n", "a.txt": "a"})
    with Project.open(fresh) as project:
        project.datasets.add(fresh / "a.txt", "a")
        identity = project.rooms.workspace.id

    with pytest.raises(Conflict, match="records already") as same:
        restore(backup, root)
    with pytest.raises(Conflict, match="another workspace"):
        restore(backup, fresh, force=True)
    with pytest.raises(Conflict, match="another workspace"):
        plan_restore(backup, fresh, force=True)

    assert "--force" in str(same.value.hint)
    with Project.open(fresh) as project:
        assert project.rooms.workspace.id == identity
        assert project.verify().faults == ()


def test_force_moves_the_old_records_aside(backup: Path, root: Path) -> None:
    """What is newer than the backup is gone from the workspace, and lies beside it; environments stay."""
    write(root, {"later.txt": "later"})
    with Project.open(root) as project:
        project.datasets.add(root / "later.txt", "later")
    environments = sorted((root / ".mlwright" / "local" / "environments").iterdir())

    done = restore(backup, root, force=True)

    assert done.aside is not None
    assert done.aside.parent == root / ".mlwright"
    assert sorted((root / ".mlwright" / "local" / "environments").iterdir()) == environments
    with Project.open(root) as project:
        assert [version.name for version in project.datasets.versions.newest()] == ["patients", "pictures"]
        assert project.verify().faults == ()
    write(root.parent / "old", {"pyproject.toml": "[tool.mlwright]\n"})
    old = done.aside.rename(root.parent / "old" / ".mlwright")
    with Project.open(old.parent) as project:
        assert "later" in [version.name for version in project.datasets.versions.newest()]
        assert project.verify().faults == ()


@pytest.fixture
def far(s3: Place, tmp_path: Path) -> Path:
    """A project whose objects are in a bucket, with a dataset."""
    settings = f'{PYPROJECT}objects = "{s3.url}"\n'
    root = write(tmp_path / "far", {"pyproject.toml": settings, "a.txt": "a", "b.txt": "b" * 100_000})
    with Project.open(root) as project:
        project.datasets.add(root / "b.txt", "b")
    return root


def keys(s3: Place) -> list[str]:
    """What lies in the bucket."""
    return sorted(seen.key for seen in s3.bucket().keys("objects/"))


def test_what_came_from_a_bucket_goes_on_in_the_folder(far: Path, s3: Place, fresh: Path) -> None:
    """The project still names the bucket: the restored one opens, is whole, and leaves the bucket alone."""
    backup = far.parent / "backup"
    assert mlwright("workspace", "backup", str(backup), cwd=far).returncode == 0
    before = keys(s3)

    done = mlwright("workspace", "restore", str(backup), str(fresh), cwd=far.parent)
    added = mlwright("datasets", "add", "a.txt", "--name", "a", cwd=fresh)

    assert done.returncode == 0, done.stderr
    assert f"the objects are in this folder, and stay there; {s3.url} is as it was" in done.stdout
    assert "hint: to go on with a bucket" in done.stdout
    assert added.returncode == 0, added.stderr
    assert keys(s3) == before
    with Project.open(fresh) as project:
        assert project.rooms.workspace.objects_at == str(fresh / ".mlwright" / "objects")
        assert project.verify().faults == ()
        assert project.dataset("b@1").path().read_text() == "b" * 100_000
    with Project.open(far) as project:
        assert project.verify().faults == ()
        assert project.rooms.workspace.objects_at == str(s3.address)


def test_a_project_with_a_bucket_takes_its_own_backup(far: Path, s3: Place) -> None:
    """Its records are known as its own without a folder of objects; the plan says where objects will be."""
    backup = far.parent / "backup"
    with Project.open(far) as project:
        project.backup(backup)
        project.datasets.add(far / "a.txt", "later")
    before = keys(s3)

    with pytest.raises(Conflict, match="records already, of the same workspace"):
        restore(backup, far)
    planned = plan_restore(backup, far, force=True)
    done = restore(backup, far, force=True)

    assert any(f"into the folder and not into {s3.url}" in change.why for change in planned.changes)
    assert done.bucket == s3.url
    assert keys(s3) == before
    with Project.open(far) as project:
        assert [version.name for version in project.datasets.versions.newest()] == ["b"]
        assert project.verify().faults == ()
        assert project.rooms.workspace.objects_at == str(far / ".mlwright" / "objects")


def test_code_that_is_not_whole_is_said(backup: Path, fresh: Path) -> None:
    """A fresh folder needs the project's files: where they are damaged, it says where to get them."""
    a_flipped_pack(backup)

    with pytest.raises(Corrupt, match="the project's files are not whole") as refused:
        restore(backup, fresh, here=False, partial=True)
    write(fresh, {"pyproject.toml": "[tool.mlwright]\n"})
    done = restore(backup, fresh, partial=True)

    assert "Git" in str(refused.value.hint)
    assert len(done.lacking) == 1


def test_nobody_is_run_over(backup: Path, root: Path) -> None:
    """While somebody owns something in the workspace it is not replaced, whatever is forced."""
    with (
        Project.open(root) as project,
        leases.held(project.rooms.database, "run 01JD8", "a run goes on"),
        pytest.raises(Conflict, match="run 01JD8 goes on"),
    ):
        restore(backup, root, force=True)


def test_a_folder_with_other_files_is_refused(backup: Path, fresh: Path, root: Path) -> None:
    """Neither a project nor empty: nothing is written; a named folder is not taken for the project above."""
    write(fresh, {"letter.txt": "dear"})

    with pytest.raises(Conflict, match="no project and not empty"):
        restore(backup, fresh)
    with pytest.raises(Conflict, match="no project and not empty"):
        restore(backup, root / "pipelines", here=False)

    assert [path.name for path in fresh.iterdir()] == ["letter.txt"]


def no_manifest(backup: Path) -> None:
    (backup / "backup.json").unlink()


def no_folder(backup: Path) -> None:
    shutil.rmtree(backup)


def another_folder(backup: Path) -> None:
    shutil.rmtree(backup)
    write(backup, {"letter.txt": "dear"})


def half_a_manifest(backup: Path) -> None:
    (backup / "backup.json").write_text('{"workspace": ')


def a_way_out(backup: Path) -> None:
    shutil.copy(backup / read_manifest(backup).database, backup.parent / "outside.db")
    change(backup, database="../outside.db")


def change(backup: Path, **fields: object) -> None:
    """Write other fields into a manifest."""
    manifest = json.loads((backup / "backup.json").read_text())
    (backup / "backup.json").write_text(json.dumps(manifest | fields))


def newer(backup: Path) -> None:
    change(backup, schema=9999)


def another_format(backup: Path) -> None:
    change(backup, format=2)


def foreign_objects(backup: Path) -> None:
    (backup / "objects" / "WORKSPACE").write_text("01OTHER\n")


def truncated_records(backup: Path) -> None:
    path = backup / read_manifest(backup).database
    path.write_bytes(path.read_bytes()[:-4096])


def flipped_records(backup: Path) -> None:
    flip(backup / read_manifest(backup).database)


def no_records(backup: Path) -> None:
    (backup / read_manifest(backup).database).unlink()


def a_flipped_object(backup: Path) -> None:
    flip(stored(backup, BIG))


def a_missing_object(backup: Path) -> None:
    stored(backup, BIG).unlink()


def a_flipped_pack(backup: Path) -> None:
    """The one with the project's code."""
    connection = apsw.Connection(str(backup / read_manifest(backup).database))
    code = digest_of((backup.parent / "code.py").read_bytes())
    ((pack,),) = connection.execute("SELECT pack FROM packed WHERE digest = ?", (code,)).fetchall()
    connection.close()
    flip(backup / "objects" / pack[:2] / pack[2:])


def an_empty_object(backup: Path) -> None:
    rewrite(stored(backup, BIG), b"")


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (no_folder, NotFound, "there is no backup"),
        (another_folder, NotFound, "there is no backup"),
        (no_manifest, Corrupt, "not complete"),
        (half_a_manifest, Corrupt, "is damaged"),
        (a_way_out, Corrupt, "it names the file"),
        (newer, Incompatible, "a newer mlwright"),
        (another_format, Incompatible, "a newer mlwright"),
        (foreign_objects, Corrupt, "another workspace than its records"),
        (truncated_records, Corrupt, "records of the backup are damaged"),
        (flipped_records, Corrupt, "records of the backup are damaged"),
        (no_records, Corrupt, "records of the backup are not there"),
        (a_flipped_object, Corrupt, f"1 object of it is missing or not whole, as b3:{digest_of(BIG)[:12]}"),
        (a_flipped_pack, Corrupt, "1 object of it is missing or not whole"),
        (a_missing_object, Corrupt, "1 object of it is missing or not whole"),
        (an_empty_object, Corrupt, "1 object of it is missing or not whole"),
    ],
)
def test_what_cannot_be_restored_is_named_and_leaves_nothing(
    backup: Path, fresh: Path, spoil: Callable[[Path], None], error: type[MlwrightError], told: str
) -> None:
    """No backup, an unfinished one, one of the future, any damage: one message, and no file is left."""
    spoil(backup)

    with pytest.raises(error, match=told) as refused:
        restore(backup, fresh, here=False)

    assert refused.value.hint or refused.value.where
    assert not fresh.exists()


def test_what_is_whole_of_a_damaged_backup_is_brought_back_when_asked(backup: Path, fresh: Path) -> None:
    """`--partial` restores the rest, tells how much it lacks, and verifying names what that is."""
    a_flipped_object(backup)

    done = mlwright("workspace", "restore", str(backup), str(fresh), "--partial", cwd=backup)
    verified = mlwright("workspace", "verify", cwd=fresh)

    assert done.returncode == 0, done.stderr
    assert "1 object could not be brought back" in done.stdout
    assert verified.returncode == 5
    assert "dataset pictures@1, big.bin" in verified.stdout
    assert "1 fault found" in verified.stdout


RESTORE_AND_DIE = """
    import os, signal, sys
    from pathlib import Path
    from mlwright.workspace.restore import restore

    source, folder, point = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    passed = []

    def deadly(name):
        real = getattr(os, name)
        def call(*arguments, **options):
            if len(passed) == point:
                os.kill(os.getpid(), signal.SIGKILL)
            passed.append(name)
            return real(*arguments, **options)
        setattr(os, name, call)

    for name in ("mkdir", "fsync", "replace", "rename"):
        deadly(name)
    restore(source, folder)
    print(*passed)
"""


def test_a_killed_restore_is_gone_on_with(backup: Path, tmp_path: Path) -> None:
    """`kill -9` before a rename or flush: there are no records, or all; the same command finishes it."""

    def begin(folder: Path, point: int) -> int:
        write(folder, {"pyproject.toml": "[tool.mlwright]\n"})
        done = run_python(RESTORE_AND_DIE, backup, folder, point)
        calls.append(done.stdout.split())
        return done.returncode

    calls: list[list[str]] = []
    assert begin(tmp_path / "whole", -1) == 0
    assert {"fsync", "replace", "rename"} <= set(calls[0])
    for point in sorted({*range(0, len(calls[0]), 11), *range(len(calls[0]) - 3, len(calls[0]))}):
        folder = tmp_path / f"killed-{point}"
        assert begin(folder, point) == -signal.SIGKILL
        assert not (folder / ".mlwright" / "metadata.db").exists()

        restore(backup, folder)

        assert {path.name for path in folder.iterdir()} == {"pyproject.toml", ".mlwright"}
        with Project.open(folder) as project:
            assert project.verify().faults == ()


def test_a_full_disk_leaves_room_and_the_same_command_works_later(backup: Path, disk: Path) -> None:
    """What does not fit is refused with what is free; nothing half is kept."""
    ballast = disk / "ballast"
    ballast.write_bytes(b"b" * (16 * MIB - 200_000))
    free = shutil.disk_usage(disk).free

    with pytest.raises(Unavailable, match="the disk is full"):
        restore(backup, disk / "project", here=False)

    assert shutil.disk_usage(disk).free == free
    ballast.unlink()
    restore(backup, disk / "project", here=False)
    with Project.open(disk / "project") as project:
        assert project.verify().faults == ()


def test_the_door_plans_tells_and_refuses(backup: Path, fresh: Path) -> None:
    """`--dry-run` writes nothing; then it is done and said; again it is a conflict with a hint."""
    manifest: Manifest = read_manifest(backup)

    planned = mlwright("workspace", "restore", str(backup), str(fresh), "--dry-run", cwd=backup)
    there = fresh.exists()
    done = mlwright("workspace", "restore", str(backup), str(fresh), cwd=backup)
    again = mlwright("workspace", "restore", str(backup), cwd=fresh)
    forced = mlwright("workspace", "restore", str(backup), "--force", "--json", cwd=fresh)

    assert (planned.returncode, there) == (0, False)
    assert f"write  {manifest.objects} objects" in planned.stdout
    assert "the project's files" in planned.stdout
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"restored into {fresh}: the records and {manifest.objects} objects")
    assert (again.returncode, again.stdout) == (4, "")
    assert "hint: with --force they are moved aside" in again.stderr
    assert json.loads(forced.stdout)["aside"].startswith(str(fresh / ".mlwright" / "before-restore-"))
