"""Datasets: what becomes a version, what is the same version, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.plan import Change
from mlwright.storage import store_tree
from mlwright.versioning import Datasets
from mlwright.workspace import Workspace
from tests.conftest import mlwright
from tests.versioning.conftest import TABLE, datasets_of


def rows(workspace: Workspace, table: str) -> int:
    return int(workspace.database.read(f"SELECT count(*) AS rows FROM {table}")[0]["rows"])


def test_a_file_becomes_the_first_version(datasets: Datasets, table: Path, tmp_path: Path) -> None:
    """A file that is added is version 1, with its columns, and its bytes are read back as they were."""
    version, new = datasets.add(table, "patients", message="first export")

    opened = datasets.open("patients", tmp_path / "scratch")

    assert (version.reference, new, version.message) == ("patients@1", True, "first export")
    assert version.about == {"files": 1, "columns": ["age", "ill"]}
    assert opened.files == ["patients.csv"]
    assert opened.path().read_text() == TABLE


def test_a_folder_becomes_one_version(datasets: Datasets, tmp_path: Path) -> None:
    """A folder is one version with every file under its path, in the order of the paths."""
    folder = tmp_path / "scans"
    for name, text in {"b/2.txt": "two", "a.txt": "one", "b/größe 1.txt": "", "c.csv": TABLE}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    version, _ = datasets.add(folder, "scans")

    tree = datasets.tree(version)
    assert [entry.path for entry in tree.entries] == ["a.txt", "b/2.txt", "b/größe 1.txt", "c.csv"]
    assert version.size_bytes == tree.size_bytes == 6 + len(TABLE)


def test_the_same_bytes_are_the_same_version(datasets: Datasets, table: Path, workspace: Workspace) -> None:
    """Adding the newest version's bytes again answers that version and writes no row."""
    first, _ = datasets.add(table, "patients")
    before = [rows(workspace, each) for each in ("artifact", "version", "edge", "event")]

    again, new = datasets.add(table, "patients", message="once more")

    assert (again, new) == (first, False)
    assert [rows(workspace, each) for each in ("artifact", "version", "edge", "event")] == before


def test_earlier_bytes_are_a_new_version(datasets: Datasets, table: Path) -> None:
    """Going back to the bytes of an older version is a version of its own, with the same digest."""
    first, _ = datasets.add(table, "patients")
    table.write_text(TABLE + "70,1\n")
    datasets.add(table, "patients")
    table.write_text(TABLE)

    third, new = datasets.add(table, "patients")

    assert (third.reference, third.digest, new) == ("patients@3", first.digest, True)


def test_a_renamed_file_is_a_new_version(datasets: Datasets, table: Path) -> None:
    """The same bytes under another file name are a new version, since steps read files by name."""
    first, _ = datasets.add(table, "patients")

    second, new = datasets.add(table.rename(table.with_name("people.csv")), "patients")

    assert (second.number, new) == (2, True)
    assert second.digest != first.digest


def test_editing_the_file_leaves_the_version(datasets: Datasets, table: Path) -> None:
    """What is written to the file afterwards does not reach the version."""
    version, _ = datasets.add(table, "patients")

    with table.open("a") as file:
        file.write("99,1\n")

    assert datasets.files(version)["patients.csv"].read().decode() == TABLE


def change_nothing(path: Path) -> None:
    """Leave the file alone."""


def change_a_byte(path: Path) -> None:
    """Another value in the last row."""
    path.write_text(TABLE.replace("63,1", "63,0"))


def make_executable(path: Path) -> None:
    """Another mode, the same bytes."""
    path.chmod(0o755)


@pytest.mark.parametrize("change", [change_nothing, change_a_byte, make_executable])
def test_the_plan_says_what_adding_does(
    datasets: Datasets, table: Path, change: Callable[[Path], None]
) -> None:
    """Whether the plan keeps or adds is what `add` then does."""
    datasets.add(table, "patients")
    change(table)

    plan = datasets.plan_add(table, "patients")

    version, new = datasets.add(table, "patients")
    assert plan.empty is not new
    assert plan.changes[0].subject == version.reference


def test_a_plan_stores_nothing(datasets: Datasets, table: Path, workspace: Workspace) -> None:
    """Planning reads everything and stores neither row nor object."""
    plan = datasets.plan_add(table, "patients")

    assert plan.changes == (Change("add", "patients@1", "1 file, 18 bytes"),)
    assert list(workspace.objects) == []
    assert rows(workspace, "version") == 0


def header_only(folder: Path) -> Path:
    return write(folder / "t.csv", b"age,ill\n\n\n")


def empty_csv(folder: Path) -> Path:
    return write(folder / "t.CSV", b"")


def empty_file(folder: Path) -> Path:
    return write(folder / "notes.txt", b"")


def latin_csv(folder: Path) -> Path:
    return write(folder / "t.csv", "stadt\nKöln\n".encode("latin-1"))


def utf16_csv(folder: Path) -> Path:
    return write(folder / "t.csv", "age,ill\n41,0\n".encode("utf-16"))


def missing(folder: Path) -> Path:
    return folder / "nothing.csv"


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def fifo_in_a_folder(folder: Path) -> Path:
    (folder / "many").mkdir()
    os.mkfifo(folder / "many" / "pipe")
    return folder / "many"


def dangling(folder: Path) -> Path:
    (folder / "link.csv").symlink_to(folder / "gone.csv")
    return folder / "link.csv"


def dangling_in_a_folder(folder: Path) -> Path:
    (folder / "many").mkdir()
    (folder / "many" / "link.csv").symlink_to("gone.csv")
    return folder / "many"


def folder_behind_a_link(folder: Path) -> Path:
    write(folder / "elsewhere" / "t.csv", TABLE.encode())
    write(folder / "many" / "t.csv", TABLE.encode())
    (folder / "many" / "more").symlink_to("../elsewhere")
    return folder / "many"


def empty_folder(folder: Path) -> Path:
    (folder / "many" / "deeper").mkdir(parents=True)
    return folder / "many"


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (header_only, "has column names but no rows"),
        (empty_csv, "is empty"),
        (empty_file, "is empty"),
        (latin_csv, "is not UTF-8 text"),
        (utf16_csv, "is not UTF-8 text"),
        (missing, "there is no file or folder"),
        (fifo, "is neither a file nor a folder"),
        (fifo_in_a_folder, "is not a regular file"),
        (dangling, "there is no file or folder"),
        (dangling_in_a_folder, "is a link that leads nowhere"),
        (folder_behind_a_link, "is a link to a folder"),
        (empty_folder, "has no files in it"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused(
    make: Callable[[Path], Path], words: str, datasets: Datasets, workspace: Workspace, tmp_path: Path
) -> None:
    """Plan and add refuse in the same words, which name the path, and nothing is stored."""
    path = make(tmp_path)

    with pytest.raises(Invalid, match=words) as planned:
        datasets.plan_add(path, "patients")
    with pytest.raises(Invalid, match=words) as added:
        datasets.add(path, "patients")

    assert planned.value.render() == added.value.render()
    assert path.name in planned.value.message
    assert list(workspace.objects) == []
    assert datasets.versions.newest() == []


@pytest.mark.parametrize("name", ["", "3d", "a@1", "../x", "a b", "-x", "x" * 129, "größe"])
def test_a_name_that_cannot_be_referenced_is_refused(name: str, datasets: Datasets, table: Path) -> None:
    """A name that no reference could hold is refused before the file is looked at."""
    with pytest.raises(Invalid, match="cannot name a dataset"):
        datasets.add(table.with_name("not even there"), name)

    assert datasets.versions.newest() == []


@pytest.mark.parametrize(
    ("data", "columns"),
    [
        (b"\xef\xbb\xbfage,ill\n41,0\n", ["age", "ill"]),
        (b'"a\nge",ill\r\n41,0\r\n', ["a\nge", "ill"]),
        (b"\n\nage\n41", ["age"]),
    ],
)
def test_column_names_are_read_as_tables_have_them(
    data: bytes, columns: list[str], datasets: Datasets, tmp_path: Path
) -> None:
    """A byte order mark, quoted line breaks and empty first lines do not reach the column names."""
    version, _ = datasets.add(write(tmp_path / "t.csv", data), "t")

    assert version.about["columns"] == columns


ADD = """
import sys
from collections.abc import Callable
from pathlib import Path
from mlwright.kernel.settings import find_project
from mlwright.storage import Places
from mlwright.versioning import Datasets
from mlwright.workspace import open_workspace

root, mine, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
workspace = open_workspace(find_project(root))
datasets = Datasets(workspace.database, workspace.objects, Places(workspace.local / "places"), root)
print("ready", flush=True)
sys.stdin.readline()
for index in range(count):
    file = root / f"{mine}.txt"
    file.write_text(f"{mine} {index}")
    version, new = datasets.add(file, "shared")
    print(version.number, new, flush=True)
workspace.close()
"""


def test_no_number_is_given_twice(datasets: Datasets, root: Path) -> None:
    """Four processes that add different bytes under one name at once get numbers without gap or double."""
    each = 5
    started = [
        subprocess.Popen(
            [sys.executable, "-c", ADD, str(root), f"p{index}", str(each)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=60)[0].splitlines() for process in started]

    numbers = sorted(int(line.split()[0]) for lines in told for line in lines)
    assert [process.returncode for process in started] == [0, 0, 0, 0]
    assert numbers == list(range(1, 4 * each + 1))
    assert len({version.digest for version in datasets.versions.named("shared")}) == 4 * each


def test_a_version_is_adopted_with_its_number(
    datasets: Datasets, table: Path, workspace: Workspace, other: Workspace
) -> None:
    """Another workspace takes a version over with number, message and bytes, and needs us no more."""
    datasets.add(table, "patients")
    table.write_text(TABLE + "70,1\n")
    second, _ = datasets.add(table, "patients", message="more")
    there = datasets_of(other)

    there.adopt(second, workspace.objects)
    there.adopt(second, workspace.objects)

    for stored in list(workspace.objects):
        workspace.objects.remove(stored.digest)
    adopted = there.versions.resolve("patients@2")
    assert (adopted.digest, adopted.message) == (second.digest, "more")
    assert rows(other, "version") == 1
    assert there.files(adopted)["patients.csv"].read().decode() == TABLE + "70,1\n"
    with pytest.raises(NotFound, match="no version `1`"):
        there.versions.resolve("patients@1")


def test_the_door_shows_the_plan_and_the_version(root: Path, table: Path) -> None:
    """`datasets add` plans with --dry-run, adds, and says when the bytes were there already."""
    planned = mlwright("datasets", "add", str(table), "--name", "patients", "--dry-run", cwd=root)
    added = mlwright("datasets", "add", str(table), "--name", "patients", cwd=root)

    again = mlwright("datasets", "add", str(table), "--name", "patients", cwd=root)
    shown = mlwright("datasets", "show", "patients", cwd=root)

    assert "add  patients@1  1 file, 18 bytes" in planned.stdout
    assert added.stdout.startswith("added patients@1  b3:")
    assert again.stdout.startswith("the same bytes are there already: patients@1")
    assert "table      patients.csv: 2 rows, 2 columns" in shown.stdout
    assert "patients.csv" in shown.stdout


def test_an_add_that_takes_a_day_renews_what_it_stored_first(
    datasets: Datasets, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was collected while the rest was read is stored again: the version is whole."""
    files = [write(tmp_path / "data" / name, name.encode() * 1000) for name in ("one", "two")]
    times = iter([0, 13 * 3600 * 1_000_000])
    read = store_tree

    def slowly(*arguments: object, **options: object) -> object:
        stored = read(*arguments, **options)  # type: ignore[arg-type]
        if not slow:
            slow.append(stored)
            for held in list(workspace.objects.packs.store):
                workspace.objects.packs.store.remove(held.digest)
        return stored

    slow: list[object] = []
    monkeypatch.setattr("mlwright.versioning.datasets.store_tree", slowly)
    monkeypatch.setattr("mlwright.versioning.datasets.now_us", lambda: next(times, 13 * 3600 * 1_000_000))

    version, _ = datasets.add(files[0].parent, "long")

    datasets.verify(version)
    assert len(datasets.versions.named("long")) == 1
