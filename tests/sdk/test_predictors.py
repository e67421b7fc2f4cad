"""Predictors: what their types say, how they are asked, and what is refused when they are registered."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from mlwright import Audio, File, Image, Table, Tensor, Text, Video
from mlwright.kernel.errors import Invalid
from mlwright.sdk.answers import same_answer
from mlwright.sdk.kinds import is_taken, media_type_of
from mlwright.sdk.predictors import Interface, Predictor, address_of, find_predictor, interface_of
from mlwright.sdk.values import Input, Misfit, json_of, value_of


class Base:
    def load(self, model: Any) -> None:
        self.model = model


class Everything(Base):
    def predict(
        self,
        text: Text,
        count: int,
        share: float,
        sure: bool,
        points: Annotated[np.ndarray, Tensor("float32", -1, 2)],
        image: Annotated[Image, "image/png"],
        audio: Audio,
        video: Video,
        file: File,
        kind: Literal["a", "b"] = "a",
        other: dict[str, Any] | None = None,
    ) -> str:
        return text


class Batched(Base):
    def decode(self, number: float) -> float:
        return number + 1

    def predict(self, numbers: list[float]) -> list[float]:
        return [sum(numbers)] * len(numbers)

    def encode(self, number: float) -> str:
        return f"{number:g}"


class Short(Base):
    def predict(self, numbers: list[int]) -> list[int]:
        return numbers[:1]


class Counting(Base):
    def predict(self, upto: int) -> Iterator[int]:
        try:
            yield from range(upto)
        finally:
            self.model.append("closed")


class OfTables(Base):
    def predict(self, table: Table) -> list[float]:
        return [0.0] * len(table)


def test_the_types_of_the_parameters_are_the_interface() -> None:
    """Each parameter is an input of its kind; what has a default, or may be None, may be left out."""
    found = interface_of(Everything)

    assert [(each.name, each.kind, each.required) for each in found.inputs] == [
        ("text", "text", True),
        ("count", "integer", True),
        ("share", "number", True),
        ("sure", "boolean", True),
        ("points", "tensor", True),
        ("image", "image", True),
        ("audio", "audio", True),
        ("video", "video", True),
        ("file", "file", True),
        ("kind", "json", False),
        ("other", "json", False),
    ]
    assert (found.inputs[4].dtype, found.inputs[4].shape) == ("float32", (-1, 2))
    assert found.inputs[5].media_types == ("image/png",)
    assert found.output == "text"
    assert interface_of(OfTables) == Interface((), "number")


def test_lists_are_batches_and_generators_are_streams() -> None:
    """With `list[...]` several requests are asked about at once; `decode` and `encode` see each one."""
    batched, closed = Predictor(Batched, None), list[str]()
    counting = Predictor(Counting, closed)

    answers = batched.answers([{"number": 1.0}, {"number": 2.0}])
    pieces = counting.stream({"upto": 5})
    first = next(pieces)
    pieces.close()  # type: ignore[attr-defined]

    assert batched.interface.batched
    assert (answers, batched.interface.output) == (["5", "5"], "text")
    assert counting.interface.streams
    assert (first, closed) == (0, ["closed"])
    with pytest.raises(Invalid, match="1 answers to 2 requests"):
        Predictor(Short, None).answers([{"numbers": 1}, {"numbers": 2}])


class NoLoad:
    def predict(self, text: str) -> str:
        return text


class Untyped(Base):
    def predict(self, text) -> str:  # type: ignore[no-untyped-def]
        return str(text)


class Odd(Base):
    def predict(self, path: Path) -> str:
        return str(path)


class Mixed(Base):
    def predict(self, images: list[Image], top: int) -> list[str]:
        return []


class Waiting(Base):
    async def predict(self, text: str) -> str:
        return text


class Nothing(Base):
    def predict(self) -> str:
        return ""


class Starred(Base):
    def predict(self, *texts: str) -> str:
        return ""


class Beside(Base):
    def predict(self, table: Table, top: int) -> list[str]:
        return []


class BatchedStream(Base):
    def predict(self, texts: list[str]) -> Iterator[str]:
        yield from texts


class ListDecoded(Base):
    def decode(self, texts: list[str]) -> str:
        return texts[0]

    def predict(self, text: str) -> str:
        return text


@pytest.mark.parametrize(
    ("predictor", "words"),
    [
        (NoLoad, "no method `load`"),
        (Base, "no method `predict`"),
        (Untyped, "`text` of Untyped has no type"),
        (Odd, "of type pathlib.Path, which no request has"),
        (Mixed, "of several requests at once, and other parameters of one"),
        (Waiting, "is `async`"),
        (Nothing, "takes nothing"),
        (Starred, "has no name in a request"),
        (Beside, "a table is taken alone"),
        (BatchedStream, "it can do one"),
        (ListDecoded, "decode reads one request"),
    ],
)
def test_what_is_no_predictor_is_said(predictor: type, words: str) -> None:
    """A class that could not answer is refused when it is registered, with what is wrong with it."""
    with pytest.raises(Invalid) as told:
        interface_of(predictor)

    assert words in told.value.message


def test_a_predictor_is_found_again_by_its_name() -> None:
    """The address of a class leads back to it; a class inside a function, or an object, has none."""

    class Inside(Base):
        def predict(self, text: str) -> str:
            return text

    assert find_predictor(address_of(Batched)) is Batched
    for wrong in (Inside, Batched()):
        with pytest.raises(Invalid):
            address_of(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "told", "words"),
    [
        (Input("x", "integer"), 1.5, "an integer"),
        (Input("x", "integer"), True, "an integer"),
        (Input("x", "integer"), 1e400, "an integer"),
        (Input("x", "number"), "1", "a number"),
        (Input("x", "boolean"), 1, "true or false"),
        (Input("x", "text"), "\ud800", "surrogate"),
        (Input("x", "tensor", dtype="uint8", shape=(1,)), [300], "not of that type"),
        (Input("x", "tensor", dtype="int64", shape=(1,)), [1.5], "not of that type"),
        (Input("x", "tensor", dtype="float16", shape=(1,)), [1e10], "too large"),
        (Input("x", "tensor", dtype="bool", shape=(1,)), [1], "true or false"),
        (Input("x", "tensor", dtype="int64", shape=(1,)), [2**80], "numbers"),
        (Input("x", "image", media_types=("image/png",)), "abc", "bytes in base64"),
        (Input("x", "image", media_types=("image/png",)), {"b64": "YQ==", "path": "/"}, "base64"),
        (Input("x", "file", media_types=("*/*",)), {"b64": "", "media_type": "x/pickle"}, "but a pickle"),
    ],
)
def test_what_does_not_fit_is_told(asked: Input, told: Any, words: str) -> None:
    """A value that an input does not take is refused with what it must be; no number is changed."""
    with pytest.raises(Misfit) as wrong:
        value_of(asked, told)

    assert words in str(wrong.value)


def test_answers_are_json() -> None:
    """Arrays, NumPy's numbers, tuples and bytes become what JSON has; anything else is refused."""
    told = json_of({2: np.float32(0.5), True: (np.arange(2), None), "image": Image(b"GIF89a")})

    assert told == {
        "2": 0.5,
        "true": [[0, 1], None],
        "image": {"b64": "R0lGODlh", "media_type": "image/gif"},
    }
    assert json.loads(json.dumps(told)) == told
    with pytest.raises(Invalid, match="cannot answer with"):
        json_of(object())


def test_bytes_have_a_file_as_long_as_somebody_holds_them(tmp_path: Path) -> None:
    """The file of bytes in memory is made when it is asked for, and goes with them; a given one stays."""
    (tmp_path / "given").write_bytes(b"abc")
    made, given = File(b"abc", folder=tmp_path), File(tmp_path / "given")

    path = made.path
    held = (path.read_bytes(), made.size_bytes, given.read(), given.size_bytes)
    del made, given
    gc.collect()

    assert held == (b"abc", 3, b"abc", 3)
    assert [each.name for each in tmp_path.iterdir()] == ["given"]


def test_media_types_are_told_by_first_bytes() -> None:
    """What a client does not declare is told by the file's own signature; stars stand for many types."""
    assert media_type_of(b"\x89PNG\r\n\x1a\n123") == "image/png"
    assert media_type_of(b"RIFF1234WAVEfmt ") == "audio/wav"
    assert media_type_of(b"\0\0\0\x18ftypmp42") == "video/mp4"
    assert media_type_of(b"\x80\x04N.") == "application/octet-stream"
    assert is_taken("video/mp4", ("video/*",))
    assert not is_taken("image/png", ("video/*", "image/gif"))
    assert not is_taken("application/x-pickle", ("*/*",))


def test_answers_are_compared_number_by_number() -> None:
    """Numbers inside lists and dictionaries may differ in their last digits, and in nothing else."""
    assert same_answer({"a": [0.1 + 0.2, "x"]}, {"a": [0.3, "x"]})
    assert not same_answer({"a": [0.3]}, {"a": [0.31]})
    assert not same_answer({"a": 1}, {"b": 1})
    assert not same_answer([1], [1, 2])
