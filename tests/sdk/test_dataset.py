"""A dataset as a user's code holds it: a reference outside a step, files inside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlwright import Dataset
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.sdk.ranges import Range
from mlwright.sdk.report import close_journal, open_journal


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Range]:
    """What lies in a store: read-only files without names of their own, small ones side by side."""
    table, notes, pack = b"age,ill\n41,0\n63,1\n", b"none", tmp_path / "pack"
    (tmp_path / "object").write_bytes(table)
    pack.write_bytes(b"before" + notes + b"after")
    for path in (tmp_path / "object", pack):
        path.chmod(0o444)
    return {"table.csv": whole(tmp_path / "object"), "sub/notes.txt": Range(pack, 6, len(notes))}


def whole(path: Path) -> Range:
    """A file of its own."""
    return Range(path, 0, path.stat().st_size)


@pytest.fixture
def dataset(files: dict[str, Range], tmp_path: Path) -> Dataset:
    """As a step is given it."""
    return Dataset("patients@3", files=files, scratch=tmp_path / "scratch")


@pytest.fixture
def single(files: dict[str, Range], tmp_path: Path) -> Dataset:
    """A dataset of one file."""
    return Dataset("single@1", files={"table.csv": files["table.csv"]}, scratch=tmp_path / "scratch")


def test_in_a_step_a_reference_of_its_own_is_refused(tmp_path: Path) -> None:
    """Nobody would know what the step has read: the message says what to do."""
    reference = Dataset("patients@latest")
    open_journal(tmp_path / "journal", tmp_path)

    try:
        for read in (reference.path, reference.open, reference.table, lambda: reference.files):
            with pytest.raises(Invalid, match=r"Dataset\('patients@latest'\) is only a reference") as raised:
                read()
            assert raised.value.hint
    finally:
        close_journal()

    assert repr(reference) == "Dataset('patients@latest')"


def test_its_files_are_listed_in_order(dataset: Dataset) -> None:
    """Paths relative to the dataset's root."""
    assert dataset.files == ["sub/notes.txt", "table.csv"]


def test_a_path_is_a_copy_under_the_files_own_name(dataset: Dataset, files: dict[str, Range]) -> None:
    """It may be written to, the same copy is given again, and the store does not change."""
    path = dataset.path("sub/notes.txt")

    path.write_bytes(b"edited")

    assert path.name == "notes.txt"
    assert dataset.path("sub/notes.txt").read_bytes() == b"edited"
    assert files["sub/notes.txt"].read() == b"none"
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
    other = Dataset("other@1", files={"T.PARQUET": whole(tmp_path / "written")}, scratch=tmp_path)

    assert table.to_pydict() == {"age": [41, 63], "ill": [0, 1]}
    assert other.table().equals(table)
    with pytest.raises(Invalid, match=r"`sub/notes\.txt` of dataset patients@3 is not a table"):
        dataset.table("sub/notes.txt")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "arrow", "feather", "ipc", "jsonl"])
def test_every_kind_of_table_is_read(tmp_path: Path, suffix: str, packed: bool) -> None:
    """The same rows from every format, as a file of its own and beside others; only the asked columns."""
    import pyarrow as pa
    from pyarrow import csv, feather, parquet

    table, file = pa.table({"age": [41, 63], "name": ["a", "b"]}), tmp_path / "file"
    if suffix in {"csv", "tsv"}:
        csv.write_csv(table, file, csv.WriteOptions(delimiter="," if suffix == "csv" else "\t"))
    elif suffix == "parquet":
        parquet.write_table(table, file)
    elif suffix == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        feather.write_feather(table, str(file), compression="uncompressed")
    found = whole(file)
    if packed:
        (tmp_path / "pack").write_bytes(b"x" * 7 + file.read_bytes() + b"y")
        found = Range(tmp_path / "pack", 7, found.size_bytes)

    dataset = Dataset("t@1", files={f"t.{suffix}": found}, scratch=tmp_path)

    assert dataset.table().to_pylist() == table.to_pylist()
    assert dataset.table(columns=["name"]).to_pydict() == {"name": ["a", "b"]}


def test_an_arrow_stream_is_a_table_too(tmp_path: Path) -> None:
    """What Arrow wrote as a stream, and not as a file with a footer, is read as well, also in part."""
    import pyarrow as pa

    table = pa.table({"age": [41, 63], "name": ["a", "b"]})
    with pa.ipc.new_stream(str(tmp_path / "t"), table.schema) as stream:
        stream.write_table(table)
    dataset = Dataset("t@1", files={"t.arrow": whole(tmp_path / "t")}, scratch=tmp_path)

    rows, names = dataset.table(), dataset.table(columns=["name"])

    assert rows.equals(table)
    assert names.to_pydict() == {"name": ["a", "b"]}


@pytest.mark.parametrize("wrong", [b"", b"no", b"ARROW1" + b"\0" * 50, b"\xff" * 40])
def test_what_is_no_arrow_file_is_said_to_be_none(tmp_path: Path, wrong: bytes) -> None:
    """Other bytes under the ending of Arrow are refused in our words, whatever Arrow says of them."""
    (tmp_path / "t").write_bytes(wrong)
    dataset = Dataset("t@1", files={"t.arrow": whole(tmp_path / "t")}, scratch=tmp_path)

    with pytest.raises(Invalid, match=r"`t\.arrow` of dataset t@1 cannot be read as a table"):
        dataset.table()


def test_many_tables_are_one(tmp_path: Path) -> None:
    """Files with the same columns are read as one table in the order of their names; others are refused."""
    for name, text in {"b.csv": "x\n2\n", "a.csv": "x\n1\n", "c.csv": "y\n3\n"}.items():
        (tmp_path / name).write_text(text)
    found = {name: whole(tmp_path / name) for name in ("b.csv", "a.csv")}

    assert Dataset("t@1", files=found, scratch=tmp_path).table().to_pydict() == {"x": [1, 2]}
    odd = Dataset("t@1", files={**found, "c.csv": whole(tmp_path / "c.csv")}, scratch=tmp_path)
    with pytest.raises(Invalid, match=r"`c\.csv` of dataset t@1 has other columns than `a\.csv`"):
        odd.table()


def test_a_table_is_taken_without_a_copy(tmp_path: Path) -> None:
    """pandas, Polars and DuckDB read the table's own memory."""
    import duckdb
    import polars as pl
    import pyarrow as pa
    from pyarrow import feather

    feather.write_feather(pa.table({"x": list(range(1000))}), str(tmp_path / "t"), compression="uncompressed")
    rows = Dataset("t@1", files={"t.arrow": whole(tmp_path / "t")}, scratch=tmp_path).table()
    held = rows.column("x").chunk(0).buffers()[1].address

    assert pl.from_arrow(rows)["x"].to_arrow().buffers()[1].address == held
    assert rows.to_pandas(zero_copy_only=True, split_blocks=True)["x"].to_numpy().ctypes.data == held
    assert duckdb.sql("SELECT sum(x) FROM rows").fetchall() == [(499500,)]


def test_the_path_of_several_files_is_their_folder(dataset: Dataset) -> None:
    """Every file stands below it under its own path."""
    folder = dataset.path()

    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "sub/notes.txt",
        "table.csv",
    ]
    assert (folder / "sub/notes.txt").read_bytes() == b"none"


def test_a_damaged_table_is_said_in_one_message(tmp_path: Path) -> None:
    """Bytes that are no Parquet raise Invalid with the file's name."""
    (tmp_path / "t").write_bytes(b"no parquet at all")
    dataset = Dataset("t@1", files={"t.parquet": whole(tmp_path / "t")}, scratch=tmp_path)

    with pytest.raises(Invalid, match=r"`t\.parquet` of dataset t@1 cannot be read as a table"):
        dataset.table()
