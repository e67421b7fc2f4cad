"""Backing up: all that the records name, while runs go on; an earlier backup stays valid."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel import leases
from mlwright.kernel.clock import boot_id
from mlwright.kernel.digest import Digest, digest_of, digest_of_file
from mlwright.kernel.errors import Conflict, Corrupt, Invalid, MlwrightError, Unavailable
from mlwright.kernel.plan import Change
from mlwright.storage.named import COLLECT
from mlwright.workspace.backup import plan_backup, read_manifest
from mlwright.workspace.restore import Restored, restore
from tests.conftest import COMMAND, mlwright, write
from tests.processes import run_python, until
from tests.workspace.conftest import BIG, flip

FileOf = Callable[[Digest], Path]
MIB = 1 << 20
SOAK = os.environ.get("MLWRIGHT_SOAK") == "1"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where backups go: not there yet."""
    return tmp_path / "elsewhere" / "backup"


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its inode and time of change: what is copied again has others."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_ctime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def brought_back(target: Path, into: Path) -> Restored:
    """Restore into a fresh folder, where everything must verify."""
    done = restore(target, into, here=False)
    with Project.open(into) as project:
        assert project.verify().faults == ()
    return done


def test_a_backup_has_all_that_the_records_name_and_says_so(project: Project, target: Path) -> None:
    """Each object, no garbage, the code as it is now; manifest and event tell of it."""
    garbage = project.rooms.objects.put(b"put and never recorded").digest
    (project.root / "pipelines" / "later.py").write_text("LATER = 1\n")

    made, left_out = project.backup(target)

    stored = {path.parent.name + path.name for path in (target / "objects").glob("??/*")}
    here = {held.digest for held in project.rooms.objects.packs.store}
    later = project.rooms.objects.packs.find(digest_of(b"LATER = 1\n"))
    assert made == read_manifest(target)
    assert here - stored == {garbage}
    assert stored <= here
    assert later is not None
    assert later.pack in stored
    assert (made.objects, made.lacking, left_out) == (len(stored), (), ())
    assert made.object_bytes == sum(path.stat().st_size for path in (target / "objects").glob("??/*"))
    assert made.database_digest == digest_of_file(target / made.database)
    assert (made.workspace, made.project) == (project.rooms.workspace.id, "small")
    assert {path.name for path in target.iterdir()} == {"backup.json", made.database, "objects"}
    assert project.events().found[0].verb == "workspace.backed-up"
    assert leases.owner(project.rooms.database, COLLECT) is None
    assert not (project.rooms.workspace.local / "backup").exists()


def test_a_second_backup_copies_only_what_is_new(project: Project, target: Path) -> None:
    """What is there is not touched; the older records are gone, and the plan says what would be copied."""
    project.backup(target)
    before = contents(target / "objects")
    write(project.root, {"notes.txt": "new words"})
    project.datasets.add(project.root / "notes.txt", "notes")

    plan = plan_backup(project.rooms.workspace, project.root, target)
    between = contents(target / "objects")
    made, _ = project.backup(target)

    after = contents(target / "objects")
    assert between == before
    assert {name: after[name] for name in before} == before
    assert plan.changes[1:] == (
        Change("write", "2 objects", plan.changes[1].why),
        Change("keep", f"{len(before) - 1} objects", "there already"),
    )
    new = {name.replace("/", "") for name in after.keys() - before.keys()}
    assert digest_of(b"new words") in new
    assert len(new) == 3  # the file, the dataset's manifest, and that of the code, which has the file too
    assert {path.name for path in target.iterdir()} == {"backup.json", made.database, "objects"}


GOES_ON = '''
    """Steps that make bytes and print, one after the other, until somebody says that it is enough."""

    import os
    import random
    import time
    from pathlib import Path

    from mlwright import pipeline, step

    @step
    def numbers() -> list[int]:
        return list(range(400))

    @step
    def make(number: int) -> bytes:
        print("made", number)
        Path(os.environ["LEDGER"]).open("a").write("x")
        if number >= 60:
            while not Path(os.environ["LEDGER"] + ".go").exists():
                time.sleep(0.005)
        return random.randbytes(5000)

    @pipeline
    def goes_on():
        make.map(numbers())
'''


def test_a_backup_of_a_moment_is_restored_elsewhere_and_reproduces(
    project: Project, target: Path, tmp_path: Path
) -> None:
    """The drill: backed up twice while a run makes and records bytes, restored into another path.

    There everything verifies, a run of before is made again to the bit, and the run that went on is lost.
    """
    write(project.root, {"pipelines/goes_on.py": GOES_ON})
    ledger = tmp_path / "ledger"
    run = subprocess.Popen(
        [str(COMMAND), "run", "goes_on"],
        cwd=project.root,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LEDGER": str(ledger)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        until(lambda: ledger.exists() and ledger.stat().st_size > 5)
        first, _ = project.backup(target)
        until(lambda: ledger.stat().st_size > 60)  # it goes on, and waits in its 61st step
        second, _ = project.backup(target)
        meanwhile = run.poll()

        done = brought_back(target, tmp_path / "other" / "place")
        with Project.open(done.folder) as restored:
            states = [run.state for run in restored.runs.list()]  # while the original run is alive
            again = restored.reproduce("latest~1")
    finally:
        ledger.with_name("ledger.go").touch()
        said = run.communicate(timeout=120)[0]

    assert meanwhile is None
    assert run.returncode == 0, said
    assert second.objects > first.objects
    assert second.lacking == first.lacking == done.lacking == ()
    assert states == ["lost", "succeeded"]
    assert again.identical
    assert project.runs.get("latest").state == "succeeded"


def test_packs_and_pieces_are_backed_up_as_they_lie(
    project: Project, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that shares most of its pieces with the one before takes little room, and is whole."""
    monkeypatch.setattr("mlwright.storage.ingest.LARGE_BYTES", MIB)
    file = tmp_path / "large.bin"
    first = random.Random(1).randbytes(8 * MIB)
    second = first[: 4 * MIB] + b"inserted" + first[4 * MIB :]
    for data in (first, second):
        file.write_bytes(data)
        project.datasets.add(file, "large")

    made, _ = project.backup(target)
    restored = restore(target, tmp_path / "restored", here=False).folder

    assert project.rooms.database.read("SELECT digest FROM chunked") == [{"digest": digest_of(second)}]
    assert made.object_bytes < 13 * MIB
    with Project.open(restored) as other:
        assert other.verify().faults == ()
        for reference, data in (("large@1", first), ("large@2", second)):
            assert other.dataset(reference).path().read_bytes() == data


BACK_UP_AND_DIE = """
    import os, signal, sys
    from pathlib import Path
    from mlwright.app import Project

    root, target, point = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    passed = []

    def deadly(name):
        real = getattr(os, name)
        def call(*arguments, **options):
            if len(passed) == point:
                os.kill(os.getpid(), signal.SIGKILL)
            passed.append(name)
            return real(*arguments, **options)
        setattr(os, name, call)

    with Project.open(root) as project:
        for name in ("mkdir", "fsync", "replace", "unlink"):
            deadly(name)
        project.backup(target)
    print(*passed)
"""


@pytest.mark.parametrize("earlier", [True, False])
def test_a_kill_at_any_point_leaves_the_earlier_backup_or_the_new_one(
    template: Path, tmp_path: Path, earlier: bool
) -> None:
    """`kill -9` before a rename or flush: what is there restores whole, or says that it is not complete.

    The next backup takes the dead one's lease over and leaves no traces of it.
    """
    root, target, trial = tmp_path / "project", tmp_path / "backup", tmp_path / "trial"
    shutil.copytree(template, root, symlinks=True)
    if earlier:
        with Project.open(root) as project:
            project.backup(target)
            write(root, {"notes.txt": "new words"})
            project.datasets.add(root / "notes.txt", "notes")

    def begin(point: int) -> subprocess.CompletedProcess[str]:
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(root, trial / "project", symlinks=True)
        if earlier:
            shutil.copytree(target, trial / "backup")
        return run_python(BACK_UP_AND_DIE, trial / "project", trial / "backup", point)

    whole = begin(-1)
    calls = whole.stdout.split()
    assert whole.returncode == 0, whole.stdout
    assert {"fsync", "replace"} <= set(calls)
    points = (
        range(len(calls)) if SOAK else sorted({*range(0, len(calls), 7), *range(len(calls) - 8, len(calls))})
    )
    outcomes = set()
    for point in points:
        killed = begin(point)
        assert killed.returncode == -signal.SIGKILL, killed.stdout

        try:
            outcomes.add(restore(trial / "backup", trial / "restored", here=False).manifest.objects)
        except MlwrightError as error:
            assert "not complete" in error.message or "there is no backup" in error.message
            outcomes.add(0)
        with Project.open(trial / "project") as project:
            made, _ = project.backup(trial / "backup")
        names = {path.name for path in (trial / "backup").iterdir()}
        assert names == {"backup.json", made.database, "objects"}
        assert list((trial / "backup" / "objects" / "incoming").iterdir()) == []

    assert outcomes == {read_manifest(target).objects if earlier else 0, made.objects}
    brought_back(trial / "backup", trial / "at last")


def test_a_full_disk_is_said_and_the_earlier_backup_stays(project: Project, disk: Path) -> None:
    """What does not fit is refused in one message; what was there restores; with room it is gone on with."""
    target = disk / "backup"
    first, _ = project.backup(target)
    big = project.root / "big.bin"
    big.write_bytes(bytes(range(256)) * 4096 * 9)
    project.datasets.add(big, "big")
    ballast = disk / "ballast"
    ballast.write_bytes(b"b" * 9 * MIB)

    with pytest.raises(Unavailable, match=r"the disk is full: .* MiB are free") as refused:
        project.backup(target)

    assert refused.value.hint
    assert read_manifest(target) == first
    assert list((target / "objects" / "incoming").iterdir()) == []
    assert leases.owner(project.rooms.database, COLLECT) is None
    ballast.unlink()
    second, _ = project.backup(target)
    assert second.objects > first.objects


@pytest.mark.parametrize("place", [".mlwright/backup", "backup", "."])
def test_a_backup_inside_the_project_is_refused(project: Project, place: str) -> None:
    """It would die with what it is to outlive."""
    before = contents(project.root)

    with pytest.raises(Invalid, match="inside the"):
        project.backup(project.root / place)
    with pytest.raises(Invalid, match="inside the"):
        plan_backup(project.rooms.workspace, project.root, project.root / place)

    new = contents(project.root).keys() - before.keys()
    assert all(path.startswith(".mlwright/local/code/") for path in new)


def test_a_folder_of_others_is_refused_and_left_alone(project: Project, target: Path) -> None:
    """A file, a folder with other files, another workspace's backup: each is named and left as it is."""
    holds = write(target / "holds", {"letter.txt": "dear"})
    a_file = target / "holds" / "letter.txt"
    foreign = target / "foreign"
    project.backup(foreign)
    (foreign / "objects" / "WORKSPACE").write_text("01OTHER\n")
    before = contents(target)

    for place, told in (
        (holds, "holds something else"),
        (a_file, "is no folder"),
        (foreign, "the backup of another workspace"),
    ):
        with pytest.raises(Conflict, match=told) as refused:
            project.backup(place)
        assert refused.value.hint

    assert contents(target) == before


def test_a_place_that_cannot_be_written_is_named(project: Project) -> None:
    """No permission, not even for root: the message names the place."""
    with pytest.raises(Unavailable, match="the system refused") as refused:
        project.backup(Path("/proc/backup"))

    assert "/proc/backup" in str(refused.value.where)


def test_two_backups_or_a_collection_do_not_meet(project: Project, target: Path, root: Path) -> None:
    """Whoever collects holds off a backup, which says by whom; a dead one does not."""
    with leases.held(project.rooms.database, COLLECT, "objects are being collected"):
        refused = mlwright("workspace", "backup", str(target), cwd=root)
    with project.rooms.database.transaction() as tx:
        tx.execute(
            "INSERT INTO lease (subject, host, boot, pid, started) VALUES (:subject, :host, :boot, 1, 'no')",
            subject=COLLECT,
            host=socket.gethostname(),
            boot=boot_id(),
        )

    made, _ = project.backup(target)

    assert refused.returncode == 4
    assert "are being collected" in refused.stderr
    assert made.objects > 5


def test_what_is_damaged_does_not_keep_the_rest_from_being_saved(
    project: Project, root: Path, target: Path, tmp_path: Path, file_of: FileOf
) -> None:
    """The backup is made, says what it lacks with exit code 5, and restores but for that."""
    flip(file_of(digest_of(BIG)))

    done = mlwright("workspace", "backup", str(target), cwd=root)

    assert done.returncode == 5
    assert "1 object could not be read" in done.stderr
    assert read_manifest(target).lacking == (digest_of(BIG),)
    restored = restore(target, tmp_path / "restored", here=False)
    assert restored.lacking == (digest_of(BIG),)
    with Project.open(tmp_path / "restored") as other:
        assert [fault.subject for fault in other.verify().faults] == [digest_of(BIG)]


def test_what_an_earlier_backup_has_heals_it(project: Project, target: Path, file_of: FileOf) -> None:
    """What is damaged by now and lies in the backup already is not lacking."""
    project.backup(target)
    flip(file_of(digest_of(BIG)))

    made, _ = project.backup(target)

    assert made.lacking == ()


def test_damaged_records_never_replace_a_good_backup(project: Project, root: Path, target: Path) -> None:
    """When the database itself is damaged, the backup is refused and the earlier one is kept."""
    first, _ = project.backup(target)
    project.close()
    path = root / ".mlwright" / "metadata.db"
    data = path.read_bytes()
    path.write_bytes(data[: 20 * 4096] + b"\xff" * 4096 + data[21 * 4096 :])

    with Project.open(root) as opened, pytest.raises(Corrupt, match="damaged"):
        opened.backup(target)

    assert read_manifest(target) == first


def test_a_backup_is_as_closed_to_others_as_the_workspace(project: Project, root: Path, target: Path) -> None:
    """A private workspace has a private backup: 0700 and 0600, and so has what is restored from it."""
    (root / ".mlwright").chmod(0o700)
    (root / ".mlwright" / "metadata.db").chmod(0o600)

    made, _ = project.backup(target)
    restore(target, target.parent / "restored", here=False)

    restored = target.parent / "restored" / ".mlwright"
    modes = [target, target / made.database, target / "backup.json", restored, restored / "metadata.db"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in modes] == [0o700, 0o600, 0o600, 0o700, 0o600]


def test_the_door_plans_and_tells(project: Project, root: Path, target: Path) -> None:
    """`--dry-run` writes nothing; the backup says how much it is, and which files are too large for code."""
    (root / "model.bin").write_bytes(bytes(11 * MIB))

    planned = mlwright("workspace", "backup", str(target), "--dry-run", cwd=root)
    there = target.exists()
    done = mlwright("workspace", "backup", str(target), cwd=root)

    assert planned.returncode == 0
    assert planned.stdout.startswith(f"plan: backup into {target}\n  write  records")
    assert not there
    assert done.returncode == 0
    assert done.stdout.startswith(f"backed up into {target}: the records and ")
    assert "left out: model.bin" in done.stdout
