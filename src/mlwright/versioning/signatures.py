"""Signatures: what a model takes and gives, so that a server can hold requests against it."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from mlwright.kernel.errors import Corrupt

ColumnType = Literal["number", "integer", "boolean", "string"]
Kind = Literal[
    "text", "number", "integer", "boolean", "json", "tensor", "image", "audio", "video", "file"
]  # what a request may hold under a name
Answer = Literal[
    "number", "integer", "boolean", "string", "json", "tensor", "image", "audio", "video", "file"
]  # what an answer may be


class Column(Struct, frozen=True):
    """One input: its name and type, whether it may be missing, and what training saw of it.

    Args:
        categories: the values that training saw, where they are few; all there can be, if it is `closed`.
        closed: a column of categories (pandas' `category`): no other value exists for the model.
    """

    name: str
    type: ColumnType
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[Any, ...] | None = None
    closed: bool = False


class Input(Struct, frozen=True):
    """What a model takes under a name, that is no column of a table.

    Args:
        many: several may be asked about in one request, each of which is answered.
        required: whether a request must give it.
        dtype: of a tensor, as NumPy calls it.
        shape: of a tensor, one of them: the length of each dimension, -1 for any.
        media_types: of an image, audio, video or file: what it may be; `image/*` stands for many.
    """

    name: str
    kind: Kind
    many: bool = False
    required: bool = True
    dtype: str = ""
    shape: tuple[int, ...] = ()
    media_types: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """In words: `image (image/png), one or several`."""
        beside = ", ".join(self.media_types)
        if self.kind == "tensor":
            beside = f"{self.dtype}, shape {list(self.shape)}"
        words = self.kind + (f" ({beside})" if beside else "") + (", one or several" if self.many else "")
        return words if self.required else f"{words}, may be left out"


class Output(Struct, frozen=True):
    """What one row, or one request by name, is answered with.

    Args:
        classes: of a classifier.
        stream: the answer comes piece by piece; each piece is of this type.
    """

    type: Answer
    classes: tuple[Any, ...] | None = None
    stream: bool = False


class Example(Struct, frozen=True):
    """What the model was asked with, as JSON, and its own answer to it, as the pipeline computed it.

    Args:
        input: a row, by column; or what is given by name: bytes as `b64` with their `media_type`.
        output: the answer; of one that is streamed a list of its first pieces.
    """

    input: dict[str, Any]
    output: Any


class Signature(Struct, frozen=True):
    """What a model takes, what it gives, whether it gives probabilities, and an example.

    Args:
        inputs: the columns of a table, in the model's order; none of a model that is asked by name.
        named: what is given by name; none of a model that is asked with a table.
        predictor: the class of the project that answers, as `module:Class`; empty if the model does itself.
    """

    inputs: tuple[Column, ...]
    output: Output
    probabilities: bool
    example: Example
    named: tuple[Input, ...] = ()
    predictor: str = ""

    @property
    def answer(self) -> str:
        """What is answered, in words: `string, one of no, yes`."""
        output = self.output
        classes = "" if output.classes is None else f", one of {', '.join(map(str, output.classes))}"
        pieces = ", piece by piece" if output.stream else ""
        return output.type + classes + pieces

    @property
    def names(self) -> list[str]:
        """Of all that it takes, in its order."""
        return [column.name for column in self.inputs] + [each.name for each in self.named]

    @property
    def columns(self) -> bool:
        """Whether both what it takes and what it answers are columns, as other protocols know them."""
        return self.table and self.output.type in get_args(ColumnType)

    @property
    def table(self) -> bool:
        """Whether it is asked with the columns of a table."""
        return not self.named


def signature_from(data: Any) -> Signature:
    """The signature that the signature step recorded.

    Raises:
        Corrupt: it is not one.
    """
    try:
        return msgspec.convert(data, Signature)
    except msgspec.ValidationError as error:
        raise Corrupt(f"a recorded signature cannot be read: {error}") from error
