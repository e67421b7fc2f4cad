"""The catalogue: what a version holds, in Python and on a terminal; read once, remembered after."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import parquet
from pyarrow import table as arrow_table

from mlwright.app import Project
from mlwright.kernel.errors import Invalid, NotFound, Unavailable
from mlwright.kernel.progress import Progress
from mlwright.storage import Places
from mlwright.storage.trees import Entry
from mlwright.versioning import Datasets
from mlwright.versioning.contents import file_types
from mlwright.versioning.summaries import HINT
from mlwright.workspace import Workspace
from tests.conftest import Maker, mlwright
from tests.versioning.conftest import digest


def readers(workspace: Workspace) -> Datasets:
    """Datasets whose tables are read by the interpreter of the tests."""
    return read_by(workspace, lambda: Path(sys.executable))


def read_by(workspace: Workspace, python: Callable[[], Path | None]) -> Datasets:
    """Datasets whose tables are read by a certain interpreter."""
    places = Places(workspace.local / "places")
    root, summaries = workspace.local.parent.parent, workspace.local / "summaries"
    return Datasets(workspace.database, workspace.objects, places, root, summaries=summaries, python=python)


def nobody() -> Path | None:
    raise AssertionError("an interpreter was asked for")


@pytest.fixture
def able(workspace: Workspace) -> Datasets:
    return readers(workspace)


class Heard(Progress):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int | None]] = []
        self.done = 0

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        self.told.append((what, total_bytes))

    def advance(self, done_bytes: int) -> None:
        self.done += done_bytes


def test_a_table_is_summarised_by_a_worker_and_remembered(
    able: Datasets, workspace: Workspace, table: Path
) -> None:
    """The first look starts a worker and reads; the second asks for none; progress hears the bytes."""
    able.add(table, "patients")
    heard = Heard()

    first = able.show("patients", progress=heard)
    again = read_by(workspace, nobody).show("patients")

    (summary,) = first.tables
    assert (summary.rows, [column.name for column in summary.columns]) == (2, ["age", "ill"])
    assert summary.columns[0].mean == 52.0
    assert again == first
    assert (heard.told, heard.done) == ([("reading tables", 18)], 18)


def test_what_is_remembered_may_be_damaged_or_deleted(
    able: Datasets, workspace: Workspace, table: Path
) -> None:
    """Local state is disposable: it is worked out again."""
    able.add(table, "patients")
    first = able.show("patients")
    (answer,) = (workspace.local / "summaries").iterdir()
    answer.write_text("{")

    again = able.show("patients")

    assert again == first
    assert json.loads(answer.read_text())["rows"] == 2


def test_without_pyarrow_there_is_a_hint_and_nothing_is_remembered(
    datasets: Datasets, workspace: Workspace, table: Path
) -> None:
    """Where nothing can read tables, names of columns and the way to more are left."""
    datasets.add(table, "patients")

    detail = datasets.show("patients")

    assert [(each.rows, each.hint) for each in detail.tables] == [(None, HINT)]
    assert detail.version.about["columns"] == ["age", "ill"]
    assert readers(workspace).show("patients").tables[0].rows == 2


def test_a_folder_is_told_by_types_and_its_largest_files(able: Datasets, tmp_path: Path) -> None:
    """Counts and bytes by how files end, most bytes first; no more tables are read than three."""
    folder = tmp_path / "scans"
    (folder / "a").mkdir(parents=True)
    for number in range(12):
        (folder / "a" / f"{number}.PNG").write_bytes(b"x" * 10)
    for number in range(4):
        (folder / f"{number}.csv").write_text("a\n1\n")
    (folder / "notes").write_text("n")
    (folder / "all.tar.gz").write_bytes(b"z" * 500)
    able.add(folder, "scans")

    detail = able.show("scans")
    one = able.show("scans", tables=["2.csv"])

    assert [(each.suffix, each.files, each.size_bytes) for each in detail.types] == [
        (".tar.gz", 1, 500),
        (".png", 12, 120),
        (".csv", 4, 16),
        ("", 1, 1),
    ]
    assert [each.path for each in detail.largest][:2] == ["all.tar.gz", "a/0.PNG"]
    assert (detail.tables, detail.unsummarised) == ((), 4)
    assert [(each.path, each.rows) for each in one.tables] == [("2.csv", 1)]
    with pytest.raises(NotFound, match="has no table"):
        able.show("scans", tables=["5.csv"])


def test_types_of_odd_names_are_told() -> None:
    """Hidden files have no end; capitals do not matter; a dot at the end is none."""
    names = [".hidden", "A.JPG", "b.jpg", "c.", "v1.2/readme"]

    found = file_types([Entry(name, 1, digest("aa")) for name in names])  # type: ignore[arg-type]

    assert {each.suffix: each.files for each in found} == {".jpg": 2, "": 3}


def test_a_parquet_file_is_found_by_its_columns_once_it_was_shown(able: Datasets, tmp_path: Path) -> None:
    """The engine itself cannot read Parquet: the words come with the summary."""
    parquet.write_table(arrow_table({"heart_rate": [60.5]}), tmp_path / "t.parquet")
    able.add(tmp_path / "t.parquet", "vitals")
    before = able.search("heart")

    able.show("vitals")

    assert before == []
    assert [each.why for each in able.search("heart_rate")] == [{"columns": "[heart_rate]"}]


def test_a_list_has_rows_that_were_counted_aliases_and_tags(able: Datasets, table: Path) -> None:
    """The newest of each name, or all of one, newest first; rows where somebody had them counted."""
    able.add(table, "patients", tags={"source": "clinic"})
    able.show("patients")
    able.alias("patients@1", "golden")
    table.write_text("age,ill\n1,0\n")
    able.add(table, "patients")

    (newest,) = able.list()
    both = able.list("patients")

    assert (newest.version.number, newest.rows, newest.files) == (2, None, 1)
    assert [each.version.number for each in both] == [2, 1]
    assert (both[1].rows, both[1].aliases, both[1].tags) == (2, ("golden",), {"source": "clinic"})
    with pytest.raises(NotFound):
        able.list("nobody")


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"a b": "x"}, "'a b' cannot name a tag"),
        ({"": "x"}, "'' cannot name a tag"),
        ({"a": ""}, "the value of the tag `a` cannot be kept"),
        ({"a": "x\ny"}, "the value of the tag `a` cannot be kept"),
        ({"a": "x" * 251}, "the value of the tag `a` cannot be kept"),
    ],
)
def test_what_cannot_be_a_tag_is_refused(
    tags: dict[str, str], words: str, able: Datasets, table: Path
) -> None:
    """And nothing is added."""
    with pytest.raises(Invalid, match=words):
        able.add(table, "patients", tags=tags)

    assert able.list() == []


@pytest.fixture
def project(make_project: Maker) -> Path:
    """A project with tables on disk."""
    return make_project(
        {
            "one.csv": "age,ward\n41,east\n63,west\n50,east\n",
            "two.csv": "age,ward\n61,east\n83,south\n70,east\n,west\n",
            "bad.csv": "age,ward\n41,east\n63\n",
            "evil.csv": "age,ward\n1,\x1b[31mred\x1b[0m\n2,\x1b[31mred\x1b[0m\n",
        }
    )


def test_the_door_shows_a_table_that_reads_without_colour(project: Path) -> None:
    """`datasets show`: tags, files, and a line for each column; all of it with --json."""
    mlwright(
        *["datasets", "add", "one.csv", "--name", "patients", "-m", "first"],
        *["--tag", "source=clinic", "--tag", "year=2026"],
        cwd=project,
    )

    shown = mlwright("datasets", "show", "patients", cwd=project).stdout
    told = json.loads(mlwright("datasets", "show", "patients", "--json", cwd=project).stdout)

    for line in (
        "tags       source=clinic, year=2026",
        "table      one.csv: 3 rows, 2 columns",
        "  COLUMN  TYPE    NULLS  DISTINCT  VALUES",
        "  age     int64   0      3         min 41, 10% 41, median 50, 90% 63, max 63, mean 51.33, std 11.06",
        "  ward    string  0      2         east 66.7%, west 33.3%",
    ):
        assert line in shown.splitlines()
    assert told["tables"][0]["columns"][1]["frequent"] == [["east", 2], ["west", 1]]
    assert told["version"]["about"]["tags"] == {"source": "clinic", "year": "2026"}
    assert [each["path"] for each in told["files"]] == ["one.csv"]


def test_the_door_escapes_what_a_terminal_would_obey(project: Path) -> None:
    """A value with escape sequences is shown as text."""
    mlwright("datasets", "add", "evil.csv", "--name", "evil", cwd=project)

    shown = mlwright("datasets", "show", "evil", cwd=project).stdout

    assert "\\x1b[31mred\\x1b[0m 100.0%" in shown
    assert "\x1b" not in shown


def test_whole_numbers_are_shown_whole(project: Path) -> None:
    """An id of many digits is exact in JSON and readable in the table; a mean of them is no power of ten."""
    (project / "ids.csv").write_text(f"id\n{2**62}\n{2**62 + 1}\n")
    (project / "sums.csv").write_text("sum\n1234567.5\n1234569.5\n")
    for name in ("ids", "sums"):
        mlwright("datasets", "add", f"{name}.csv", "--name", name, cwd=project)

    told = json.loads(mlwright("datasets", "show", "ids", "--json", cwd=project).stdout)
    shown = mlwright("datasets", "show", "sums", cwd=project).stdout

    assert told["tables"][0]["columns"][0]["maximum"] == 2**62 + 1
    assert "max 1,234,570, mean 1,234,568" in shown


def test_the_door_says_why_a_table_cannot_be_read(project: Path) -> None:
    """The version is shown, the reason with a hint in place of the columns, and the command succeeds."""
    added = mlwright("datasets", "add", "bad.csv", "--name", "bad", cwd=project)

    shown = mlwright("datasets", "show", "bad", cwd=project)

    assert (added.returncode, shown.returncode, shown.stderr) == (0, 0, "")
    assert "  row 3 has 1 cells, and there are 2 columns\n  hint: write that row" in shown.stdout


def test_the_door_shows_what_differs_and_always_succeeds(project: Path) -> None:
    """`datasets diff`: files, rows, columns with their shift, marks, and what chance does to few rows."""
    for name in ("one.csv", "two.csv"):
        mlwright("datasets", "add", name, "--name", "patients", cwd=project)

    shown = mlwright("datasets", "diff", "patients@1", "patients@2", cwd=project)
    same = mlwright("datasets", "diff", "patients", "patients@2", cwd=project)

    assert (shown.returncode, same.returncode) == (0, 0)
    text = shown.stdout
    assert text.startswith("patients@1 -> patients@2\n")
    assert "table      one.csv -> two.csv\n  rows     3 -> 4\n" in text
    (age,) = [line for line in text.splitlines() if line.startswith("  age")]
    assert "41 -> 61" in age and "0.0% -> 25.0%" in age and age.endswith("large")
    assert "few rows: chance alone gives a psi of" in text
    assert same.stdout == "patients@2 -> patients@2\nthe same bytes\n"


def test_the_door_shortens_long_lists(project: Path) -> None:
    """Of many files types are shown; `--files` lists every one, of `show` and of `diff`."""
    (project / "many").mkdir()
    for number in range(30):
        (project / "many" / f"{number:02}.txt").write_text(str(number))
    mlwright("datasets", "add", "many", "--name", "many", cwd=project)
    (project / "few").mkdir()
    (project / "few" / "00.txt").write_text("0")
    mlwright("datasets", "add", "few", "--name", "few", cwd=project)

    short = mlwright("datasets", "show", "many", cwd=project).stdout
    long = mlwright("datasets", "show", "many", "--files", cwd=project).stdout
    gone = mlwright("datasets", "diff", "many", "few", cwd=project).stdout
    every = mlwright("datasets", "diff", "many", "few", "--files", cwd=project).stdout

    assert "  .txt  30 files  50 bytes" in short and "29.txt" not in short
    assert all(f"  {number:02}.txt" in long for number in range(30))
    assert "files      29 removed, 1 unchanged" in gone
    assert "  remove  ...     19 more: --files lists them" in gone
    assert every.count("  remove") == 29


def test_the_door_searches_and_says_none(project: Path) -> None:
    """`datasets search` shows why; nothing found is no failure, and names what is near."""
    mlwright("datasets", "add", "one.csv", "--name", "patients", "-m", "first export", cwd=project)

    found = mlwright("datasets", "search", "first", "exp", cwd=project)
    none = mlwright("datasets", "search", "pateints", cwd=project)
    nothing = json.loads(mlwright("datasets", "search", "pateints", "--json", cwd=project).stdout)
    signs = mlwright("datasets", "search", "--", '"*', cwd=project)

    assert found.stdout.splitlines()[1].endswith("message: [first] [export]")
    assert (none.returncode, none.stdout) == (0, "none\nhint: there is `patients`\n")
    assert nothing == []
    assert (signs.returncode, "no word" in signs.stderr) == (2, True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--tag", "x"], "'x' is not a tag"),
        (["--tag", "a=1", "--tag", "a=2"], "the tag `a` is given twice"),
    ],
)
def test_the_door_refuses_what_is_no_tag(given: list[str], words: str, project: Path) -> None:
    """Wrong usage, in one message, also with --dry-run."""
    for more in ([], ["--dry-run"]):
        done = mlwright("datasets", "add", "one.csv", "--name", "patients", *given, *more, cwd=project)

        assert (done.returncode, words in done.stderr) == (2, True)


def test_the_verbs_of_the_command_line_are_those_of_python(project: Path) -> None:
    """`Project.datasets` reads tables too: with our own interpreter, where the project's has no pyarrow."""
    with Project.open(project) as opened:
        opened.datasets.add(project / "one.csv", "patients", tags={"source": "clinic"})

        detail = opened.datasets.show("patients")
        found = opened.datasets.search("clinic")

        assert detail.tables[0].rows == 3
        assert [each.version.reference for each in found] == ["patients@1"]
        assert opened.datasets.list()[0].rows == 3
        assert opened.datasets.remove("patients@1").changes[0].subject == "patients@1"


def test_a_list_does_not_need_the_bytes(able: Datasets, workspace: Workspace, table: Path) -> None:
    """Damaged or missing files are told by whoever reads them: what there is can be listed all the same."""
    version, _ = able.add(table, "patients")
    able.show("patients")
    workspace.objects.remove(version.digest)

    (listed,) = able.list()

    assert (listed.version, listed.rows) == (version, None)


def test_a_reader_that_cannot_read_is_said_and_not_remembered(
    workspace: Workspace, able: Datasets, table: Path
) -> None:
    """An interpreter that has no pyarrow after all: one message, and the next one may do better."""
    able.add(table, "patients")
    bare = read_by(workspace, lambda: Path(sys.base_prefix) / "bin" / "python3")

    with pytest.raises(Unavailable, match=r"the table patients\.csv could not be read: No module named"):
        bare.show("patients")

    assert able.show("patients").tables[0].rows == 2


def test_reading_a_table_imports_nothing_of_the_projects(project: Path) -> None:
    """A module of the user's that is called like one that the worker needs is never run."""
    (project / "pyarrow.py").write_text("open('ran', 'w')\n")
    (project / "json.py").write_text("open('ran', 'w')\n")
    mlwright("datasets", "add", "one.csv", "--name", "patients", cwd=project)

    shown = mlwright("datasets", "show", "patients", cwd=project)

    assert "one.csv: 3 rows" in shown.stdout
    assert not list(project.rglob("ran"))
