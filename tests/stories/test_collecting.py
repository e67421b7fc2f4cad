"""`mlwright gc`, as a user runs it: beside a run, after a version was removed, before and after a look."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel import leases
from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Conflict
from mlwright.storage.named import COLLECT
from tests.conftest import COMMAND, Maker, installed
from tests.processes import until
from tests.storage.conftest import two_days_old

PIPELINE = '''
    """Reads files of a dataset before and after it was told to go on."""

    import os
    import time
    from pathlib import Path

    from mlwright import Dataset, pipeline, step

    @step
    def first(data: Dataset, salt: int) -> bytes:
        return b"".join(data.open(name).read() for name in data.files[:10]) * 100 + b"%d" % salt

    @step
    def second(data: Dataset, before: bytes) -> bytes:
        if mark := os.environ.get("MARK"):
            Path(mark + ".here").touch()
            deadline = time.monotonic() + 60
            while not Path(mark + ".go").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        import late
        return late.joined(before, [data.open(name).read() for name in data.files])

    @pipeline
    def slow(data: Dataset = Dataset("scans@latest"), salt: int = 0):
        second(data, first(data, salt))
'''
LATE = """
    def joined(before: bytes, parts: list[bytes]) -> bytes:
        return before + b"".join(parts)
"""


def fill(folder: Path, beginning: str, count: int = 40) -> None:
    """Small files for a pack, and one that is an object."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"{beginning} {number} " * 20)
    (folder / "large.bin").write_bytes(os.urandom(100_000))


@pytest.fixture
def root(make_project: Maker) -> Path:
    """A project with a dataset in a version, and what a run made."""
    root = make_project(
        {
            "pipelines/p.py": PIPELINE,
            "late.py": LATE,
            ".gitignore": "scans\n",
        }
    )
    fill(root / "scans", "first")
    assert installed("datasets", "add", "scans", "--name", "scans", cwd=root).returncode == 0
    done = installed("run", "slow", cwd=root)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def project(root: Path) -> Iterator[Project]:
    """It, opened."""
    with Project.open(root) as opened:
        yield opened


def age(root: Path) -> None:
    """Let two days pass over the store and over what this machine can make again."""
    for path in (root / ".mlwright" / "objects").glob("*/*"):
        two_days_old(path)
    for name in ("snapshots/*", "graphs/*", "made/*/*"):
        for path in (root / ".mlwright" / "local").glob(name):
            two_days_old(path)


def stored(root: Path) -> set[str]:
    """The objects, by their files."""
    return {path.parent.name + path.name for path in (root / ".mlwright" / "objects").glob("??/*")}


def sound(root: Path) -> bool:
    """Whether verifying finds no fault, and every dataset is whole."""
    looks = [installed("workspace", "verify", cwd=root), installed("datasets", "verify", cwd=root)]
    assert [look.returncode for look in looks] == [0, 0], [look.stdout + look.stderr for look in looks]
    return True


def test_nothing_goes_that_a_run_beside_it_needs(root: Path, tmp_path: Path) -> None:
    """Old bytes, a run in the middle of its work: gc takes what nobody names, and the run ends well."""
    garbage = Project.open(root)
    dead = garbage.rooms.objects.put(b"nobody's" * 1000).digest
    garbage.close()
    age(root)
    mark = tmp_path / "mark"
    run = subprocess.Popen(
        [str(COMMAND), "run", "slow", "-p", "salt=1"],
        cwd=root,
        env={**os.environ, "CI": "true", "MARK": str(mark)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(lambda: Path(f"{mark}.here").exists() or run.poll() is not None, within_s=60)

    collected = installed("gc", cwd=root)
    Path(f"{mark}.go").touch()
    told, _ = run.communicate(timeout=120)

    assert collected.returncode == 0, collected.stderr
    assert run.returncode == 0, told
    assert dead not in stored(root)
    assert sound(root)
    again = installed("runs", "reproduce", "latest", "--in", str(tmp_path / "again"), cwd=root)
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_run_after_it_makes_again_what_this_machine_had(root: Path) -> None:
    """The snapshot on the disk and what was remembered of its graph are old: they go, and come again."""
    age(root)

    collected = installed("gc", cwd=root)

    assert "unused files of this machine" in collected.stdout
    assert list((root / ".mlwright" / "local" / "snapshots").iterdir()) == []
    done = installed("run", "slow", cwd=root)
    assert done.returncode == 0, done.stderr
    assert "reused" in done.stdout
    assert sound(root)


def test_a_removed_version_gives_its_bytes_back(root: Path) -> None:
    """Its files go a day later; those that another version has too stay, and can be written out."""
    fill(root / "other", "other")
    fill(root / "other-2", "first")
    installed("datasets", "add", "other", "--name", "other", cwd=root)
    installed("datasets", "add", "other-2", "--name", "third", cwd=root)
    with Project.open(root) as project:
        version = project.datasets.versions.resolve("other")
        large = next(e.digest for e in project.datasets.tree(version).entries if e.path == "large.bin")
    removed = installed("datasets", "rm", "other@1", cwd=root)
    assert removed.returncode == 0, removed.stderr
    young = installed("gc", cwd=root)
    there = large in stored(root)
    age(root)

    done = installed("gc", cwd=root)

    assert "spared" in young.stdout
    assert there
    assert large not in stored(root)
    assert done.returncode == 0
    assert sound(root)
    written = installed("datasets", "checkout", "third", "elsewhere", cwd=root)
    assert written.returncode == 0, written.stderr
    assert len(list((root / "elsewhere").iterdir())) == 41


def test_a_plan_changes_nothing_and_says_what_goes(root: Path) -> None:
    """--dry-run names how many objects, how many bytes, and what keeps the rest; gc then does that."""
    with Project.open(root) as project:
        project.rooms.objects.put(b"x" * 3 * 1024 * 1024)
        (project.rooms.objects.incoming / "left").write_bytes(b"half")
    age(root)
    before = stored(root)

    planned = installed("gc", "--dry-run", cwd=root)
    between = stored(root)
    data = json.loads(installed("gc", "--dry-run", "--json", cwd=root).stdout)
    done = json.loads(installed("gc", "--json", cwd=root).stdout)

    assert between == before
    assert "plan: collect" in planned.stdout
    assert "would free 3.0 MiB" in planned.stdout
    assert "artifacts, datasets and models" in planned.stdout
    assert "code snapshots" in planned.stdout
    assert data["bytes"] == done["bytes"] > 3 * 1024 * 1024
    assert data["plan"]["sweep"]["dead"] == done["collected"]["sweep"]["dead"]
    assert len(stored(root)) == len(before) - 1
    assert json.loads(installed("gc", "--json", cwd=root).stdout)["bytes"] == 0
    assert sound(root)


def test_a_run_that_was_lost_spares_nothing(project: Project) -> None:
    """A run whose process is gone counts no more, in a plan as in a collection."""
    dead = project.rooms.objects.put(b"nobody's").digest
    age(project.root)
    with project.rooms.database.transaction() as tx:
        tx.execute("UPDATE run SET state = 'running', created_us = 0")

    planned = project.plan_collect()
    done = project.collect()

    assert [held.digest for held in planned.sweep.dead] == [dead]
    assert done.sweep.dead == planned.sweep.dead


def test_a_run_that_goes_on_for_days_keeps_what_was_young_when_it_began(project: Project) -> None:
    """What a run relied on was put up to half a day before: it is spared as long as the run lasts."""
    digest: Digest = project.rooms.objects.put(b"young when it began").digest
    age(project.root)
    (run,) = project.runs.list()
    with project.rooms.database.transaction() as tx:
        tx.execute("UPDATE run SET state = 'running', created_us = :at", at=now_us() - 40 * 3600 * 1_000_000)
        leases.take(tx, f"run {run.id}")

    project.collect()

    assert digest in project.rooms.objects
    snapshots = project.rooms.workspace.local / "snapshots"
    assert list(snapshots.iterdir())


def test_one_collects_at_a_time_and_not_beside_a_backup(project: Project, tmp_path: Path) -> None:
    """Who holds the lease is named, exit 4; a lease of a process that is gone holds up nobody."""
    with leases.held(project.rooms.database, COLLECT, "objects are being collected or backed up"):
        refused = installed("gc", cwd=project.root)
        backup = installed("workspace", "backup", str(tmp_path / "backup"), cwd=project.root)
        with pytest.raises(Conflict):
            project.collect()
    with project.rooms.database.transaction() as tx:
        leases.take(tx, COLLECT)
        tx.execute("UPDATE lease SET pid = 1, started = 'never' WHERE subject = :it", it=COLLECT)

    done = installed("gc", cwd=project.root)

    assert (refused.returncode, backup.returncode, done.returncode) == (4, 4, 0), refused.stderr
    assert f"by process {os.getpid()}" in refused.stderr
    assert "hint: " in refused.stderr


def test_a_store_of_another_workspace_is_refused(root: Path) -> None:
    """Nothing is looked at in a store that carries another's name."""
    (root / ".mlwright" / "objects" / "WORKSPACE").write_text("01ANOTHER\n")
    age(root)
    before = stored(root)

    refused = installed("gc", cwd=root)

    assert refused.returncode == 4
    assert "belongs to another workspace" in refused.stderr
    assert stored(root) == before


def test_a_tree_that_cannot_be_read_stops_it(root: Path) -> None:
    """Exit 5, nothing goes, and the way on is named."""
    with Project.open(root) as project:
        tree = project.datasets.versions.resolve("scans").digest
        project.rooms.objects.put(b"nobody's")
    age(root)
    (root / ".mlwright" / "objects" / tree[:2] / tree[2:]).unlink()
    before = stored(root)

    refused = installed("gc", cwd=root)

    assert refused.returncode == 5, refused.stderr
    assert "nothing is collected" in refused.stderr
    assert "hint: see whose it is" in refused.stderr
    assert stored(root) == before


def test_the_lock_of_a_bucket_and_marks_of_damage_stay(project: Project) -> None:
    """Of what lies beside a bucket only half-read objects go: a lock that is made anew would hold nobody."""
    transfer = project.rooms.workspace.local / "transfer"
    transfer.mkdir()
    for name in ("LOCK", "ab.suspect", "ab.part"):
        (transfer / name).touch()
        two_days_old(transfer / name)

    project.collect()

    assert sorted(path.name for path in transfer.iterdir()) == ["LOCK", "ab.suspect"]
