"""A new project from the starter: what `init` writes, and when it writes nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel.errors import Conflict, Invalid, Unavailable
from mlwright.kernel.settings import find_project
from mlwright.workspace import create_project, plan_project

FILES = {
    ".gitignore",
    "README.md",
    "pipelines/diagnosis.py",
    "pyproject.toml",
    "scripts/patients.py",
}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_plan_names_what_is_then_written(tmp_path: Path) -> None:
    """The plan names each file and writes none; creating writes exactly those."""
    folder = tmp_path / "deep" / "demo"

    plan = plan_project(folder)
    untouched = not folder.parent.exists()
    created = create_project(folder)

    assert untouched
    assert created == plan
    assert {change.subject for change in plan.changes} == set(contents(folder)) == FILES
    assert {change.action for change in plan.changes} == {"write"}


def test_what_is_written_is_a_project(tmp_path: Path) -> None:
    """The folder is a project under its own name, and its pipelines are Python."""
    create_project(tmp_path / "My Demo_2")

    project = find_project(tmp_path / "My Demo_2" / "pipelines")

    assert (project.root, project.name) == (tmp_path / "My Demo_2", "my-demo-2")
    for path in project.root.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")


def test_creating_twice_changes_nothing(tmp_path: Path) -> None:
    """The second time every file is kept, and not even its time of change moves."""
    create_project(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    plan = create_project(tmp_path)

    assert plan.empty
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_is_missing_is_completed(tmp_path: Path) -> None:
    """In a half-written project, what is there stays and what is missing is written."""
    create_project(tmp_path)
    (tmp_path / "README.md").unlink()

    plan = create_project(tmp_path)

    assert [change.subject for change in plan.changes if change.action == "write"] == ["README.md"]
    assert set(contents(tmp_path)) == FILES


@pytest.mark.parametrize("path", sorted(FILES))
def test_a_file_with_other_content_stops_everything(path: str, tmp_path: Path) -> None:
    """A file of the user's in the way of any of ours is named, kept, and nothing else is written."""
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("mine\n")

    with pytest.raises(Conflict, match="is there already, with other content") as refusal:
        create_project(tmp_path)

    assert refusal.value.message.startswith(path)
    assert contents(tmp_path) == {path: b"mine\n"}


def test_other_files_are_no_obstacle(tmp_path: Path) -> None:
    """Files of the user's that ours do not meet stay as they are."""
    (tmp_path / "notes.txt").write_text("mine\n")

    create_project(tmp_path)

    assert contents(tmp_path)["notes.txt"] == b"mine\n"
    assert set(contents(tmp_path)) == FILES | {"notes.txt"}


def test_a_folder_in_the_way_of_a_file_is_a_conflict(tmp_path: Path) -> None:
    """A folder named like one of our files is named, and nothing is written."""
    (tmp_path / "README.md").mkdir()

    with pytest.raises(Conflict, match=r"README\.md is there already"):
        create_project(tmp_path)

    assert contents(tmp_path) == {}


def test_a_file_in_the_way_of_the_folder_is_a_conflict(tmp_path: Path) -> None:
    """A file where the project's folder should be is named, and stays."""
    (tmp_path / "demo").write_text("mine\n")

    with pytest.raises(Conflict, match="demo is a file"):
        create_project(tmp_path / "demo")

    assert contents(tmp_path) == {"demo": b"mine\n"}


@pytest.mark.parametrize("above", ["demo", "pipelines"])
def test_a_file_in_the_way_of_a_parent_is_named(above: str, tmp_path: Path) -> None:
    """A file where a folder above one of ours must be is named, and nothing is written."""
    (tmp_path / above).write_text("mine\n")
    folder = tmp_path / "demo" / "inner" if above == "demo" else tmp_path

    with pytest.raises(Conflict, match=f"{above} is a file"):
        create_project(folder)

    assert contents(tmp_path) == {above: b"mine\n"}


def test_a_folder_that_cannot_be_written_is_named() -> None:
    """Where nothing can be written, not even by root, the message says so."""
    with pytest.raises(Unavailable, match="the project cannot be written"):
        create_project(Path("/proc/self/demo"))


@pytest.mark.parametrize("name", ["", "-x", "x-", "a b", "größe", 'a"\nb = "c', "a/b", "..", "x\n"])
def test_a_name_that_no_package_can_have_is_refused(name: str, tmp_path: Path) -> None:
    """A given name that is no name of a package is refused, and nothing is written."""
    with pytest.raises(Invalid, match="cannot name a project") as refusal:
        create_project(tmp_path, name)

    assert "--name" in str(refusal.value.hint)
    assert contents(tmp_path) == {}


def test_a_folder_without_a_usable_name_asks_for_one(tmp_path: Path) -> None:
    """A folder whose own name has no letter of a package's name asks for a name, and takes it."""
    with pytest.raises(Invalid, match="cannot name a project"):
        plan_project(tmp_path / "日本")

    create_project(tmp_path / "日本", "japan")

    assert find_project(tmp_path / "日本").name == "japan"


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_any_folder_gives_a_sound_project_or_asks(name: str) -> None:
    """Whatever the folder is called, the plan asks for a name or the project's file is valid TOML."""
    from mlwright.workspace.template import _files

    try:
        files = _files(Path("/nowhere") / name, None)
    except Invalid:
        return

    project = tomllib.loads(files["pyproject.toml"])["project"]

    assert project["name"].strip("-") == project["name"] != ""
