"""Opening a workspace: it is made once, and what belongs to others or to the future is left alone."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlwright.kernel.database import all_migrations
from mlwright.kernel.errors import Conflict, Incompatible, MlwrightError, Unavailable
from mlwright.kernel.settings import ProjectFolder, Settings, find_project
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.workspace import Workspace, open_workspace
from tests.conftest import mlwright


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a project."""
    made = tmp_path / "project"
    made.mkdir()
    (made / "pyproject.toml").write_text('[project]\nname = "small"\n\n[tool.mlwright]\n')
    return made


@pytest.fixture
def workspace(folder: Path) -> Iterator[Workspace]:
    """Its workspace, opened."""
    opened = open_workspace(find_project(folder))
    yield opened
    opened.close()


def reopen(folder: Path) -> str:
    """Open and close; the workspace's id."""
    workspace = open_workspace(find_project(folder))
    workspace.close()
    return workspace.id


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with the digest of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_is_made_at_the_first_time_and_found_again(folder: Path) -> None:
    """Opening makes the workspace; opening again finds the same one, with one project in it."""
    first = reopen(folder)

    second = reopen(folder)

    database = SqliteDatabase(folder / ".mlwright" / "metadata.db")
    assert second == first
    assert [row["name"] for row in database.read("SELECT name FROM project")] == ["small"]
    assert database.read("SELECT number FROM migration") == [
        {"number": migration.number} for migration in all_migrations()
    ]
    assert (folder / ".mlwright" / "objects" / "WORKSPACE").read_text().strip() == first
    database.close()


def test_git_never_sees_it(workspace: Workspace, folder: Path) -> None:
    """The workspace ignores itself: Git sees nothing of it, whatever the project's `.gitignore` says."""
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)

    status = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )

    assert status.stdout == "?? pyproject.toml\n"


def test_a_renamed_project_keeps_its_workspace(folder: Path) -> None:
    """Another name in pyproject.toml is another project of the same workspace."""
    first = reopen(folder)
    (folder / "pyproject.toml").write_text('[project]\nname = "renamed"\n\n[tool.mlwright]\n')

    workspace = open_workspace(find_project(folder))

    names = [row["name"] for row in workspace.database.read("SELECT name FROM project ORDER BY created_us")]
    workspace.close()
    assert (workspace.id, names) == (first, ["small", "renamed"])


OPEN = """
import sys
from pathlib import Path
from mlwright.kernel.settings import find_project
from mlwright.workspace import open_workspace

print("ready", flush=True)
for folder in sys.stdin:
    workspace = open_workspace(find_project(Path(folder.strip())))
    print(workspace.id, flush=True)
    workspace.close()
"""


def test_four_processes_make_it_once(tmp_path: Path) -> None:
    """Processes that open a fresh project at once all get the one workspace."""
    folders = [tmp_path / f"p{index}" for index in range(15)]
    for folder in folders:
        folder.mkdir()
        (folder / "pyproject.toml").write_text("[tool.mlwright]\n")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    for folder in folders:
        for process in started:
            assert process.stdin is not None
            process.stdin.write(f"{folder}\n")
            process.stdin.flush()
        ids = set()
        for process in started:
            assert process.stdout is not None
            ids.add(process.stdout.readline().strip())

        assert len(ids) == 1
        assert "" not in ids
        assert {path.name for path in (folder / ".mlwright" / "objects").iterdir()} == {"WORKSPACE"}
    for process in started:
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_the_store_of_another_workspace_is_refused(folder: Path, tmp_path: Path) -> None:
    """A store that carries another workspace's id is refused, names both, and stays as it was."""
    ours = reopen(folder)
    mark = folder / ".mlwright" / "objects" / "WORKSPACE"
    mark.write_text("01OTHER\n")

    with pytest.raises(Conflict, match="belongs to another workspace") as refusal:
        open_workspace(find_project(folder))

    assert ours in str(refusal.value.hint)
    assert "01OTHER" in str(refusal.value.hint)
    assert mark.read_text() == "01OTHER\n"


def test_a_newer_schema_is_refused_untouched(folder: Path) -> None:
    """A database that a newer mlwright wrote is refused, and not one byte of the workspace changes."""
    reopen(folder)
    database = SqliteDatabase(folder / ".mlwright" / "metadata.db")
    with database.transaction() as tx:
        tx.execute("PRAGMA user_version = 9999")
    database.close()
    before = contents(folder)

    with pytest.raises(Incompatible, match="written by a newer mlwright"):
        open_workspace(find_project(folder))

    assert contents(folder) == before


def a_file(folder: Path) -> None:
    (folder / ".mlwright").write_text("")


def objects_is_a_file(folder: Path) -> None:
    (folder / ".mlwright").mkdir()
    (folder / ".mlwright" / "objects").write_text("")


def database_is_a_folder(folder: Path) -> None:
    (folder / ".mlwright" / "metadata.db").mkdir(parents=True)


@pytest.mark.parametrize("spoil", [a_file, objects_is_a_file, database_is_a_folder])
def test_what_cannot_be_a_workspace_is_named(spoil: Callable[[Path], None], folder: Path) -> None:
    """Where something else stands in the workspace's place, the message names the path."""
    spoil(folder)

    with pytest.raises(Unavailable) as refusal:
        open_workspace(find_project(folder))

    assert str(folder / ".mlwright") in str(refusal.value.where)


def test_a_folder_that_cannot_be_written_is_named() -> None:
    """Where nothing can be written, not even by root, the message says so and names the folder."""
    project = ProjectFolder(Path("/proc/self"), "small", Settings())

    with pytest.raises(Unavailable, match="the workspace cannot be made") as refusal:
        open_workspace(project)

    assert refusal.value.where == "/proc/self/.mlwright"


def test_a_damaged_database_is_named(folder: Path) -> None:
    """A database file that is none is refused in our words."""
    reopen(folder)
    path = folder / ".mlwright" / "metadata.db"
    path.write_bytes(b"not a database at all" * 200)

    with pytest.raises(MlwrightError, match="damaged") as refusal:
        open_workspace(find_project(folder))

    assert refusal.value.where == str(path)


def test_the_door_lists_what_happened(workspace: Workspace, folder: Path) -> None:
    """`events` is empty at first, and then names what happened, to what, by whom, after a given number."""
    empty = mlwright("events", cwd=folder)
    for name in ("a", "b"):
        (folder / "t.txt").write_text(name)
        mlwright("datasets", "add", "t.txt", "--name", name, cwd=folder)

    listed = mlwright("events", cwd=folder).stdout.splitlines()
    after = json.loads(mlwright("events", "--after", "1", "--json", cwd=folder).stdout)

    assert (empty.returncode, len(empty.stdout.splitlines())) == (0, 1)
    assert len(listed) == 3
    assert "dataset.added" in listed[1]
    assert "dataset a@1" in listed[1]
    assert [event["detail"]["reference"] for event in after] == ["b@1"]
