"""What an annotation says, as plain data."""

from __future__ import annotations

import enum
import inspect
import pathlib
import typing
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright import Dataset
from mlwright.kernel.errors import Invalid
from mlwright.sdk.types import a_type, output_hints, output_types, parameter_spec, type_name
from tests.sdk import made

ANY = {"kind": "any"}
INTEGER = {"kind": "integer"}
SPECS = st.recursive(
    st.sampled_from([
        (int, INTEGER), (float, {"kind": "number"}), (str, {"kind": "string"}), (bool, {"kind": "boolean"}),
        (Any, ANY),
    ]),
    lambda inner: st.one_of(
        inner.map(lambda pair: (list[pair[0]], {"kind": "list", "of": pair[1]})),
        inner.map(lambda pair: (tuple[pair[0], ...], {"kind": "list", "of": pair[1]})),
        inner.map(lambda pair: (dict[str, pair[0]], {"kind": "dict", "of": pair[1]})),
    ),
    max_leaves=4,
)  # fmt: skip


@given(SPECS)
def test_a_type_put_together_is_described_by_its_parts(pair: tuple[Any, dict[str, Any]]) -> None:
    """Lists, tuples and dictionaries of any depth."""
    annotation, spec = pair

    assert parameter_spec(annotation) == spec


@pytest.mark.parametrize(
    ("annotation", "spec"),
    [
        (Dataset, {"kind": "dataset"}),
        (type(None), {"kind": "null"}),
        (list, {"kind": "list", "of": ANY}),
        (tuple, {"kind": "list", "of": ANY}),
        (tuple[int, int], {"kind": "list", "of": INTEGER}),
        (dict, {"kind": "dict", "of": ANY}),
        (Literal["a", 1, None], {"kind": "choice", "values": ["a", 1, None]}),
        (int | None, {"kind": "union", "of": [INTEGER, {"kind": "null"}]}),
        (Optional[int], {"kind": "union", "of": [INTEGER, {"kind": "null"}]}),  # noqa: UP045
        (typing.Union[int, str], {"kind": "union", "of": [INTEGER, {"kind": "string"}]}),  # noqa: UP007
        (Dataset | None, {"kind": "union", "of": [{"kind": "dataset"}, {"kind": "null"}]}),
    ],
)
def test_a_type_is_described(annotation: Any, spec: dict[str, Any]) -> None:
    """Choices keep their values, unions their members."""
    assert parameter_spec(annotation) == spec


@pytest.mark.parametrize(
    ("default", "spec"),
    [
        (None, ANY),
        (3, INTEGER),
        (True, {"kind": "boolean"}),
        ([1], {"kind": "list", "of": ANY}),
        ((1,), {"kind": "list", "of": ANY}),
        (Dataset("a"), {"kind": "dataset"}),
    ],
)
def test_a_default_tells_the_type_where_no_annotation_does(default: Any, spec: dict[str, Any]) -> None:
    """Without either it may be anything."""
    assert parameter_spec(inspect.Parameter.empty, default) == spec


class Colour(enum.Enum):
    """No JSON value."""

    RED = "red"


@pytest.mark.parametrize(
    "annotation",
    [
        set[int],
        pathlib.Path,
        bytes,
        object,
        made.Split,
        dict[int, str],
        tuple[int, str],
        Literal[b"a"],
        Literal[Colour.RED],
        list[set[int]],
        int | bytes,
    ],
)
def test_a_type_that_a_command_line_cannot_give_is_refused(annotation: Any) -> None:
    """The message names it, the hint what can be used."""
    with pytest.raises(Invalid, match="a pipeline's parameter cannot be of type") as raised:
        parameter_spec(annotation)

    assert "Dataset" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (list[int], "list[int]"),
        (Any, "Any"),
        (int | None, "int | None"),
        (made.Split, "tests.Split"),
        (pathlib.PurePosixPath, "pathlib.PurePosixPath"),
        (pathlib.PosixPath, "pathlib.Path"),
        (type(pathlib.Path()), "pathlib.Path"),
    ],
)
def test_a_type_has_the_name_people_write(annotation: Any, name: str) -> None:
    """The library's first name and the class; of anything else its text."""
    assert type_name(annotation) == name


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "an int"),
        (str, "a str"),
        (list[int], "a list[int]"),
        (object, "an object"),
        (type(None), "None"),
        (pathlib.PurePosixPath, "a pathlib.PurePosixPath"),
    ],
)
def test_a_type_in_a_sentence_has_its_article(annotation: Any, words: str) -> None:
    """As one would say it."""
    assert a_type(annotation) == words


@dataclass
class Nothing:
    """A dataclass without fields."""


@pytest.mark.parametrize(
    ("annotation", "outputs"),
    [
        (made.Split, {"train": "list[int]", "test": "dict[str, int]"}),
        (made.Scored, {"value": "float", "rows": "int"}),
        (made.Bare, {"one": "", "two": ""}),
        (tuple[int, list[str]], {"0": "int", "1": "list[str]"}),
        (Nothing, {}),
        (tuple[int, ...], None),
        (tuple, None),
        (int, None),
        (list[made.Split], None),
        (made.Split | None, None),
        (inspect.Parameter.empty, None),
        (None, None),
    ],
)
def test_several_outputs_are_told_by_the_annotation(annotation: Any, outputs: dict[str, str] | None) -> None:
    """Fields of a NamedTuple or dataclass, places of a tuple of fixed length; else there is one output."""
    assert output_types(annotation) == outputs


def test_the_hints_of_outputs_are_the_types_themselves() -> None:
    """What joins are judged by; a field that has none is marked as such."""
    empty = inspect.Parameter.empty

    assert output_hints(made.Split) == {"train": list[int], "test": dict[str, int]}
    assert output_hints(made.Bare) == {"one": empty, "two": empty}
    assert output_hints(tuple[int, list[str]]) == {"0": int, "1": list[str]}
    assert output_hints(int) is None


def test_a_field_of_the_class_is_no_output() -> None:
    """Constants and methods of a NamedTuple are not fields."""

    class Named(NamedTuple):
        one: int
        two: str = "x"

        @property
        def three(self) -> int:
            return 3

    assert output_types(Named) == {"one": "int", "two": "str"}
