"""Tables as bodies: CSV, Arrow and Parquet."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from mlwright.serving import Server
from mlwright.serving.problems import Problem
from mlwright.serving.protocols.tables_arrow import (
    ARROW_FILE,
    ARROW_STREAM,
    PARQUET,
    read_arrow,
    read_parquet,
)
from mlwright.serving.protocols.tables_csv import CSV, read_csv
from mlwright.serving.protocols.tables_told import accepted
from mlwright.serving.request import JSON
from mlwright.serving.validation import Validator
from mlwright.versioning.signatures import Column
from tests.serving.conftest import ask

MIB = 2**20
INPUTS = (
    Column("age", "number"),
    Column("visits", "integer", nullable=True),
    Column("smoker", "boolean"),
    Column("ward", "string"),
)
MAX_ROWS = 1000
VALIDATOR = Validator(INPUTS, MAX_ROWS)
FRAME = pd.DataFrame(
    {
        "ward": ["a", 'ü, "b"\nc'],
        "age": [1.5, 2.0],
        "visits": pd.array([3, None], "Int64"),
        "smoker": [True, False],
    }
)
TAKEN = [[1.5, 2.0], [3, None], [True, False], ["a", 'ü, "b"\nc']]


def stream(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return out.getvalue()


def file(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return out.getvalue()


def parquet_of(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    parquet.write_table(table, out, **options)
    return out.getvalue()


def csv(body: bytes) -> list[list[Any]]:
    return plain(read_csv(body, INPUTS, VALIDATOR, MAX_ROWS))


def arrow(body: bytes) -> list[list[Any]]:
    return plain(read_arrow(body, VALIDATOR, MAX_ROWS, MIB))


def of_parquet(body: bytes) -> list[list[Any]]:
    return plain(read_parquet(body, VALIDATOR, MAX_ROWS, MIB))


def plain(columns: Any) -> list[list[Any]]:
    return [each.tolist() if isinstance(each, np.ndarray) else list(each) for each in columns]


def refused(read: Callable[[bytes], Any], body: bytes) -> tuple[int, str]:
    """The status and the sentence that a body is refused with."""
    with pytest.raises(Problem) as caught:
        read(body)
    return caught.value.http_status, caught.value.message


TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)
WORDS = TABLE.set_column(0, "ward", TABLE["ward"].dictionary_encode())


def test_csv_as_pandas_writes_it() -> None:
    """Quotes, line breaks in fields, a mark at the beginning and both ends of a line are taken."""
    text = FRAME.to_csv(index=False)

    assert csv(text.encode()) == csv(text.encode("utf-8-sig")) == TAKEN
    assert csv(text.replace("\n", "\r\n").replace("\r\nc", "\nc").encode()) == TAKEN


@pytest.mark.parametrize(
    ("field", "value", "taken"),
    [
        ("age", "1e3", 1000.0),
        ("age", " 2", 2.0),
        ("visits", "5.0", 5),
        ("visits", "", None),
        ("smoker", "TRUE", True),
        ("ward", "", ""),
        ("ward", "1", "1"),
    ],
)
def test_fields_are_read_as_their_columns_are(field: str, value: str, taken: Any) -> None:
    """Whole numbers with a point, any case of true, and empty fields, as the page says."""
    row = {"age": "1", "visits": "1", "smoker": "true", "ward": "a"} | {field: value}

    got = csv(f"{','.join(row)}\n{','.join(row.values())}\n".encode())

    assert got[list(row).index(field)] == [taken]
    assert type(got[list(row).index(field)][0]) is type(taken)


HEADER = b"age,visits,smoker,ward\n"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "it has no header"),
        (b"\xff", 400, "byte 0 is not UTF-8"),
        (HEADER, 422, "`age` must hold at least one row"),
        (HEADER + b"1,2,true\n", 422, "row 0 has 3 fields, and the header 4"),
        (HEADER + b"1,2,true,a,b\n", 422, "row 0 has 5 fields, and the header 4"),
        (HEADER + b'1,2,true,"a\n', 400, "unexpected end of data"),
        (HEADER + b"x,2,true,a\n", 422, 'row 0: `age` must be a number, not the string "x"'),
        (HEADER + b"1,2,true,a\nnan,2,true,a\n", 422, "row 1: `age` must be a finite number, not NaN"),
        (HEADER + b"1_0,2,true,a\n", 422, 'row 0: `age` must be a number, not the string "1_0"'),
        (HEADER + b",2,true,a\n", 422, "row 0: `age` must be a number, not null"),
        (HEADER + b"1,2.5,true,a\n", 422, "row 0: `visits` must be an integer or null, not the number 2.5"),
        (HEADER + b"1," + b"9" * 5000 + b",true,a\n", 422, "row 0: `visits` must be an integer or null"),
        (HEADER + b"1,2,1,a\n", 422, 'row 0: `smoker` must be true or false, not the string "1"'),
        (HEADER + b"1,2,true,a\n" * 1001, 422, "more rows than the 1000 that one request may ask for"),
        (b"," + HEADER + b"0,1,2,true,a\n", 422, "write the table without its index"),
        (b"agee,visits,smoker,ward\n1,2,true,a", 422, "did you mean `age`?"),
        (b"age,visits,smoker,age,ward\n1,2,true,a,b", 422, "`age` is there twice"),
        (HEADER + b"1,2,true," + b"a" * 200_000, 400, "field larger than field limit"),
        (b"1.5,2,true,a\n", 422, "`1.5` is not a column of this model"),
    ],
)
def test_csv_that_does_not_fit_is_refused(body: bytes, status: int, said: str) -> None:
    """What is no table, or not one of this model, is told with the row and the column."""
    assert refused(csv, body)[0] == status
    assert said in refused(csv, body)[1]


@pytest.mark.parametrize("table", [TABLE, WORDS], ids=["plain", "dictionary"])
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_arrow_as_pyarrow_writes_it(table: pa.Table, compression: str | None) -> None:
    """Streams and files, compressed or not, with text as it is or by a dictionary."""
    assert arrow(stream(table, compression=compression)) == TAKEN
    assert arrow(file(table, compression=compression)) == TAKEN


@pytest.mark.parametrize("table", [TABLE, WORDS], ids=["plain", "dictionary"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "gzip"},
        {"use_dictionary": False},
        {"data_page_version": "2.0"},
        {"row_group_size": 1},
    ],
    ids=str,
)
def test_parquet_as_pyarrow_writes_it(table: pa.Table, options: dict[str, Any]) -> None:
    """Files of both versions of pages, in any compression, with and without dictionaries."""
    assert of_parquet(parquet_of(table, **options)) == TAKEN


@pytest.mark.parametrize("kind", ["int8", "uint16", "int32", "uint64", "float16", "float32", "float64"])
def test_numbers_of_every_size_are_taken(kind: str) -> None:
    """A column of numbers may have any of Arrow's types for them."""
    values = pa.array(np.array([1, 2], kind))
    table = TABLE.set_column(1, "age", values).set_column(2, "visits", values)

    assert arrow(stream(table))[:2] == of_parquet(parquet_of(table))[:2] == [[1.0, 2.0], [1, 2]]


def changed(name: str, values: Any) -> pa.Table:
    return TABLE.set_column(TABLE.schema.names.index(name), name, pa.array(values))


BAD_TABLES = [
    (changed("age", [1.5, None]), 422, "row 1: `age` must be a number, not null"),
    (changed("age", [1.5, float("nan")]), 422, "row 1: `age` must be a finite number, not NaN"),
    (changed("age", ["1", "2"]), 422, 'row 0: `age` must be a number, not the string "1"'),
    (changed("visits", pa.array([1, 2**63], "uint64")), 422, "row 1: `visits` must be an integer of 64 bits"),
    (changed("age", [[1], [2]]), 422, "`age` has Arrow's type list<item: int64>"),
    (changed("age", pa.array([1, 2], "timestamp[ms]")), 422, "`age` has Arrow's type timestamp[ms]"),
    (changed("ward", pa.array([b"a", b"b"])), 422, "`ward` has Arrow's type binary"),
    (TABLE.drop_columns(["age"]), 422, "`age` is missing"),
    (TABLE.append_column("x", [[1, 2]]), 422, "`x` is not a column of this model"),
    (TABLE.slice(0, 0), 422, "`age` must hold at least one row"),
    (pa.concat_tables([TABLE] * 501), 422, "holds 1002 rows, and one request may ask for 1000"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "status", "said"), BAD_TABLES, ids=[each[2][:40] for each in BAD_TABLES])
def test_tables_that_do_not_fit_are_refused(table: pa.Table, status: int, said: str) -> None:
    """A table of other columns, types or values is refused in the same words, whatever its format."""
    for code, message in (refused(arrow, stream(table)), refused(of_parquet, parquet_of(table))):
        assert code == status
        assert said.replace("item", "element") in message.replace("item", "element")


def test_what_decodes_to_too_much_is_not_decoded() -> None:
    """A megabyte of one letter takes a kilobyte, and is refused by the sizes in its headers."""
    table = changed("ward", ["a" * MIB, "b" * MIB])
    words = changed("ward", pa.array(["a" * MIB, "b"]).dictionary_encode())
    plain_pages = {"use_dictionary": False, "compression": "zstd"}

    tracemalloc.start()
    said = [
        refused(arrow, stream(table, compression="zstd")),
        refused(arrow, stream(words, compression="zstd")),
        refused(of_parquet, parquet_of(table, **plain_pages)),
        refused(of_parquet, parquet_of(table, compression="zstd")),
    ]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert [status for status, _ in said] == [413] * 4
    assert all("the table decodes to" in message for _, message in said)
    assert peak < 16 * MIB  # of Python's; the tables themselves are Arrow's


def test_a_word_that_stands_in_every_row_is_made_once() -> None:
    """A large text in a dictionary is not multiplied by the rows that mean it."""
    word = "w" * (MIB // 4)
    table = pa.table(
        {"age": np.ones(900), "visits": np.ones(900, int), "smoker": np.ones(900, bool), "ward": [word] * 900}
    )
    coded = table.set_column(3, "ward", table["ward"].dictionary_encode())

    for columns in (arrow(stream(coded)), of_parquet(parquet_of(coded))):
        assert {id(each) for each in columns[3]} == {id(columns[3][0])}
        assert columns[3][0] == word


def test_pages_may_not_lie_and_texts_may_not_grow() -> None:
    """Sizes beyond the file are refused, and so is the encoding in which each text repeats the one before."""
    options = {"use_dictionary": False, "column_encoding": {"ward": "DELTA_BYTE_ARRAY"}}

    assert "DELTA_BYTE_ARRAY is not taken" in refused(of_parquet, parquet_of(TABLE, **options))[1]
    good = parquet_of(TABLE)
    cut = good[:4] + b"\xff" * 60 + good[64:]
    assert refused(of_parquet, cut)[0] == 400


def test_sizes_in_a_compressed_stream_are_believed_before_it_is_decoded() -> None:
    """A buffer that says to decode to terabytes is refused by what it says."""
    body = stream(changed("ward", ["a" * 1000, "b" * 1000]), compression="zstd")
    claim = struct.pack("<q", 2000)

    assert claim in body
    assert refused(arrow, body.replace(claim, struct.pack("<q", 2**42)))[0] == 413


GOOD = [stream(TABLE), stream(WORDS, compression="zstd"), file(TABLE), parquet_of(TABLE), parquet_of(WORDS)]


@given(
    body=st.sampled_from(GOOD),
    changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 40),
)
def test_damaged_tables_are_taken_or_refused(body: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    """Whatever bytes of a table are changed or missing: columns, or a 4xx."""
    damaged = bytearray(body[: len(body) - cut])
    for at, value in changes:
        damaged[at % len(damaged)] = value

    for read in (arrow, of_parquet, csv):
        try:
            columns = read(bytes(damaged))
        except Problem as problem:
            assert 400 <= problem.http_status < 500
        else:
            assert len({len(each) for each in columns}) == 1


@pytest.mark.parametrize(
    ("kind", "write"),
    [
        ("text/csv; charset=utf-8", lambda frame: frame.to_csv(index=False).encode()),
        ("application/vnd.apache.arrow.stream", lambda frame: stream(pa.Table.from_pandas(frame))),
        ("application/vnd.apache.arrow.file", lambda frame: file(pa.Table.from_pandas(frame))),
        ("application/vnd.apache.parquet", lambda frame: frame.to_parquet()),
    ],
)
def test_a_served_model_answers_tables(
    both: Server, tree: Pipeline, visits: pd.DataFrame, kind: str, write: Callable[[pd.DataFrame], bytes]
) -> None:
    """Every format is answered as the model answers the table directly, missing values included."""
    rows = visits.head(30)
    body = write(rows.reset_index(drop=True))

    answered = ask(both.url, "POST", "/models/back/predict", body, {"content-type": kind})

    assert answered.status == 200, answered.body
    assert answered.json["predictions"] == tree.predict(rows).tolist()


@pytest.mark.parametrize("kind", ["application/x-pickle", "application/python-pickle", "text/html"])
def test_a_pickle_is_never_read(both: Server, kind: str) -> None:
    """What is not one of the formats is 415, and the formats are named."""
    answered = ask(both.url, "POST", "/predict", b"\x80\x04.", {"content-type": kind})

    assert answered.status == 415
    assert "text/csv" in answered.json["detail"]


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("text/csv", CSV),
        ("text/*", CSV),
        ("application/json;q=0.5, text/csv", CSV),
        ("application/vnd.apache.parquet, */*;q=0.1", PARQUET),
        ("application/vnd.apache.arrow.stream;q=0.9,text/csv;q=0.8", ARROW_STREAM),
        ("*/*, application/json;q=0", CSV),
        ("text/csv;q=0, text/*", None),
        ("image/png", None),
        ("text/csv;q=much", None),
        ("text/csv;q=nan", None),
    ],
)
def test_an_answer_has_the_form_that_is_wanted_most(accept: str, given: str | None) -> None:
    """JSON where nothing is said, and 406 with what there is where nothing of it is accepted."""
    if given is not None:
        assert accepted(accept) == given
        return
    with pytest.raises(Problem, match="the answer can be application/json, text/csv") as told:
        accepted(accept)
    assert told.value.http_status == 406


def test_answers_come_as_tables(served: Server, frame: pd.DataFrame, forest: RandomForestClassifier) -> None:
    """CSV, Arrow and Parquet hold what JSON says, with a column for each class where they are asked for."""
    rows = frame.head(3)
    body = rows.to_csv(index=False).encode()

    def told(kind: str) -> Any:
        headers = {"content-type": "text/csv", "accept": kind}
        answer = ask(served.url, "POST", "/predict?proba=1", body, headers)
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["x-mlwright-model"] == "diagnosis@1"
        assert answer.headers["x-mlwright-prediction-id"]
        return answer.body

    wanted = pd.DataFrame({"prediction": forest.predict(rows)})
    for name, shares in zip(forest.classes_, forest.predict_proba(rows).T, strict=True):
        wanted[f"probability_{name}"] = shares
    for found in (
        pd.read_csv(io.BytesIO(told(CSV))),
        pa.ipc.open_stream(told(ARROW_STREAM)).read_all().to_pandas(),
        pa.ipc.open_file(told(ARROW_FILE)).read_all().to_pandas(),
        pd.read_parquet(io.BytesIO(told(PARQUET))),
    ):
        pd.testing.assert_frame_equal(found, wanted, check_dtype=False)


def test_nothing_that_is_accepted_is_406(served: Server, frame: pd.DataFrame) -> None:
    """The problem names what there is."""
    headers = {"content-type": "text/csv", "accept": "image/png"}

    answer = ask(served.url, "POST", "/predict", frame.head(1).to_csv(index=False).encode(), headers)

    assert answer.status == 406
    assert "application/vnd.apache.parquet" in answer.json["detail"]
