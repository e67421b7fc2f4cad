"""Codecs: a value of some type to a file, and back, with the same bytes for equal values.

A codec imports its library only when it is used, inside the environment of the step. What it cannot take
is said before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from mlwright.kernel.errors import Invalid
from mlwright.sdk.codecs.arrays import ArrayCodec
from mlwright.sdk.codecs.models import SklearnCodec
from mlwright.sdk.codecs.plain import BytesCodec, FileCodec, JsonCodec, TextCodec
from mlwright.sdk.codecs.tables import TableCodec
from mlwright.sdk.types import a_type


class Codec(Protocol):
    """How values of some types become bytes.

    Laws, examined for every implementation by `tests/exams/codecs.py`:
        1. decode(encode(value)) equals value
        2. equal values have equal bytes, in any process
        3. matches() imports nothing that is not imported already
        4. decode of bytes that encode did not make raises, and runs none of them
        5. dumps and loads, where there are any, give the bytes of encode and the value of decode
    """

    name: str
    distributions: tuple[str, ...]
    """What must be installed where the codec runs; part of the fingerprint of the step that uses it."""

    @property
    def dumps(self) -> Callable[[Any], bytes] | None:
        """The value's bytes at once, where it is in memory anyway; None for a codec that needs a file."""

    @property
    def loads(self) -> Callable[[bytes], Any] | None:
        """The value of these bytes; None likewise."""

    def matches(self, value: Any) -> bool:
        """Whether this codec takes the value."""

    def encode(self, value: Any, path: Path) -> None:
        """Write the value's bytes to a new file."""

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """Read a value back.

        Args:
            path: the encoded bytes, read-only.
            wanted: the type the receiver asks for, or the one it had, as `pandas.DataFrame`.
            scratch: a folder where copies may be made.
        """

    def describe(self, value: Any) -> dict[str, Any]:
        """What can be told of the value without decoding it again: rows, columns, shape."""


CODECS: tuple[Codec, ...] = (
    TableCodec(),
    ArrayCodec(),
    SklearnCodec(),
    FileCodec(),
    TextCodec(),
    BytesCodec(),
    JsonCodec(),
)
_BY_NAME = {codec.name: codec for codec in CODECS}


def codec_for(value: Any, what: str) -> Codec:
    """The first codec that takes a value.

    Args:
        value: anything.
        what: how the message names it.

    Raises:
        Invalid: none does.
    """
    for codec in CODECS:
        if codec.matches(value):
            return codec
    raise Invalid(
        f"{what} is {a_type(type(value))}, which no codec can store",
        hint="return a table, an array, a scikit-learn model, text, bytes, a Path or JSON values",
    )


def codec_named(name: str) -> Codec:
    """The codec that wrote an artifact.

    Raises:
        Invalid: it is not known here.
    """
    for codec in CODECS:
        if codec.name == name:
            return codec
    raise Invalid(f"an artifact was written by the codec `{name}`, which this mlwright does not have")


def distributions_for(type_text: str) -> tuple[str, ...]:
    """What the codec of an annotated type needs installed; empty when the annotation does not tell."""
    library = type_text.partition(".")[0]
    for codec in CODECS:
        if library in getattr(codec, "libraries", ()):
            return codec.distributions
    return ()
