"""Differences: files, columns, rows, and shift that is NumPy's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel.digest import Digest
from mlwright.storage.trees import Entry
from mlwright.versioning import Datasets
from mlwright.versioning.differences import compare_files, tables_to_compare
from mlwright.versioning.summaries import HINT
from mlwright.workspace import Workspace
from tests.versioning.conftest import digest
from tests.versioning.test_catalogue import readers


def entry(path: str, content: str, *, executable: bool = False) -> Entry:
    return Entry(path, len(content), Digest(digest(content)), executable)


FILES = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("0123"), max_size=8)


def entries(files: dict[str, str]) -> list[Entry]:
    return [entry(path, content) for path, content in sorted(files.items())]


def test_files_are_added_removed_changed_and_renamed() -> None:
    """The same bytes under another path are a rename; a mode alone is a change."""
    before = [entry("a", "1"), entry("b", "2"), entry("c", "3"), entry("run", "5"), entry("same", "6")]
    after = [entry("a", "9"), entry("d", "2"), entry("new", "7"), entry("run", "5", executable=True)]
    after += [entry("same", "6"), entry("twin", "2")]

    found = compare_files(before, after)

    assert [each.path for each in found.changed] == ["a", "run"]
    assert [(each.before, each.after) for each in found.renamed] == [("b", "d")]
    assert [each.path for each in found.added] == ["new", "twin"]
    assert [each.path for each in found.removed] == ["c"]
    assert found.unchanged == 1


@given(FILES, FILES)
def test_a_difference_leads_from_one_to_the_other(before: dict[str, str], after: dict[str, str]) -> None:
    """What is removed, renamed, changed and added, done to the first, gives the second; and counts add up."""
    found = compare_files(entries(before), entries(after))

    files = {path: digest(content) for path, content in before.items()}
    for each in found.removed:
        del files[each.path]
    moved = {each.after: files.pop(each.before) for each in found.renamed}
    files |= moved
    files |= {each.path: each.after.digest for each in found.changed}
    assert not files.keys() & {each.path for each in found.added}
    files |= {each.path: each.digest for each in found.added}

    assert files == {path: digest(content) for path, content in after.items()}
    kept = len(found.renamed) + len(found.changed) + found.unchanged
    assert kept + len(found.removed) == len(before)
    assert kept + len(found.added) == len(after)


def test_tables_are_compared_by_path_or_as_the_only_ones() -> None:
    """One path, other bytes; of one file each, whatever it is called; the same bytes are not read."""
    two = [entry("a.csv", "1"), entry("b.parquet", "2"), entry("n.txt", "3")]
    other = [entry("a.csv", "9"), entry("b.parquet", "2"), entry("n.txt", "4")]

    by_path = tables_to_compare(two, other)
    alone = tables_to_compare([entry("old.csv", "1")], [entry("new.parquet", "2")])
    same = tables_to_compare([entry("old.csv", "1")], [entry("new.csv", "1")])

    assert [(one.entry.path, last.entry.digest[0]) for one, last in by_path] == [("a.csv", "9")]
    assert [(one.format, last.format) for one, last in alone] == [("csv", "parquet")]
    assert same == []


@pytest.fixture
def samples(tmp_path: Path) -> tuple[Path, Path]:
    """Two tables of one population, but for the age, the ward and a column each."""
    draw = np.random.default_rng(0)
    paths = tmp_path / "one.csv", tmp_path / "two.csv"
    for path, mean, wards, last in (
        (paths[0], 50, ["east", "west"], "gone"),
        (paths[1], 58, ["east", "east", "west", "south"], "new"),
    ):
        lines = [f"id,age,ward,ill,{last}"]
        for index in range(2000):
            age = "" if index % 10 == 0 and last == "new" else f"{draw.normal(mean, 10):.2f}"
            ill = str(bool(draw.random() < 0.3)).lower()
            identity = index if last == "gone" else f"p{index}"
            lines.append(f"{identity},{age},{wards[draw.integers(len(wards))]},{ill},1")
        path.write_text("\n".join(lines) + "\n")
    return paths


def psi(reference: np.ndarray, current: np.ndarray) -> float:
    """By the deciles of the reference, directly in NumPy."""
    inner = np.quantile(reference, [tenth / 10 for tenth in range(1, 10)], method="inverted_cdf")
    shares = []
    for values in (reference, current):
        bins = np.searchsorted(inner, values, side="left")
        shares.append(np.maximum(np.bincount(bins, minlength=10) / len(values), 1e-4))
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def column(path: Path, at: int) -> list[str]:
    return [line.split(",")[at] for line in path.read_text().splitlines()[1:]]


def test_the_shift_of_each_column_is_that_of_numpy(workspace: Workspace, samples: tuple[Path, Path]) -> None:
    """Numbers by the deciles of the first, texts and booleans by value; rows, types, nulls, means too."""
    datasets = readers(workspace)
    for path in samples:
        datasets.add(path, "patients")

    (table,) = datasets.diff("patients@1", "patients@2").tables

    one, other = (np.array([float(each) for each in column(path, 1) if each]) for path in samples)
    found = {each.name: each for each in table.columns}
    assert table.rows == (2000, 2000)
    assert (table.added, table.removed) == ((("new", "int64"),), (("gone", "int64"),))
    assert list(found) == ["id", "age", "ward", "ill"]
    assert found["age"].psi == pytest.approx(psi(one, other))
    assert found["age"].nulls == (0.0, 0.1)
    assert found["age"].mean == (pytest.approx(one.mean()), pytest.approx(other.mean()))
    assert found["age"].shift == "large"
    assert (found["id"].retyped, found["id"].psi, found["id"].types) == (True, None, ("int64", "string"))
    shares = [[column(path, 2).count(ward) / 2000 for ward in ("east", "west")] for path in samples]
    shares = [np.maximum([*each, 1 - sum(each)], 1e-4) for each in shares]
    direct = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    assert found["ward"].psi == pytest.approx(direct, rel=1e-6)
    assert (found["ill"].shift, found["ill"].psi < 0.02) == ("", True)


def test_the_same_table_in_another_format_has_not_moved(
    workspace: Workspace, samples: tuple[Path, Path], tmp_path: Path
) -> None:
    """A CSV file and the Parquet of it: other bytes, no shift."""
    from pyarrow import csv, parquet

    datasets = readers(workspace)
    parquet.write_table(csv.read_csv(samples[0]), tmp_path / "one.parquet")
    datasets.add(samples[0], "patients")
    datasets.add(tmp_path / "one.parquet", "patients")

    (table,) = datasets.diff("patients@1", "patients").tables

    assert table.paths == ("one.csv", "one.parquet")
    assert [each.psi for each in table.columns] == [0.0] * 5


def test_a_table_that_cannot_be_read_does_not_hide_the_files(workspace: Workspace, tmp_path: Path) -> None:
    """What is wrong with it is said, and the rest of the difference with it."""
    datasets = readers(workspace)
    for number, content in enumerate(["a,b\n1,2\n", "a,b\n1,2\n3\n"]):
        (tmp_path / "t.csv").write_text(content)
        version, _ = datasets.add(tmp_path / "t.csv", "t")
        assert version.number == number + 1

    difference = datasets.diff("t@1", "t@2")

    assert [each.path for each in difference.files.changed] == ["t.csv"]
    assert difference.tables[0].unreadable == "t.csv: row 3 has 1 cells, and there are 2 columns"


def test_nothing_differs_between_a_version_and_itself(datasets: Datasets, table: Path) -> None:
    """The same bytes: no file, no table, whoever can read."""
    datasets.add(table, "patients")

    difference = datasets.diff("patients@1", "patients@latest")

    assert (bool(difference.files), difference.tables, difference.files.unchanged) == (False, (), 1)


def test_the_difference_is_json(workspace: Workspace, samples: tuple[Path, Path]) -> None:
    """Every value of it can be written, and read back, as JSON."""
    import msgspec

    datasets = readers(workspace)
    for path in samples:
        datasets.add(path, "patients")

    told = json.loads(msgspec.json.encode(datasets.diff("patients@1", "patients@2")))

    assert told["tables"][0]["columns"][1]["name"] == "age"
    assert told["before"]["name"] == "patients"


def test_columns_of_one_name_are_compared_in_their_order(workspace: Workspace, tmp_path: Path) -> None:
    """A name twice is two columns; their values cannot be told apart, so no shift is said of them."""
    datasets = readers(workspace)
    for content in ("a,a,b\n1,x,1\n2,y,2\n", "a,a,b\n1,x,1\n2,y,3\n"):
        (tmp_path / "t.csv").write_text(content)
        datasets.add(tmp_path / "t.csv", "t")

    (table,) = datasets.diff("t@1", "t@2").tables

    assert [(each.name, each.types[0]) for each in table.columns] == [
        ("a", "int64"),
        ("a", "string"),
        ("b", "int64"),
    ]
    assert [each.psi is None for each in table.columns] == [True, True, False]


def test_where_nothing_reads_tables_the_files_are_compared(datasets: Datasets, table: Path) -> None:
    """Without pyarrow there is the hint in place of the columns."""
    datasets.add(table, "patients")
    table.write_text("age,ill\n1,0\n")
    datasets.add(table, "patients")

    difference = datasets.diff("patients@1", "patients@2")

    assert [each.path for each in difference.files.changed] == ["patients.csv"]
    assert (difference.tables[0].rows, difference.tables[0].hint) == ((None, None), HINT)
