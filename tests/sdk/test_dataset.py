"""A dataset as a user's code holds it: a reference outside a step, files inside."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlwright import Dataset
from mlwright.kernel.errors import Invalid, NotFound


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """What lies in a store: read-only files without names of their own."""
    stored = {}
    for name, data in {"table.csv": b"age,ill\n41,0\n63,1\n", "sub/notes.txt": b"none"}.items():
        path = tmp_path / f"object-{len(stored)}"
        path.write_bytes(data)
        path.chmod(0o444)
        stored[name] = path
    return stored


@pytest.fixture
def dataset(files: dict[str, Path], tmp_path: Path) -> Dataset:
    """As a step is given it."""
    return Dataset("patients@3", files=files, scratch=tmp_path / "scratch")


@pytest.fixture
def single(files: dict[str, Path], tmp_path: Path) -> Dataset:
    """A dataset of one file."""
    return Dataset("single@1", files={"table.csv": files["table.csv"]}, scratch=tmp_path / "scratch")


def test_outside_a_step_it_is_a_reference() -> None:
    """It is shown, and its files cannot be read: the message says what to do."""
    reference = Dataset("patients@latest")

    assert repr(reference) == "Dataset('patients@latest')"
    for read in (reference.path, reference.open, reference.table, lambda: reference.files):
        with pytest.raises(Invalid, match=r"Dataset\('patients@latest'\) is only a reference here") as raised:
            read()
        assert raised.value.hint


def test_its_files_are_listed_in_order(dataset: Dataset) -> None:
    """Paths relative to the dataset's root."""
    assert dataset.files == ["sub/notes.txt", "table.csv"]


def test_a_path_is_a_copy_under_the_files_own_name(dataset: Dataset, files: dict[str, Path]) -> None:
    """It may be written to, the same copy is given again, and the store does not change."""
    path = dataset.path("sub/notes.txt")

    path.write_bytes(b"edited")

    assert path.name == "notes.txt"
    assert dataset.path("sub/notes.txt").read_bytes() == b"edited"
    assert files["sub/notes.txt"].read_bytes() == b"none"
    with dataset.open("sub/notes.txt") as file:
        assert file.read() == b"none"


def test_one_file_needs_no_name(single: Dataset) -> None:
    """The only file is meant."""
    assert single.path().name == "table.csv"
    assert single.table().column_names == ["age", "ill"]


def test_several_files_need_a_name(dataset: Dataset) -> None:
    """The message says how many there are, the hint names one."""
    with pytest.raises(Invalid, match="dataset patients@3 has 2 files: say which") as raised:
        dataset.open()

    assert "sub/notes.txt" in (raised.value.hint or "")


def test_an_unknown_file_is_said_with_the_known_ones(dataset: Dataset) -> None:
    """No file of that name."""
    with pytest.raises(NotFound, match=r"dataset patients@3 has no file 'table\.parquet'") as raised:
        dataset.table("table.parquet")

    assert "table.csv" in (raised.value.hint or "")


def test_tables_are_read_as_arrow(dataset: Dataset, tmp_path: Path) -> None:
    """CSV and Parquet, whatever the case of the ending; anything else is said to be no table."""
    from pyarrow import parquet

    table = dataset.table("table.csv")
    parquet.write_table(table, tmp_path / "written")
    other = Dataset("other@1", files={"T.PARQUET": tmp_path / "written"}, scratch=tmp_path)

    assert table.to_pydict() == {"age": [41, 63], "ill": [0, 1]}
    assert other.table().equals(table)
    with pytest.raises(Invalid, match=r"`sub/notes\.txt` of dataset patients@3 is not a table"):
        dataset.table("sub/notes.txt")
