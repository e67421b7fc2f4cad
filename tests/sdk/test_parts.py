"""Tables that are cut into parts, and written with more columns."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from mlwright.kernel.errors import Corrupt, Invalid
from mlwright.sdk.parts import Part, form_of
from mlwright.sdk.parts_text import Delimited

KINDS = {"prediction": "string", "share": "number"}


def parts_of(file: str, data: bytes, rows: int) -> list[Part]:
    return list(form_of(file, "it").parts(io.BytesIO(data), file, rows))


def read(file: str, data: bytes, rows: int, *names: str) -> list[dict[str, Any]]:
    """What each part holds."""
    form = form_of(file, "it")
    return [form.read(io.BytesIO(data), each, names) for each in parts_of(file, data, rows)]


def written(file: str, data: bytes, target: Path, *, rows: int = 2, only: bool = False) -> bytes:
    """The table with two columns more: the number of each row, and half of it."""
    form, parts = form_of(file, "it"), parts_of(file, data, rows)

    def more(part: Part) -> Mapping[str, list[Any]]:
        numbers = range(part.first, part.first + part.rows)
        return {"prediction": [str(each) for each in numbers], "share": [each / 2 for each in numbers]}

    form.write(io.BytesIO(data), target, ((each, more(each)) for each in parts), KINDS, only=only)
    return target.read_bytes()


def table(columns: Mapping[str, list[Any]], file: str, groups: int = 3) -> bytes:
    """A table as Parquet or Arrow, in row groups or batches of some rows."""
    made, out = pa.table(dict(columns)), io.BytesIO()
    if file.endswith(".parquet"):
        parquet.write_table(made, out, row_group_size=groups)
    else:
        new = pa.ipc.new_stream if file.endswith(".ipc") else pa.ipc.new_file
        with new(out, made.schema) as writer:
            writer.write_table(made, max_chunksize=groups)
    return out.getvalue()


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)


@given(
    st.lists(st.tuples(CELL, CELL), max_size=9),
    st.integers(1, 4),
    st.sampled_from([("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]),
)
def test_parts_of_csv_are_what_a_reader_of_csv_finds(
    rows: list[tuple[str, str]], most: int, form: tuple[str, Literal[0, 1]]
) -> None:
    """Whatever stands in cells: quotes, separators, line ends; all rows are there once, in their order."""
    out, (end, quoting) = io.StringIO(newline=""), form
    csv.writer(out, lineterminator=end, quoting=quoting).writerows([("a", "b"), *rows])
    data = out.getvalue().encode()

    parts = parts_of("t.csv", data, most)
    found = read("t.csv", data, most, "b", "a")

    assert [each.first for each in parts] == [*range(0, len(rows), most)]
    both = [zip(each["columns"]["a"], each["columns"]["b"], strict=True) for each in found]
    assert [row for each in both for row in each] == rows


@given(st.lists(st.tuples(CELL, CELL), max_size=9), CELL)
def test_cells_of_csv_are_quoted_where_they_have_to_be(rows: list[tuple[str, str]], label: str) -> None:
    """What is written is read back: the rows, and the label behind each."""
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    source = io.BytesIO(out.getvalue().encode())
    parts = ((each, {"label": [label] * each.rows}) for each in parts_of("t.csv", source.getvalue(), 2))

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "t.csv")
        Delimited(",").write(source, target, parts, {"label": "string"}, only=False)
        found = [*csv.reader(io.StringIO(target.read_bytes().decode(), newline=""))]

    assert found == [["a", "b", "label"], *([*row, label] for row in rows)]


def test_rows_of_text_keep_their_bytes(tmp_path: Path) -> None:
    """Zeros in front, spaces, quotes and line ends stay; empty lines go; the last line gets its end."""
    data = b'\xef\xbb\xbfid,"n"\r\n007, 1.50\r\n\r\n"8\n",""\r\n9,x'

    assert written("t.csv", data, tmp_path / "t.csv") == (
        b'\xef\xbb\xbfid,"n",prediction,share\r\n007, 1.50,0,0.0\r\n"8\n","",1,0.5\r\n9,x,2,1.0\n'
    )
    assert written("t.csv", data, tmp_path / "t.csv", only=True) == (
        b"prediction,share\r\n0,0.0\r\n1,0.5\r\n2,1.0\n"
    )
    assert (
        written("t.tsv", b"a\tb\n1,2\t3\n", tmp_path / "t.tsv")
        == b"a\tb\tprediction\tshare\n1,2\t3\t0\t0.0\n"
    )


def test_objects_of_json_lines_get_more_names(tmp_path: Path) -> None:
    """Each line stays as it was, with more behind it; what a line lacks stays missing."""
    data = b'{"a": 1.0, "b": [1]}\n\n{ "b":{}, "a":null }\n{}\n'

    assert read("t.jsonl", data, 2, "a") == [{"rows": [{"a": 1.0}, {"a": None}]}, {"rows": [{}]}]
    lines = written("t.jsonl", data, tmp_path / "t.jsonl").splitlines()
    assert lines[0] == b'{"a": 1.0, "b": [1], "prediction": "0", "share": 0.0}'
    assert [json.loads(line)["share"] for line in lines] == [0.0, 0.5, 1.0]
    with pytest.raises(Invalid, match="row 1 is not JSON"):
        read("t.jsonl", b'{"a": 1}\n{"a": 1\n', 1, "a")
    with pytest.raises(Invalid, match="a column `share` already"):
        written("t.jsonl", b'{"share": 1}\n', tmp_path / "t.jsonl")


@pytest.mark.parametrize("file", ["t.parquet", "t.arrow", "t.ipc"])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 100])
def test_parts_of_parquet_and_arrow_begin_anywhere(file: str, rows: int, tmp_path: Path) -> None:
    """Row groups and batches of three rows, parts of others: each row is there once, with its types."""
    data = table({"a": [*range(8)], "b": [None, *"bcdefgh"]}, file)

    found = read(file, data, rows, "b", "none")
    (tmp_path / file).write_bytes(written(file, data, tmp_path / "made", rows=rows))

    assert [cell for each in found for cell in each["columns"]["b"]] == [None, *"bcdefgh"]
    with (tmp_path / file).open("rb") as source:
        again = parquet.read_table(source) if file == "t.parquet" else pa.ipc.open_file(source).read_all()
    assert again.column("a").to_pylist() == [*range(8)]
    assert again.column("share").to_pylist() == [each / 2 for each in range(8)]
    assert again.schema.names == ["a", "b", "prediction", "share"]


@pytest.mark.parametrize(
    ("file", "data", "said"),
    [
        ("t.csv", b"", "it is empty"),
        ("t.csv", b"a,a\n1,2\n", "two columns `a`"),
        ("t.csv", b"a,b\n1,2\n3\n", "row 1 has 1 cells, and there are 2 columns"),
        ("t.csv", b'a,b\n1,2\n"3"x,4\n', "is not CSV"),
        ("t.csv", b"a,b\n1,\xff\n", "not UTF-8 text"),
        ("t.parquet", b"PAR1", "it is damaged, or no parquet file"),
        ("t.txt", b"", "`t.txt` of it is not a table"),
    ],
)
def test_what_is_no_table_is_told_with_its_place(file: str, data: bytes, said: str) -> None:
    """What is wrong, and where, in one sentence."""
    with pytest.raises((Invalid, Corrupt), match=said):
        form_of(file, "it").columns(io.BytesIO(data))
        read(file, data, 2, "a")
