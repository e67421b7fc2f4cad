"""Codecs: a value of some type to a file, and back, with the same bytes for equal values.

A codec imports its library only when it is used, inside the environment of the step. What it cannot take
is said before anything is written. What none of ours takes, one of another package may (`installed`), and
pickle comes last (`pickled`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from mlwright.sdk.codecs.arrays import ArrayCodec
from mlwright.sdk.codecs.boosters import CatboostCodec, LightgbmCodec, XgboostCodec
from mlwright.sdk.codecs.drawings import FigureCodec, PlotlyCodec
from mlwright.sdk.codecs.folders import FolderCodec
from mlwright.sdk.codecs.models import SklearnCodec
from mlwright.sdk.codecs.networks import OnnxCodec, TorchCodec
from mlwright.sdk.codecs.pickled import PickleCodec, reason
from mlwright.sdk.codecs.plain import BytesCodec, FileCodec, JsonCodec, TextCodec
from mlwright.sdk.codecs.tables import TableCodec
from mlwright.sdk.codecs.unstorable import Unstorable

__all__ = [
    "CODECS",
    "LAST_RESORT",
    "Codec",
    "Unstorable",
    "codec_named",
    "codecs_for",
    "distributions_for",
    "reason",
]


class Codec(Protocol):
    """How values of some types become bytes.

    Laws, examined for every implementation by `tests/exams/codecs.py`:
        1. decode(encode(value)) equals value
        2. equal values have equal bytes, in any process
        3. matches() imports nothing that is not imported already
        4. decode of bytes that encode did not make raises, and runs none of them
        5. dumps and loads, where there are any, give the bytes of encode and the value of decode

    A figure of matplotlib comes back as a picture of it, and what that is encoded to again is the same: all
    that law 1 can mean there. Laws 2 and 4 cannot hold for pickle: see `mlwright.sdk.codecs.pickled`.
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
        """Write the value's bytes to a new file.

        Raises:
            Unstorable: not all of this value would come back; another codec may take it.
            Invalid: it cannot be stored at all.
        """

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
    XgboostCodec(),
    LightgbmCodec(),
    CatboostCodec(),
    SklearnCodec(),
    FigureCodec(),
    PlotlyCodec(),
    TorchCodec(),
    OnnxCodec(),
    FolderCodec(),
    FileCodec(),
    TextCodec(),
    BytesCodec(),
    JsonCodec(),
)
LAST_RESORT: Codec = PickleCodec()
_BY_NAME = {codec.name: codec for codec in (*CODECS, LAST_RESORT)}


def codecs_for(value: Any) -> Iterator[Codec]:
    """The codecs that take a value, the best first: ours, then those of other packages; never pickle.

    Others are looked for only when they are asked for.

    Raises:
        Invalid: a codec of another package cannot be loaded.
    """
    for codec in CODECS:
        if codec.matches(value):
            yield codec
    from mlwright.sdk.codecs.installed import installed_codecs

    for codec in installed_codecs(_BY_NAME):
        if codec.matches(value):
            yield codec


def codec_named(name: str) -> Codec:
    """The codec that wrote an artifact, pickle too.

    Raises:
        Invalid: it is not known here, or cannot be loaded.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    from mlwright.sdk.codecs.installed import installed_codec

    found: Codec = installed_codec(name)
    return found


def distributions_for(type_text: str) -> tuple[str, ...]:
    """What the codec of an annotated type needs installed; empty when the annotation does not tell."""
    library = type_text.partition(".")[0]
    for codec in CODECS:
        if library in getattr(codec, "libraries", ()):
            return codec.distributions
    return ()
