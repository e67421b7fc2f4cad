"""What the Open Inference Protocol's requests are taken for, and how they are answered."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.serving.problems import Problem
from mlwright.serving.protocols.v2_inference import Question, Tensors
from mlwright.serving.protocols.v2_tensors import DATATYPES, DTYPES
from mlwright.serving.validation import Validator
from mlwright.versioning.signatures import Column, Example, Output, Signature

MAX_ROWS = 5
MIXED = Signature(
    (
        Column("age", "number"),
        Column("visits", "integer", nullable=True),
        Column("smoker", "boolean"),
        Column("ward", "string", nullable=True),
    ),
    Output("string", classes=("no", "yes")),
    True,
    Example({"age": 1.5, "visits": 1, "smoker": True, "ward": "a"}, "yes"),
)
NUMBERS = Signature(
    (Column("a", "number"), Column("b", "integer"), Column("c", "number", nullable=True)),
    Output("number"),
    False,
    Example({"a": 1.5, "b": 1, "c": 1.5}, 1.5),
)
ONE = Signature((Column("x", "number"),), Output("number"), False, Example({"x": 1.0}, 1.0))


def tensors(signature: Signature) -> Tensors:
    return Tensors("m", "3", signature, Validator(signature.inputs, MAX_ROWS), MAX_ROWS)


def tensor(name: str, datatype: str, shape: Any, data: Any = None, **parameters: Any) -> dict[str, Any]:
    made = {"name": name, "datatype": datatype, "shape": shape}
    made |= {} if data is None else {"data": data}
    return made | ({"parameters": parameters} if parameters else {})


RIGHT = {
    "age": tensor("age", "FP64", [2], [1.5, 2]),
    "visits": tensor("visits", "INT64", [2, 1], [[3], [None]]),
    "smoker": tensor("smoker", "BOOL", [2], [True, False]),
    "ward": tensor("ward", "BYTES", [2], ["é", None]),
}


def ask(signature: Signature, inputs: list[dict[str, Any]], tail: bytes = b"", **more: Any) -> Question:
    """What a request is taken for."""
    head = json.dumps({"inputs": inputs} | more).encode()
    headers = {"inference-header-content-length": str(len(head))} if tail else {}
    return tensors(signature).question(head + tail, headers)


def refuse(signature: Signature, inputs: list[dict[str, Any]], tail: bytes = b"", **more: Any) -> str:
    """Why a request is not taken."""
    with pytest.raises(Problem) as caught:
        ask(signature, inputs, tail, **more)
    assert caught.value.http_status in {400, 422}
    return caught.value.message


def changed(which: str, /, **parts: Any) -> list[dict[str, Any]]:
    """The right inputs, one of them changed."""
    return [
        {key: value for key, value in (each | parts).items() if value is not ...} if which == at else each
        for at, each in RIGHT.items()
    ]


def sized(size: Any) -> dict[str, Any]:
    """The parts of an input whose data are said to follow the JSON."""
    return {"data": ..., "parameters": {"binary_data_size": size}}


def listed(question: Question) -> list[list[Any]]:
    return [each.tolist() if isinstance(each, np.ndarray) else list(each) for each in question.columns]


def test_one_tensor_for_each_column() -> None:
    """Columns in any order, flat or nested, null where one may be missing."""
    question = ask(MIXED, list(reversed(RIGHT.values())), id="7", parameters={"priority": 1})

    assert listed(question) == [[1.5, 2.0], [3, None], [True, False], ["é", None]]
    assert (question.rows, question.proba, question.id) == (2, True, "7")
    assert question.outputs == {"predict": False, "predict_proba": False}


@pytest.mark.parametrize("data", [[1, 2, 3.5, 4, 5, None], [[1, 2, 3.5], [4, 5, None]]])
def test_one_tensor_for_all_columns(data: Any) -> None:
    """Where all columns are numbers, one tensor of rows and columns stands for them."""
    question = ask(NUMBERS, [tensor("input", "FP64", [2, 3], data)])

    assert listed(question) == [[1.0, 4.0], [2, 5], [3.5, None]]


def test_a_model_of_one_column_takes_it_under_either_name() -> None:
    """A single column is its own matrix."""
    assert listed(ask(ONE, [tensor("x", "FP64", [2], [1, 2])])) == [[1.0, 2.0]]
    assert listed(ask(ONE, [tensor("input", "FP64", [2, 1], [1, 2])])) == [[1.0, 2.0]]
    assert listed(ask(ONE, [tensor("input", "FP64", [2], [1, 2])])) == [[1.0, 2.0]]


@pytest.mark.parametrize("datatype", sorted(set(DATATYPES) - {"BOOL", "BYTES"}))
def test_numbers_of_every_datatype_are_the_same_in_json_and_in_binary(datatype: str) -> None:
    """A value is what its datatype makes of it, whichever way it came."""
    values = [1, 3] if "INT" in datatype else [0.1, -3.3]
    if datatype == "BF16":
        raw = (np.array(values, "<f4").view("<u4") + 0x8000 >> 16).astype("<u2").tobytes()
        exact = [0.10009765625, -3.296875]
    else:
        raw = np.array(values, DTYPES[datatype]).tobytes()
        exact = np.array(values, DTYPES[datatype]).tolist()

    by_json = listed(ask(ONE, [tensor("x", datatype, [2], values)]))
    by_bytes = listed(ask(ONE, [tensor("x", datatype, [2, 1], binary_data_size=len(raw))], raw))

    assert by_json == by_bytes == [exact]


def test_bools_and_texts_are_the_same_in_json_and_in_binary() -> None:
    """BOOL is a byte for each value, BYTES are texts after their lengths."""
    texts = b"".join(struct.pack("<I", len(each)) + each for each in ("é".encode(), b""))
    inputs = [
        RIGHT["age"],
        RIGHT["visits"],
        tensor("smoker", "BOOL", [2], binary_data_size=2),
        tensor("ward", "BYTES", [2], binary_data_size=len(texts)),
    ]

    assert listed(ask(MIXED, inputs, b"\x01\x00" + texts))[2:] == [[True, False], ["é", ""]]


BIG = 2**63
BAD: list[tuple[Signature, list[dict[str, Any]], bytes, str]] = [
    (MIXED, [], b"", "the request has no inputs"),
    (MIXED, changed("age", shape=[BIG, BIG]), b"", f"`age` holds {BIG} rows, and one request"),
    (MIXED, changed("age", shape=[2, BIG]), b"", f"`age` has {BIG} columns"),
    (MIXED, changed("age", shape=[BIG]), b"", f"`age` holds {BIG} rows, and one request may ask for 5"),
    (MIXED, changed("age", shape=[10**30]), b"", f"`age` holds {10**30} rows"),
    (MIXED, changed("age", shape=[6]), b"", "`age` holds 6 rows, and one request may ask for 5"),
    (MIXED, changed("age", shape=[-2]), b"", "the shape of `age` has a negative dimension: [-2]"),
    (MIXED, changed("age", shape=[-1, -2]), b"", "the shape of `age` has a negative dimension: [-1, -2]"),
    (MIXED, changed("age", shape=[0]), b"", "must hold at least one row"),
    (MIXED, changed("age", shape=[]), b"", "must be [rows] or [rows, columns], and has 0 dimensions"),
    (MIXED, changed("age", shape=[2, 1, 1]), b"", "has 3 dimensions"),
    (MIXED, changed("age", shape=[1] * 100), b"", "must be [rows] or [rows, columns], and takes 300 bytes"),
    (MIXED, changed("age", shape="2"), b"", 'must be [rows] or [rows, columns], and is "2"'),
    (MIXED, changed("age", shape=[True]), b"", "must be [rows] or [rows, columns], and is [true]"),
    (MIXED, changed("age", shape=[2, 2], data=[1, 2, 3, 4]), b"", "is [rows] or [rows, 1], not [2, 2]"),
    (MIXED, changed("age", data=[1.5]), b"", "holds 1 values, and its shape [2] says 2"),
    (MIXED, changed("age", data=[1] * 100), b"", "holds more than the 2 values of its shape"),
    (MIXED, changed("age", data=[[1.5], [2]]), b"", "value 0 of the data of `age` must be FP64, not a list"),
    (MIXED, changed("visits", data=[[3, 4]]), b"", "row 0 of the data of `visits` is no list of 1 values"),
    (
        MIXED,
        changed("age", data=["1", 2]),
        b"",
        'value 0 of the data of `age` must be FP64, not the string "1"',
    ),
    (MIXED, changed("age", data=[1, True]), b"", "value 1 of the data of `age` must be FP64, not true"),
    (MIXED, changed("age", data="12"), b"", 'the data of `age` must be a list, not the string "12"'),
    (MIXED, changed("age", data=[1, None]), b"", "row 1: `age` must be a number, not null"),
    (MIXED, changed("visits", data=[1, 2.5]), b"", "must be INT64, not the number 2.5"),
    (MIXED, changed("visits", data=[1, BIG]), b"", "value 1 of the data of `visits` is outside of INT64"),
    (MIXED, changed("visits", datatype="UINT8", data=[1, 256]), b"", "is outside of UINT8"),
    (MIXED, changed("visits", datatype="UINT64", data=[1, BIG]), b"", "must be an integer of 64 bits"),
    (MIXED, changed("visits", datatype="FP32", data=[1, 2.5]), b"", "row 1: `visits` must be an integer"),
    (
        MIXED,
        changed("age", datatype="FP16", data=[1, 1e5]),
        b"",
        "value 1 of the data of `age` is outside of FP16",
    ),
    (MIXED, changed("age", datatype="BF16", data=[1e39, 1]), b"", "is outside of BF16"),
    (MIXED, changed("age", data=[1, 10**400]), b"", "holds a number beyond FP64"),
    (MIXED, changed("age", datatype="FP80"), b"", "`FP80` is no datatype: it is one of BOOL, UINT8"),
    (MIXED, changed("age", datatype="BYTES", data=["1", "2"]), b"", "`age` is FP64 (number), not BYTES"),
    (MIXED, changed("smoker", datatype="UINT8", data=[1, 0]), b"", "`smoker` is BOOL (boolean), not UINT8"),
    (MIXED, changed("ward", datatype="FP32", data=[1, 0]), b"", "`ward` is BYTES (string), not FP32"),
    (MIXED, changed("age", data=...), b"", "`age` has neither data nor binary_data_size"),
    (MIXED, changed("age", parameters={"binary_data_size": 16}), b"", "has both data and binary_data_size"),
    (MIXED, changed("age", **sized(-1)), b"", "must be a number of bytes"),
    (MIXED, changed("age", **sized(1.5)), b"", "must be a number of bytes"),
    (MIXED, changed("age", **sized(16)), b"", "of 16, and 0 bytes are left"),
    (MIXED, changed("age", **sized(BIG)), b"x", f"of {BIG}, and 1 bytes are left"),
    (MIXED, changed("age", **sized(8)), bytes(8), "has 8 bytes, and its shape [2] of FP64 takes 16"),
    (MIXED, list(RIGHT.values()), b"xy", "2 bytes after the last tensor belong to none"),
    (MIXED, changed("ward", **sized(4)), b"\xff" * 4, "each after its length in 4 bytes"),
    (MIXED, changed("ward", **sized(4)), bytes(4), "`ward` has 1 values, and its shape says 2"),
    (MIXED, changed("ward", **sized(10)), b"\1\0\0\0a\1\0\0\0\xff", "value 1 of `ward` is not UTF-8"),
    (MIXED, changed("age", parameters={"shared_memory_region": "r"}), b"", "is in shared memory"),
    (
        MIXED,
        changed("age", parameters={"content_type": "pickle"}),
        b"",
        "the content_type of `age` is not known here",
    ),
    (MIXED, changed("age", parameters={"content_type": []}), b"", "the content_type of `age` is not known"),
    (MIXED, changed("age", parameters=[1]), b"", "the parameters of `age` must be an object"),
    (MIXED, changed("age", parameters={"x": "y" * 20_000}), b"", "which is too many"),
    (MIXED, [*RIGHT.values(), RIGHT["age"]], b"", "the input `age` is there twice"),
    (MIXED, changed("age", name="agee"), b"", "`agee` is not a column of this model: did you mean `age`?"),
    (MIXED, [RIGHT["age"]], b"", "`visits` is missing"),
    (MIXED, changed("age", shape=[1], data=[1]), b"", "`visits` has 2 values, and the columns before it 1"),
    (MIXED, [tensor("input", "FP64", [1, 4], [1, 2, 3, 4])], b"", "`input` is not a column of this model"),
    (MIXED, [RIGHT["age"]] * 21, b"", "the request has 21 inputs"),
    (
        NUMBERS,
        [tensor("input", "FP64", [1, 2], [1, 2])],
        b"",
        "the shape of `input` is [rows, 3], not [1, 2]",
    ),
    (NUMBERS, [tensor("input", "FP64", [3], [1, 2, 3])], b"", "the shape of `input` is [rows, 3], not [3]"),
    (
        NUMBERS,
        [tensor("input", "BYTES", [1, 3], ["1", "2", "3"])],
        b"",
        "`input` is FP64 or another of numbers",
    ),
    (
        NUMBERS,
        [tensor("input", "FP64", [1, 3], [1, 2.5, 3])],
        b"",
        "row 0: `b` must be an integer, not the number 2.5",
    ),
    (
        NUMBERS,
        [tensor("input", "FP64", [1, 3], binary_data_size=24)],
        np.array([1, np.nan, np.nan]).tobytes(),
        "row 0: `b` must be a finite number, not NaN",
    ),
]


@pytest.mark.parametrize(("signature", "inputs", "tail", "said"), BAD, ids=[each[3][:60] for each in BAD])
def test_what_is_wrong_is_told_in_one_sentence(
    signature: Signature, inputs: list[dict[str, Any]], tail: bytes, said: str
) -> None:
    """Shapes, sizes, datatypes, names and values that do not fit are refused, and nothing is made of them."""
    assert said in refuse(signature, inputs, tail)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"outputs": [{"name": "proba"}]},
            "`proba` is no output of this model: it has `predict` and `predict_proba`",
        ),
        ({"outputs": [{"name": "predict"}] * 2}, "the output `predict` is asked for twice"),
        ({"outputs": [{"name": "predict", "parameters": {"classification": 3}}]}, "as a classification"),
        ({"outputs": [{"name": "predict", "parameters": {"binary_data": 1}}]}, "must be true or false"),
        (
            {"parameters": {"binary_data_output": "yes"}},
            "binary_data_output of the request must be true or false",
        ),
        ({"ouputs": []}, "unknown field `ouputs`"),
        ({"id": 7}, "Expected `str`, got `int` - at `$.id`"),
    ],
)
def test_what_is_asked_for_must_be_there(more: dict[str, Any], said: str) -> None:
    """Outputs that the model does not have, and flags that are none, are refused by name."""
    assert said in refuse(MIXED, list(RIGHT.values()), **more)


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b"", {}, "is not what the protocol has"),
        (b"[]", {}, "Expected `object`, got `array`"),
        (
            b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [NaN]}]}',
            {},
            "which has no NaN",
        ),
        (b"[" * 100_000, {}, "Expected `object`, got `array`"),
        (b'{"inputs": [{"shape":' + b"[" * 100_000, {}, "nested too deeply"),
        (
            b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": ' + b"[" * 100_000,
            {},
            "deeply",
        ),
        (b"{}", {"inference-header-content-length": "3"}, "must be a number of bytes up to the body's 2"),
        (b"{}", {"inference-header-content-length": "-1"}, "must be a number of bytes"),
        (b"{}", {"inference-header-content-length": "9" * 30}, "must be a number of bytes"),
        (b"{}", {"inference-header-content-length": "\u00b2"}, "must be a number of bytes"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes, headers: dict[str, str], said: str) -> None:
    """What is not JSON, nested without end, or divided where nothing is to divide."""
    with pytest.raises(Problem, match=said) as caught:
        tensors(ONE).question(body, headers)

    assert caught.value.http_status == 400


def test_answers_are_json_unless_binary_is_asked_for() -> None:
    """Outputs come in the order that was asked for, each in its own form, with the request's id."""
    outputs = [{"name": "predict_proba", "parameters": {"binary_data": True}}, {"name": "predict"}]
    question = ask(MIXED, list(RIGHT.values()), outputs=outputs, id="é")
    shares = np.array([[0.25, 0.75], [1, 0]])

    body, headers = tensors(MIXED).answer(question, np.array(["yes", "no"]), shares, "id")

    size = int(dict(headers)[b"inference-header-content-length"])
    assert json.loads(body[:size]) == {
        "model_name": "m",
        "model_version": "3",
        "id": "é",
        "outputs": [
            {
                "name": "predict_proba",
                "datatype": "FP64",
                "shape": [2, 2],
                "parameters": {"classes": '["no","yes"]', "binary_data_size": 32},
            },
            {"name": "predict", "datatype": "BYTES", "shape": [2], "data": ["yes", "no"]},
        ],
    }
    assert body[size:] == shares.tobytes()


def test_all_outputs_may_be_asked_for_as_binary() -> None:
    """binary_data_output holds for each output that says nothing else; text is written after its length."""
    question = ask(MIXED, list(RIGHT.values()), parameters={"binary_data_output": True})

    body, headers = tensors(MIXED).answer(question, ["é", "no"], np.zeros((2, 2), "float32"), "id")

    size = int(dict(headers)[b"inference-header-content-length"])
    told = json.loads(body[:size])
    assert told["id"] == "id"
    assert [each["parameters"]["binary_data_size"] for each in told["outputs"]] == [12, 32]
    assert body[size : size + 12] == b"\2\0\0\0\xc3\xa9\2\0\0\0no"


def test_a_number_that_is_none_is_null() -> None:
    """JSON has no NaN: an answer that is NaN is null, and NaN in binary."""
    plain = ask(ONE, [tensor("x", "FP64", [1], [1])])
    binary = ask(ONE, [tensor("x", "FP64", [1], [1])], parameters={"binary_data_output": True})

    assert b'"data":[null]' in tensors(ONE).answer(plain, np.array([np.nan]), None, "id")[0]
    assert np.isnan(np.frombuffer(tensors(ONE).answer(binary, [np.nan], None, "id")[0][-8:])[0])


def test_the_metadata_tell_what_is_taken_and_given() -> None:
    """Each column with the datatype it is told as, and the outputs; of numbers also the one tensor."""
    told = tensors(NUMBERS).metadata(["3"], "mlwright_sklearn")

    assert told == {
        "name": "m",
        "versions": ["3"],
        "platform": "mlwright_sklearn",
        "inputs": [
            {"name": "a", "datatype": "FP64", "shape": [-1]},
            {"name": "b", "datatype": "INT64", "shape": [-1]},
            {"name": "c", "datatype": "FP64", "shape": [-1]},
        ],
        "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
        "parameters": {
            "instead_of_inputs": "one tensor `input` of FP64 [-1, 3], with the columns in this order"
        },
    }
    assert tensors(MIXED).metadata([], "")["outputs"][1]["shape"] == [-1, 2]


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "binary_data_size", "data"]), inner)
    ),
    max_leaves=6,
)


@given(
    at=st.sampled_from(sorted(RIGHT)),
    part=st.sampled_from(["name", "shape", "datatype", "data", "parameters"]),
    value=JSONISH | st.sampled_from(DATATYPES) | st.lists(st.integers(-3, 4), max_size=3),
    tail=st.binary(max_size=20),
)
def test_any_change_is_taken_or_refused(at: str, part: str, value: Any, tail: bytes) -> None:
    """A right request of which one part is anything ends in columns or in a 4xx."""
    try:
        question = ask(MIXED, changed(at, **{part: value}), tail)
    except Problem as problem:
        assert 400 <= problem.http_status < 500
    else:
        assert {len(each) for each in question.columns} == {question.rows}
