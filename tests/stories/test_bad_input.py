"""What a user gets for a mistake: one message, what and where and how to go on, and nothing changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import apsw
import pytest

from mlwright.app import Project
from tests.conftest import PYPROJECT, installed, lock_project, write

PIPELINE = """
    from mlwright import Dataset, pipeline, step

    @step
    def count(data: Dataset, times: int) -> int:
        return len(data.open().read()) * times

    @step
    def divide(x: int) -> float:
        return 1 / (x - x)

    @step
    def big() -> bytes:
        import random
        return random.randbytes(20_000_000)

    @pipeline
    def sizes(data: Dataset = Dataset("notes@latest"), times: int = 1):
        count(data, times)

    @pipeline
    def broken(data: Dataset = Dataset("notes@latest")):
        divide(count(data, 1))

    @pipeline
    def large():
        big()
"""


@pytest.fixture(scope="module")
def before_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one dataset and one run."""
    files = {"pyproject.toml": PYPROJECT, "pipelines/p.py": PIPELINE, "notes.csv": "a,b\n1,2\n"}
    root = write(tmp_path_factory.mktemp("story") / "small", files)
    with Project.open(root) as project:
        lock_project(project)
    assert installed("datasets", "add", "notes.csv", "--name", "notes", cwd=root).returncode == 0
    assert installed("run", "sizes", cwd=root).returncode == 0
    return root


@pytest.fixture
def project(before_all: Path, tmp_path: Path) -> Path:
    """That project, for one mistake."""
    return Path(shutil.copytree(before_all, tmp_path / "small", symlinks=True))


def records(root: Path) -> dict[str, list[object]]:
    """Every row of every table, but for where bytes lie: what was stored before a mistake shows may stay."""
    with apsw.Connection(str(root / ".mlwright/metadata.db")) as database:
        tables = [
            str(row[0]) for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        return {
            table: list(database.execute(f"SELECT * FROM {table}")) for table in tables if table != "packed"
        }


def objects(root: Path) -> set[str]:
    return {str(path) for path in (root / ".mlwright/objects").rglob("*") if path.is_file()}


CASES = {
    "an unknown pipeline": (["run", "sises"], 3, "there is no pipeline `sises`", "did you mean `sizes`?"),
    "a parameter of the wrong type": (
        ["run", "sizes", "-p", "times=often"],
        2,
        "parameter `times` of pipeline `sizes` must be a whole number, not 'often'",
        "its default is 1",
    ),
    "an unknown parameter": (
        ["run", "sizes", "-p", "time=1"],
        2,
        "has no parameter `time`",
        "did you mean `times`?",
    ),
    "a parameter without a value": (
        ["run", "sizes", "-p", "times"],
        2,
        "'times' is not a parameter",
        "-p NAME=VALUE",
    ),
    "a missing file": (
        ["datasets", "add", "nowhere.csv", "--name", "notes"],
        2,
        "nowhere.csv",
        "check the path",
    ),
    "an empty file": (
        ["datasets", "add", "empty.csv", "--name", "notes"],
        2,
        "empty.csv is empty",
        "column names",
    ),
    "a table without rows": (
        ["datasets", "add", "head.csv", "--name", "notes"],
        2,
        "has column names but no rows",
        "",
    ),
    "a bad name": (
        ["datasets", "add", "notes.csv", "--name", "a b"],
        2,
        "'a b' cannot name a dataset",
        "letters",
    ),
    "an unknown dataset": (
        ["datasets", "show", "nodes"],
        3,
        "there is no dataset `nodes`",
        "did you mean `notes`?",
    ),
    "an unknown version": (["datasets", "show", "notes@7"], 3, "has no version `7`", "it has @1"),
    "a dataset that a run needs": (
        ["run", "sizes", "-p", "data=other@latest"],
        3,
        "there is no dataset `other`",
        "notes",
    ),
    "an unknown model": (["serve", "ghost@champion"], 3, "there is no model `ghost`", "mlwright run"),
    "an unknown run": (["runs", "show", "01ZZZZ"], 3, "there is no run '01ZZZZ'", "mlwright runs list"),
    "an unknown state": (["runs", "list", "--state", "odd"], 2, "there is no run state 'odd'", "succeeded"),
    "half a filter": (
        ["runs", "list", "--filter", "metrics.auc high"],
        2,
        "where a comparison should be",
        "LIKE",
    ),
    "nothing of that name": (["lineage", "nothing"], 3, "nothing is named 'nothing'", "NAME@3"),
    "a command without its argument": (["run"], 2, "Missing argument 'PIPELINE|", "mlwright run --help"),
    "an unknown command": (["rnu"], 2, "there is no command `rnu`", "did you mean `run`?"),
    "an unknown option": (["run", "sizes", "--fast"], 2, "No such option", "mlwright run --help"),
}


@pytest.mark.parametrize("what", CASES)
def test_a_mistake_gets_one_message_and_changes_nothing(project: Path, what: str) -> None:
    """Exit code, cause and hint on standard error, no traceback, and the workspace as it was."""
    arguments, status, cause, hint = CASES[what]
    (project / "empty.csv").touch()
    (project / "head.csv").write_text("a,b\n")
    before = records(project)

    done = installed(*arguments, cwd=project)

    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("error: ")
    assert cause in done.stderr and hint in done.stderr
    assert "Traceback" not in done.stderr
    assert records(project) == before


def test_outside_a_project_the_way_in_is_named(tmp_path: Path) -> None:
    """No folder above is a project: the message says how to make one."""
    done = installed("run", "sizes", cwd=tmp_path)

    assert done.returncode == 3
    assert "not a mlwright project" in done.stderr and "mlwright init" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_raises_is_told_by_step_place_run_and_way_on(project: Path) -> None:
    """The message names the step, the user's file and line, the run, and the command to resume."""
    done = installed("run", "broken", cwd=project)

    run = installed("runs", "list", "--state", "failed", "--json", cwd=project).stdout
    identity = run.partition('"id": "')[2][:10]
    assert done.returncode == 1
    assert (
        f"error: step `divide` of run {identity} failed: ZeroDivisionError: division by zero" in done.stderr
    )
    assert "at pipelines/p.py:10 in divide" in done.stderr
    assert f"hint: fix it, then continue where it stopped: mlwright runs resume {identity}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_workspace_written_by_a_newer_version_is_refused_untouched(project: Path) -> None:
    """One line says so, exit code 5, and not a byte is changed."""
    with apsw.Connection(str(project / ".mlwright/metadata.db")) as database:
        database.execute("PRAGMA user_version = 9999")
        database.pragma("wal_checkpoint(TRUNCATE)")
    before = (project / ".mlwright/metadata.db").read_bytes()

    done = installed("runs", "list", cwd=project)

    assert done.returncode == 5
    assert "written by a newer mlwright (schema 9999" in done.stderr
    assert (project / ".mlwright/metadata.db").read_bytes() == before


def test_a_full_disk_is_named_and_leaves_nothing_half_written(project: Path, disk: Path) -> None:
    """Adding what does not fit changes no record, and works after space is freed."""
    root = disk / "small"
    shutil.copytree(project, root, symlinks=True, ignore=shutil.ignore_patterns("environments"))
    (root / "large.bin").write_bytes(os.urandom(6_000_000))
    before, held = records(root), objects(root)
    (disk / "filler").write_bytes(b"\0" * 5_000_000)

    full = installed("datasets", "add", "large.bin", "--name", "large", cwd=root)
    seen, kept = records(root), objects(root)
    (disk / "filler").unlink()
    freed = installed("datasets", "add", "large.bin", "--name", "large", cwd=root)

    assert full.returncode == 6, full.stderr
    assert "the disk is full" in full.stderr and "5.7 MiB are needed" in full.stderr
    assert "free some space" in full.stderr
    assert seen == before and kept == held
    assert freed.returncode == 0, freed.stderr


def test_a_run_on_a_full_disk_ends_failed_with_the_cause(project: Path, disk: Path) -> None:
    """A step whose output does not fit fails its run, and the disk is named."""
    root = disk / "small"
    shutil.copytree(project, root, symlinks=True, ignore=shutil.ignore_patterns("objects/incoming"))

    done = installed("run", "large", cwd=root)

    assert done.returncode in {1, 6}, done.stderr
    assert "disk is full" in done.stderr or "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    (state,) = {row[3] for row in records(root)["run"] if row[2] == "large"}
    assert state == "failed"
