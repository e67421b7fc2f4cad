"""Summaries of table files: the same in every format; what is no table is said in words."""

from __future__ import annotations

import datetime
import json
import math
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

from mlwright.sdk.frames import Frame
from mlwright.sdk.ranges import Range
from mlwright.sdk.session import Worker
from mlwright.sdk.summaries import distribute, summarise
from mlwright.sdk.table_files import format_of
from tests.processes import run_python

ROWS = 1000


def of(path: Path) -> dict[str, Any]:
    return summarise(whole(path), format_of(path.name))


def whole(path: Path) -> Range:
    return Range(path, 0, path.stat().st_size)


def columns(path: Path) -> dict[str, dict[str, Any]]:
    told = of(path)
    assert "unreadable" not in told, told
    return {each["name"]: each for each in told["columns"]}


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture(scope="module")
def ages() -> list[float | None]:
    draw = random.Random(1)
    return [None if index % 10 == 0 else round(draw.gauss(50, 10), 3) for index in range(ROWS)]


@pytest.fixture(scope="module")
def table(ages: list[float | None]) -> pa.Table:
    return pa.table(
        {
            "id": range(ROWS),
            "age": pa.array(ages, pa.float64()),
            "ward": ["east" if index % 3 else "west" for index in range(ROWS)],
            "ill": [index % 4 == 0 for index in range(ROWS)],
        }
    )


def _stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as stream:
        stream.write_table(table, max_chunksize=100)


def _lines(table: pa.Table, path: Path) -> None:
    path.write_text("\n".join(json.dumps(row) for row in table.to_pylist()))


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "t.csv": csv.write_csv,
    "t.tsv": lambda table, path: csv.write_csv(table, path, csv.WriteOptions(delimiter="\t")),
    "t.parquet": lambda table, path: parquet.write_table(table, path, row_group_size=300),
    "t.pq": parquet.write_table,
    "t.feather": lambda table, path: feather.write_feather(table, path, compression="lz4"),
    "t.arrow": _stream,
    "t.ipc": lambda table, path: feather.write_feather(table, path, compression="uncompressed"),
    "t.jsonl": _lines,
    "t.ndjson": _lines,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_says_the_same(
    name: str, table: pa.Table, ages: list[float | None], tmp_path: Path
) -> None:
    """Rows, nulls, range, mean, deviation, deciles and frequent values are those of the values themselves."""
    WRITERS[name](table, tmp_path / name)
    numbers = sorted(age for age in ages if age is not None)

    told = of(tmp_path / name)
    pack = tmp_path / "pack"
    pack.write_bytes(b"before" + (tmp_path / name).read_bytes() + b"behind")
    part = Range(pack, 6, (tmp_path / name).stat().st_size)

    assert summarise(part, format_of(name)) == told
    found = {each["name"]: each for each in told["columns"]}
    assert told["rows"] == ROWS
    assert list(found) == ["id", "age", "ward", "ill"]
    age = found["age"]
    assert (age["kind"], age["nulls"], age["minimum"], age["maximum"]) == (
        "number",
        100,
        numbers[0],
        numbers[-1],
    )
    assert age["mean"] == pytest.approx(statistics.fmean(numbers))
    assert age["std"] == pytest.approx(statistics.stdev(numbers))
    assert age["deciles"] == [numbers[math.ceil(tenth / 10 * 900) - 1] for tenth in range(1, 10)]
    assert age["distinct"] == len(set(numbers))
    assert (found["id"]["minimum"], found["id"]["maximum"], found["id"]["distinct"]) == (0, ROWS - 1, ROWS)
    assert found["ward"]["frequent"] == [["east", 666], ["west", 334]]
    assert (found["ward"]["distinct"], found["ward"]["lengths"]) == (2, [4, 4.0, 4])
    assert found["ill"]["frequent"] == [["false", 750], ["true", 250]]


def test_a_column_whose_later_rows_are_of_another_type_is_read_to_the_end(tmp_path: Path) -> None:
    """Integers become numbers, and what is neither becomes text, wherever in a CSV file that shows."""
    rows = 400_000
    lines = ["a,b,c,d"] + ["1,2,,true"] * rows + ["1.5,x,7,true"]
    path = text(tmp_path / "t.csv", "\n".join(lines) + "\n")

    told = of(path)

    found = {each["name"]: each for each in told["columns"]}
    assert told["rows"] == rows + 1
    assert [found[name]["type"] for name in "abcd"] == ["double", "string", "int64", "bool"]
    assert (found["a"]["maximum"], found["c"]["nulls"], found["c"]["maximum"]) == (1.5, rows, 7)
    assert found["b"]["frequent"] == [["2", rows], ["x", 1]]


def test_nan_is_no_value_and_infinity_is_counted_apart(tmp_path: Path) -> None:
    """NaN counts as empty; what is infinite does not spoil range and mean."""
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"x": [1.0, 3.0, math.nan, math.inf, None]}), path)

    x = columns(path)["x"]

    assert (x["nulls"], x["infinite"], x["minimum"], x["maximum"], x["mean"]) == (2, 1, 1.0, 3.0, 2.0)


def test_every_type_that_parquet_has_is_told_or_left_alone(tmp_path: Path) -> None:
    """Times have a range; categories are texts; of nested values and bytes only empty cells are counted."""
    day = datetime.date(2026, 1, 1)
    path = tmp_path / "t.parquet"
    made = pa.table(
        {
            "day": [day, None],
            "moment": pa.array([1, 2], pa.timestamp("ns", "Asia/Seoul")),
            "clock": pa.array([1, 2], pa.time32("ms")),
            "money": pa.array([1, 2], pa.decimal128(10, 2)),
            "large": pa.array([2**63, 2**64 - 1], pa.uint64()),
            "half": pa.array([1.5, None], pa.float16()),
            "category": pa.array(["a", "a"]).dictionary_encode(),
            "list": [[1], None],
            "bytes": [b"1", None],
            "nothing": pa.nulls(2),
            "span": pa.array([1, None], pa.duration("s")),
        }
    )
    parquet.write_table(made, path)

    found = columns(path)

    kinds = ["time"] * 3 + ["number"] * 3 + ["text"] + ["other"] * 4
    assert [each["kind"] for each in found.values()] == kinds
    assert (found["day"]["minimum"], found["day"]["nulls"]) == ("2026-01-01", 1)
    assert found["large"]["maximum"] == 2**64 - 1
    assert found["category"]["frequent"] == [["a", 2]]
    assert [found[name]["nulls"] for name in ("list", "bytes", "nothing", "span")] == [1, 1, 2, 1]


def test_json_lines_may_lack_fields_and_hold_anything(tmp_path: Path) -> None:
    """A field that a line lacks is empty there; objects, lists and mixtures are told as such."""
    lines = ['{"a": 1, "o": {"x": 1}}', "", '{"a": 2.5, "m": true, "l": [1]}', '{"m": "t", "n": null}']
    found = columns(text(tmp_path / "t.jsonl", "\n".join(lines)))

    types = {name: each["type"] for name, each in found.items()}

    assert types == {"a": "double", "o": "object", "m": "mixed", "l": "list", "n": "null"}
    assert (found["a"]["nulls"], found["a"]["mean"]) == (1, 1.75)


def test_a_column_twice_is_two_columns(tmp_path: Path) -> None:
    """Each of them is told, in the order of the file."""
    told = of(text(tmp_path / "t.csv", "a,a\n1,x\n2,y\n"))

    assert [(each["name"], each["type"]) for each in told["columns"]] == [("a", "int64"), ("a", "string")]


@pytest.mark.parametrize(("name", "content"), [("t.csv", "a,b\n"), ("t.tsv", "a\tb\n")])
def test_no_rows_are_told(name: str, content: str, tmp_path: Path) -> None:
    """Column names without a row are columns that hold nothing."""
    told = of(text(tmp_path / name, content))

    assert told["rows"] == 0
    assert [(each["name"], each["nulls"]) for each in told["columns"]] == [("a", 0), ("b", 0)]


def test_an_empty_parquet_file_with_columns_is_told(tmp_path: Path) -> None:
    """No rows, and the types of the columns; no number is made up."""
    parquet.write_table(pa.table({"x": pa.array([], pa.float64())}), tmp_path / "t.parquet")

    x = columns(tmp_path / "t.parquet")["x"]

    assert (x["type"], x["minimum"], x["mean"], x["deciles"]) == ("double", None, None, [])


def test_a_cell_of_a_few_mebibytes_is_read(tmp_path: Path) -> None:
    """A long cell is told by its length, and is not carried along as a value."""
    path = text(tmp_path / "t.csv", "a,b\n1," + "x" * (5 << 20) + "\n2,y\n")
    letter = text(tmp_path / "letter.csv", "a,b\n1," + "x" * 300 + "\n2,y\n")

    b, c = columns(path)["b"], columns(letter)["b"]

    assert b["lengths"][2] == 5 << 20
    assert all(len(value) <= 200 for value, _ in b["frequent"])
    assert (c["distinct"], c["more"], c["frequent"]) == (2, False, [["y", 1]])


BAD: dict[str, tuple[str, bytes, str]] = {
    "nothing": ("t.csv", b"", "Empty CSV file"),
    "a row that is short": ("t.csv", b"a,b\n1,2\n3\n", "row 3 has 1 cells, and there are 2 columns"),
    "a row that is long": ("t.csv", b"a,b\n1,2,3\n", "row 2 has 3 cells, and there are 2 columns"),
    "Latin-1 cells": ("t.csv", "a,b\n1,é\n".encode("latin1"), "b is not UTF-8 text"),
    "Latin-1 far below": (
        "t.csv",
        b"a,b\n" + b"1,e\n" * 700_000 + "1,é\n".encode("latin1"),
        "column 2 is not UTF-8 text",
    ),
    "Latin-1 names": ("t.csv", "é,b\n1,2\n".encode("latin1"), "it is not UTF-8 text"),
    "a huge cell": ("t.csv", b'a\n"' + b"x" * (20 << 20) + b'"\n', "a row is longer than 8 MiB"),
    "no Parquet": ("t.parquet", b"no", "it is damaged, or no parquet file"),
    "half a Parquet": ("half.parquet", b"", "it is damaged, or no parquet file"),
    "a Parquet with bad pages": ("bad.parquet", b"", "it is damaged, or no parquet file"),
    "a Parquet with Latin-1 cells": ("latin.parquet", b"", "it is not UTF-8 text"),
    "no Arrow": ("t.arrow", b"no", "it is damaged, or no arrow file"),
    "no Feather": ("t.feather", b"ARROW1" + b"\0" * 50, "it is damaged, or no arrow file"),
    "no JSON": ("t.jsonl", b'{"a": 1}\n{"a" 1}\n', "line 2 is not JSON"),
    "no object": ("t.jsonl", b'{"a": 1}\n[1]\n', "line 2 is not a JSON object"),
    "no UTF-8 JSON": ("t.jsonl", '{"a": "é"}\n'.encode("latin1"), "line 1 is not UTF-8 text"),
    "an empty JSON": ("t.jsonl", b"\n", "it has no line with a JSON object"),
    "deep JSON": ("t.jsonl", b"[" * 100_000, "line 1 is"),
    "a huge line": ("t.jsonl", b'{"a": "' + b"x" * (9 << 20) + b'"}', "line 1 is longer than 8 MiB"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_table_is_said_in_one_sentence(case: str, table: pa.Table, tmp_path: Path) -> None:
    """Whatever is wrong with a file is an answer with what and where, never an exception."""
    name, content, words = BAD[case]
    path = text(tmp_path / name, content)
    if name == "half.parquet":
        parquet.write_table(table, path)
        path.write_bytes(path.read_bytes()[:-100])
    if name == "latin.parquet":
        parquet.write_table(pa.table({"a": pa.array([b"\xe9"]).view(pa.string())}), path)
    if name == "bad.parquet":
        parquet.write_table(table, path, compression="zstd")
        whole = bytearray(path.read_bytes())
        whole[20:400] = bytes(380)
        path.write_bytes(whole)

    told = of(path)

    assert list(told) == ["unreadable"]
    assert words in told["unreadable"]["message"]
    assert "\n" not in told["unreadable"]["message"]


def test_counts_in_bins_are_those_of_a_plain_count(
    table: pa.Table, ages: list[float | None], tmp_path: Path
) -> None:
    """A cut belongs to the bin below it; the last bin is what is left; empty cells are in none."""
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=300)
    cut = next(age for age in ages if age is not None)
    cuts = sorted([cut, 50.0])
    bins = {"age": {"cuts": cuts}, "ward": {"values": ["west", "south"]}, "ill": {"values": ["true"]}}

    told = distribute(whole(tmp_path / "t.parquet"), "parquet", bins)

    numbers = [age for age in ages if age is not None]
    low, middle = sum(age <= cuts[0] for age in numbers), sum(cuts[0] < age <= cuts[1] for age in numbers)
    assert told["counts"] == {
        "age": [low, middle, len(numbers) - low - middle],
        "ward": [334, 0, 666],
        "ill": [250, 750],
    }


def test_a_worker_answers_and_imports_nothing_of_the_users(tmp_path: Path) -> None:
    """The request is answered by the worker like any other, also with what it cannot read."""
    worker = Worker("w1", alone=False)
    head = {"id": "1", "op": "summarise", "format": "csv"}

    pack = text(tmp_path / "pack", "no table a\n1\n none either")
    good = worker.answer(Frame({**head, "path": str(pack), "start": 9, "size_bytes": 4}))
    bad = worker.answer(Frame({**head, "path": str(pack), "start": 0, "size_bytes": 0}))

    assert (good.head["state"], good.head["rows"]) == ("done", 1)
    assert (bad.head["state"], list(bad.head["unreadable"])) == ("done", ["message", "hint"])


def test_memory_is_bounded_by_batches_not_by_the_file(tmp_path: Path) -> None:
    """A CSV file of 200 MiB takes less than 300 MiB, pyarrow and Python included."""
    path = tmp_path / "t.csv"
    block = "".join(
        f"{index},{index * 0.37:.4f},name-{index * 7919 % 99991},east\n" for index in range(200_000)
    )
    with path.open("w") as file:
        file.write("id,age,who,ward\n")
        while file.tell() < 200 << 20:
            file.write(block)

    said = run_python(
        "import json, re, sys\n"
        "from pathlib import Path\n"
        "from mlwright.sdk.summaries import summarise\n"
        "from mlwright.sdk.ranges import Range\n"
        "path = Path(sys.argv[1])\n"
        "told = summarise(Range(path, 0, path.stat().st_size), 'csv')\n"
        "peak = int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) >> 10\n"
        "print(json.dumps([told['rows'], peak]))\n",
        path,
    )

    rows, peak_mib = json.loads(said.stdout)
    assert rows % 200_000 == 0 and rows > 200_000
    assert peak_mib < 300
