"""What a request may hold."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.serving.bounds import Bounds
from mlwright.serving.problems import MAX_FAULTS, Problem
from mlwright.serving.validation import Validator
from mlwright.serving.walk import Columns, Walk
from mlwright.versioning.signatures import Column

MAX_ROWS = 4
INPUTS = (
    Column("mean radius", "number"),
    Column("visits", "integer"),
    Column("smoker", "boolean"),
    Column("ward", "string", categories=("a", "b")),
    Column("weight", "number", nullable=True),
    Column("children", "integer", nullable=True),
    Column("pregnant", "boolean", nullable=True),
    Column("note. [0] é", "string", nullable=True),
)
ROW = {
    "mean radius": 1.5,
    "visits": 2,
    "smoker": True,
    "ward": "a",
    "weight": 60.5,
    "children": 1,
    "pregnant": False,
    "note. [0] é": "n",
}
VALIDATOR = Validator(INPUTS, MAX_ROWS)

RANGES = (
    Column("mean radius", "number", minimum=-1.0, maximum=2.0),
    Column("visits", "integer", minimum=0.0, maximum=5.0),
    Column("smoker", "boolean"),
    Column("ward", "boolean"),
    Column("weight", "number", nullable=True, minimum=40.0, maximum=90.5),
    Column("children", "integer", nullable=True, minimum=0.0, maximum=2.0),
    Column("pregnant", "boolean", nullable=True),
    Column("note. [0] é", "integer", minimum=-5.0, maximum=5.0),
)
RANGED = Validator(RANGES, MAX_ROWS)
"""Of all columns it is known what training saw."""


def take(body: Any, validator: Validator = VALIDATOR) -> list[list[Any]]:
    """The columns of a request as lists."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return [list(values) for values in validator.columns(data)]


def refuse(body: Any, validator: Validator = VALIDATOR) -> Problem:
    """The problem of a request that must not be taken."""
    with pytest.raises(Problem) as caught:
        take(body, validator)
    return caught.value


def places(problem: Problem) -> list[tuple[int | None, str | None]]:
    return [(fault.row, fault.field) for fault in problem.faults]


def test_rows_and_columns_say_the_same() -> None:
    """Both ways to write a request give the same values, in the signature's order."""
    rows = [ROW, ROW | {"visits": 3, "weight": None}]
    columns = {name: [row[name] for row in rows] for name in reversed(ROW)}

    assert take({"rows": rows}) == take({"columns": columns})
    assert take({"rows": rows})[1] == [2, 3]


@pytest.mark.parametrize(
    ("field", "value", "taken"),
    [
        ("mean radius", 3, 3.0),
        ("mean radius", -0.5, -0.5),
        ("mean radius", 10**30, 1e30),
        ("visits", 5.0, 5),
        ("visits", 1e3, 1000),
        ("visits", 2**63 - 1, 2**63 - 1),
        ("ward", "never seen", "never seen"),
        ("ward", "", ""),
        ("weight", None, None),
        ("children", None, None),
        ("pregnant", None, None),
        ("note. [0] é", None, None),
    ],
)
def test_what_fits_is_taken(field: str, value: Any, taken: Any) -> None:
    """Integers are numbers, integral numbers are integers, unknown categories and declared nulls pass."""
    got = take({"rows": [ROW | {field: value}]})[list(ROW).index(field)]

    assert got == [taken]
    assert type(got[0]) is type(taken)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("mean radius", "1.5", 'must be a number, not the string "1.5"'),
        ("mean radius", True, "must be a number, not true"),
        ("mean radius", None, "must be a number, not null"),
        ("mean radius", [1.5], "must be a number, not a list"),
        ("mean radius", {}, "must be a number, not an object"),
        ("visits", 5.5, "must be an integer, not the number 5.5"),
        ("visits", 2**63, "must be an integer of 64 bits"),
        ("visits", -1e300, "must be an integer of 64 bits"),
        ("visits", False, "must be an integer, not false"),
        ("smoker", 1, "must be true or false, not the number 1"),
        ("smoker", "true", 'must be true or false, not the string "true"'),
        ("smoker", 10**30, "must be true or false, not a number"),
        ("ward", 1, "must be a string, not the number 1"),
        ("ward", None, "must be a string, not null"),
        ("weight", "x" * 100, f'must be a number or null, not the string "{"x" * 37}..."'),
    ],
)
def test_a_wrong_type_is_named(field: str, value: Any, said: str) -> None:
    """The document names the row, the field, what it must be and what it is; by row and by column."""
    by_row = refuse({"rows": [ROW, ROW | {field: value}]})
    by_column = refuse(
        {"columns": {name: [each, each] for name, each in ROW.items()} | {field: [ROW[field], value]}}
    )

    assert by_row.http_status == by_column.http_status == 422
    assert places(by_row) == places(by_column) == [(1, field)]
    assert by_row.faults[0].message == by_column.faults[0].message == said


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 350, "9" * 5000])
@pytest.mark.parametrize("field", ["mean radius", "visits", "weight"])
def test_what_is_not_finite_is_named(text: str, field: str) -> None:
    """NaN, infinities and numbers beyond every float are refused with their row and field."""
    row = json.dumps(ROW | {field: "HERE"}).replace('"HERE"', text)

    problem = refuse(f'{{"rows": [{json.dumps(ROW)}, {row}]}}'.encode())

    assert problem.http_status == 422
    assert places(problem) == [(1, field)]
    assert "finite" in problem.message or "64 bits" in problem.message


def test_a_missing_and_an_extra_column_are_named() -> None:
    """A misspelt column is both, and the right spelling is offered."""
    row = {("mean radus" if name == "mean radius" else name): value for name, value in ROW.items()}

    problem = refuse({"rows": [row]})

    assert places(problem) == [(0, "mean radus"), (0, "mean radius")]
    assert problem.faults[0].message == "is not a column of this model: did you mean `mean radius`?"
    assert problem.faults[1].message == "is missing"


def test_a_column_that_may_be_null_must_be_there() -> None:
    """Null is a value; a column that is left out is more often a mistake."""
    row = {name: value for name, value in ROW.items() if name != "weight"}

    assert places(refuse({"rows": [row]})) == [(0, "weight")]


ONE = {name: [each] for name, each in ROW.items()}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"rows": []}, "`rows` must hold at least one row"),
        ({"columns": ONE | {"visits": []}}, "`visits` must hold at least one row"),
        ({"rows": [ROW] * 5}, "`rows` holds 5 rows, and one request may ask for 4"),
        ({"rows": None}, "`rows` must be a list, not null"),
        ({"rows": [[1]]}, "row 0 must be an object with a value for each column, not a list"),
        ({"columns": []}, "`columns` must be an object with a list for each column, not a list"),
        ({"columns": ONE | {"visits": 1}}, "`visits` must be a list, not the number 1"),
        ({"columns": ONE | {"visits": [1, 2]}}, "`visits` has 2 values, and the columns before it 1"),
        ({"columns": ONE | {"x": [1]}}, "`x` is not a column of this model"),
        ({"rows": [ROW], "columns": ONE}, "the request must hold either `rows` or `columns`, not both"),
        ({"rows": [ROW], "x": 1}, "`x` is not known here: write `rows` or `columns`"),
        ({"instances": [ROW]}, "`instances` is not known here: write `rows` or `columns`"),
        ({}, "the request must hold `rows` or `columns`"),
        ([ROW], "the request must be an object with `rows` or `columns`, not a list"),
        ("x", 'the request must be an object with `rows` or `columns`, not the string "x"'),
        (None, "the request must be an object with `rows` or `columns`, not null"),
    ],
)
def test_a_wrong_shape_is_told(body: Any, said: str) -> None:
    """What is not a request says what one looks like."""
    problem = refuse(body)

    assert (problem.http_status, problem.message) == (422, said)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"rows=1",
        b"\x1f\x8b\x08\x00binary",
        b'{"rows": [{"mean radius": 1.5,}]}',
        b"{'rows': []}",
        b'\xef\xbb\xbf{"rows": []}',
        '{"rows": []}'.encode("utf-16"),
        b'{"rows": [{"ward": "\xff"}]}',
        b'{"rows": []} {}',
        b'{"rows": [{"mean radius": NaN, "mean radius": 1.5}',
    ],
)
def test_what_is_not_json_is_a_bad_request(body: bytes) -> None:
    """Bytes that are not JSON are 400, with the place as far as it is known."""
    problem = refuse(body)

    assert problem.http_status == 400
    assert problem.message.startswith("the body is not JSON: ")


def test_nan_that_a_second_value_hides_is_refused_too() -> None:
    """A document that is no JSON is never taken, even if nothing wrong is left when it is read leniently."""
    body = json.dumps({"rows": [ROW]}).replace('"visits": 2', '"visits": NaN, "visits": 2').encode()

    assert refuse(body).http_status == 400


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"rows":[', b'{"rows":[{"mean radius":[', b'{"x":[['])
def test_deep_nesting_is_the_clients_mistake(opening: bytes) -> None:
    """100,000 levels end in a 4xx, wherever they begin."""
    problem = refuse(opening * 100_000)

    assert problem.http_status in {400, 422}


def test_half_a_surrogate_pair_is_named() -> None:
    """Text that no UTF-8 can hold is refused by its field; the document itself stays readable."""
    body = json.dumps({"rows": [ROW | {"ward": "\ud800", "\ud800": 1}]}).encode()

    problem = refuse(body)

    assert places(problem) == [(0, "?"), (0, "ward")]
    assert msgspec.json.decode(problem.document())["status"] == 422


def test_a_document_names_only_the_first_faults() -> None:
    """A request with thousands of mistakes is answered with a short document."""
    problem = refuse({"rows": [{"unknown": 1}] * MAX_ROWS})

    assert len(problem.faults) == MAX_FAULTS


@pytest.mark.parametrize("name", ['say "a"', "back\\slash", "tab\there", "", "rows", "a b", "ünïcode", "c0"])
def test_a_column_may_have_any_name(name: str) -> None:
    """Quotes, control characters, nothing at all: the column is taken, and named when it is wrong."""
    validator = Validator((Column(name, "number"), Column("c1", "number")), MAX_ROWS)

    taken = take({"rows": [{name: 1, "c1": 2}]}, validator)
    problem = refuse({"rows": [{name: "x", "c1": 2}]}, validator)

    assert taken == [[1.0], [2.0]]
    assert places(problem) == [(0, name)]


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(2**63 - 2, 2**63 + 2),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-5, 5).map(float),
    st.text(max_size=5),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
JSON_LIKE = st.text(alphabet='{}[]":,0123456789.eE+-NaInfitysrowclumn \\u', max_size=80)
BYTES = st.one_of(
    st.binary(max_size=200), JSON_LIKE.map(str.encode), VALUES.map(lambda value: json.dumps(value).encode())
)


@st.composite
def nearly_right(draw: st.DrawFn) -> Any:
    """A right request with a few values replaced and, now and then, a column left out or added."""
    rows = [dict(ROW) for _ in range(draw(st.integers(0, MAX_ROWS + 1)))]
    for row in rows:
        row.update(draw(st.dictionaries(st.sampled_from(sorted(ROW)), VALUES, max_size=2)))
        match draw(st.integers(0, 9)):
            case 0:
                row.update(draw(st.dictionaries(st.text(max_size=3), VALUES, max_size=1)))
            case 1:
                row.pop(draw(st.sampled_from(sorted(ROW))))
    if draw(st.booleans()) and rows:
        return {"columns": {name: [row.get(name) for row in rows] for name in ROW}}
    return {"rows": rows}


@given(request=nearly_right())
def test_the_compiled_type_and_the_walk_agree(request: Any) -> None:
    """What the compiled type takes, the walk takes with the same values; what not, the walk explains."""
    body = json.dumps(request).encode()
    walked: Columns | None
    try:
        walked = Walk(INPUTS, MAX_ROWS).columns(json.loads(body))
    except Problem as problem:
        assert problem.http_status == 422
        assert problem.faults
        walked = None

    try:
        taken: list[list[Any]] | None = take(body)
    except Problem:
        taken = None

    assert taken == walked
    assert repr(taken) == repr(walked)  # 1 and 1.0 are equal, and not the same


@given(request=nearly_right())
def test_what_lies_inside_is_taken_as_all_else(request: Any) -> None:
    """Where one look says that a request is such as training saw, a closer one says the same."""
    body = json.dumps(request).encode()
    inside = RANGED.inside(body)

    columns = None if inside is None else RANGED.columns(body)

    if inside is not None and columns is not None:
        assert [list(values) for values in inside] == [list(values) for values in columns]
        assert repr([*map(list, inside)]) == repr([*map(list, columns)])
        assert Bounds(RANGES).warnings(columns) == []


def test_what_lies_outside_needs_a_closer_look() -> None:
    """A row within all ranges is inside; what has one value beyond, or comes as columns, may not be."""
    row = ROW | {"ward": True, "note. [0] é": 5}
    inside = {"rows": [row, row | {"children": None}]}
    outside = [row | {"visits": 9}, row | {"weight": 99.5}, row | {"smoker": None}, {"visits": 2}]

    assert RANGED.inside(json.dumps(inside).encode()) is not None
    for each in outside:
        assert RANGED.inside(json.dumps({"rows": [row, each]}).encode()) is None
    assert RANGED.inside(json.dumps({"columns": {name: [row[name]] for name in row}}).encode()) is None
    assert VALIDATOR.inside(json.dumps({"rows": [ROW]}).encode()) is None  # of texts it cannot be told


@given(body=BYTES)
def test_any_bytes_are_taken_or_refused(body: bytes) -> None:
    """Whatever arrives ends in columns or in a 4xx problem."""
    try:
        columns = VALIDATOR.columns(body)
    except Problem as problem:
        assert 400 <= problem.http_status < 500
        assert msgspec.json.decode(problem.document())["detail"]
    else:
        assert len(columns) == len(INPUTS)
