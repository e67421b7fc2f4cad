"""Values of what a model takes by name: from JSON, or as a pipeline gives them; and answers as JSON."""

from __future__ import annotations

import base64
import binascii
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mlwright.kernel.errors import Invalid
from mlwright.sdk.kinds import MEDIA, Media, is_taken, media_type_of
from mlwright.sdk.types import a_type

ABSENT = object()
"""Stands where a request gives nothing: the predictor's own default does."""
_UNKNOWN = "application/octet-stream"


class Asked(Protocol):
    """What a model takes under one name; see `mlwright.versioning.signatures.Input`."""

    @property
    def name(self) -> str:
        """The name of the parameter."""

    @property
    def kind(self) -> str:
        """`text`, `number`, `integer`, `boolean`, `json`, `tensor`, `image`, `audio`, `video` or `file`."""

    @property
    def dtype(self) -> str:
        """Of a tensor."""

    @property
    def shape(self) -> Sequence[int]:
        """Of a tensor: the length of each dimension, -1 for any."""

    @property
    def media_types(self) -> Sequence[str]:
        """Of an image, audio, video or file: what it may be."""


@dataclass(frozen=True)
class Input:
    """What a model takes under one name, as a step knows it; see `Asked`.

    Args:
        many: several may be asked about at once, each of which is answered.
        required: whether a request must give it.
    """

    name: str
    kind: str
    many: bool = False
    required: bool = True
    dtype: str = ""
    shape: tuple[int, ...] = ()
    media_types: tuple[str, ...] = ()


class Misfit(Exception):
    """A value is not what its input takes.

    Args:
        message: what it must be, as `must be text, not a number`.
        media: whether it is the media type that is not taken.
    """

    def __init__(self, message: str, *, media: bool = False) -> None:
        super().__init__(message)
        self.media = media


def value_of(asked: Asked, told: Any, *, folder: Path | None = None) -> Any:
    """A value as the predictor is given it.

    Args:
        told: as JSON has it; bytes are an object with `b64` and, if they are to be trusted, `media_type`.
        folder: where a file is made of bytes if somebody asks for one.

    Raises:
        Misfit: it is not what the input takes.
    """
    match asked.kind:
        case "json":
            return told
        case "text":
            return _text(told)
        case "boolean":
            if type(told) is not bool:
                raise Misfit(f"must be true or false, not {in_words(told)}")
            return told
        case "number" | "integer":
            return _number(told, whole=asked.kind == "integer")
        case "tensor":
            return _tensor(asked, told)
    return _media_in_json(asked, told, folder)


def media_of(asked: Asked, content: bytes | Path, media_type: str, *, folder: Path | None = None) -> Media:
    """Bytes as the predictor is given them.

    Args:
        media_type: as it was declared; where that says nothing, the first bytes do.

    Raises:
        Misfit: the media type is not taken.
    """
    declared = media_type.partition(";")[0].strip().lower()
    made = MEDIA[asked.kind](content, "" if declared == _UNKNOWN else declared, folder=folder)
    if not is_taken(made.media_type, tuple(asked.media_types)):
        raise Misfit(f"must be {one_of(asked.media_types)}, not {made.media_type[:60]}", media=True)
    return made


def one_of(media_types: Sequence[str]) -> str:
    """What is taken, in words: `image/png or image/jpeg`."""
    if tuple(media_types) == ("*/*",):
        return "anything but a pickle"
    *others, last = media_types
    return f"{', '.join(others)} or {last}" if others else last


def json_of(value: Any) -> Any:
    """A value as JSON has it: arrays as lists, bytes as base64, NumPy's numbers by their value.

    Raises:
        Invalid: it is something else.
    """
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers, a Series of pandas, a tensor of torch
        value = value.tolist()
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Media():
            return {"b64": base64.b64encode(value.read()).decode(), "media_type": value.media_type}
        case bytes():
            return {"b64": base64.b64encode(value).decode(), "media_type": media_type_of(value[:64])}
        case dict():
            return {_key(key): json_of(each) for key, each in value.items()}
        case list() | tuple():
            return [json_of(each) for each in value]
    raise Invalid(
        f"a predictor cannot answer with {a_type(type(value))}",
        hint="answer with JSON values, arrays of numbers, or Image(bytes); or write an `encode`",
    )


def _key(key: Any) -> str:
    """A key as JSON has it: the name of a class is often a number."""
    plain = key.item() if hasattr(key, "item") else key
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return str(plain)


def _text(told: Any) -> str:
    if type(told) is not str:
        raise Misfit(f"must be text, not {in_words(told)}")
    try:
        told.encode()
    except UnicodeEncodeError:
        raise Misfit("must be Unicode text, and holds half of a surrogate pair") from None
    return told


def _number(told: Any, *, whole: bool) -> float | int:
    if type(told) not in (int, float) or not math.isfinite(told):
        raise Misfit(f"must be {'an integer' if whole else 'a number'}, not {in_words(told)}")
    if not whole:
        return float(told)
    if told != int(told):
        raise Misfit(f"must be an integer, not {in_words(told)}")
    return int(told)


def _media_in_json(asked: Asked, told: Any, folder: Path | None) -> Media:
    if (
        not isinstance(told, dict)
        or type(told.get("b64")) is not str
        or not {*told} <= {"b64", "media_type"}
        or type(told.get("media_type", "")) is not str
    ):
        raise Misfit('must be an object as {"b64": "...", "media_type": "image/png"}: bytes in base64')
    try:
        content = base64.b64decode(told["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise Misfit("must be bytes in base64: `b64` is none") from None
    return media_of(asked, content, told.get("media_type", ""), folder=folder)


def depth_of(told: Any) -> int:
    """How many lists are around the first number: 2 for `[[1, 2], [3, 4]]`."""
    depth = 0
    while isinstance(told, list):
        depth += 1
        told = told[0] if told else None
    return depth


def _tensor(asked: Asked, told: Any) -> Any:
    """An array; no number is changed by its type.

    Raises:
        Misfit: other than numbers, ragged lists, another shape, or numbers that the type does not hold.
    """
    import numpy

    wanted = f"{asked.dtype} of shape {list(asked.shape)}"
    try:
        array = numpy.asarray(told)
    except (ValueError, OverflowError):
        raise Misfit(f"must be {wanted}: its lists have different lengths") from None
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "b") != (asked.dtype == "bool"):
        kinds = "true or false" if asked.dtype == "bool" else "numbers"
        raise Misfit(f"must be {wanted}: lists of {kinds}")
    if not fits_shape(array.shape, asked.shape):
        raise Misfit(f"must be {wanted}, not of shape {list(array.shape)}")
    with numpy.errstate(all="ignore"):
        made = array.astype(asked.dtype)
    if made.dtype.kind in "iu" and not numpy.array_equal(made, array):
        raise Misfit(f"must be {wanted}: a number is not of that type")
    if made.dtype.kind == "f" and not numpy.isfinite(made).all():
        raise Misfit(f"must be {wanted}: a number is too large for that type")
    return made


def fits_shape(given: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape is as it should be, where -1 is any length."""
    return len(given) == len(wanted) and all(
        each in (-1, length) for each, length in zip(wanted, given, strict=True)
    )


def in_words(told: Any) -> str:
    """A JSON value as a message names it."""
    match told:
        case None:
            return "null"
        case bool():
            return "true" if told else "false"
        case int() | float():
            return f"the number {told!r:.40}"
        case str():
            return f'the text "{told[:40]}"'.encode(errors="replace").decode()
        case list():
            return "a list"
    return "an object"


def given_value(asked: Input, value: Any) -> Any:
    """A value of a pipeline as the predictor is given it: an example.

    Args:
        value: of a tensor whatever NumPy makes an array of; of bytes a `Path`, `bytes`, a kind of its own, or
            the path of a file in the project, as text.

    Raises:
        Invalid: it is not what the input takes.
    """
    try:
        if asked.kind in MEDIA:
            return _given_media(asked, value)
        if asked.kind == "tensor":
            import numpy

            array = numpy.asarray(value)
            return array.astype(asked.dtype, copy=False) if asked.dtype else array
        return value_of(asked, value.item() if hasattr(value, "item") else value)
    except (Misfit, ValueError) as error:
        raise Invalid(f"the example's `{asked.name}` {error}") from error


def _given_media(asked: Input, value: Any) -> Media:
    match value:
        case Media():
            return media_of(asked, value.read(), value.media_type)
        case bytes():
            return media_of(asked, value, "")
        case str() | Path():
            return media_of(asked, _file(asked, value).read_bytes(), "")
    raise Invalid(
        f"the example's `{asked.name}` is {a_type(type(value))}, and no {asked.kind}",
        hint="a path, bytes, or what a step gives of these",
    )


def _file(asked: Input, named: str | Path) -> Path:
    """The file that an example names: by an absolute path, or by one in the project."""
    places = (Path(entry) / named for entry in dict.fromkeys(sys.path) if entry)
    for place in (Path(named), *places):
        if place.is_file():
            return place
    raise Invalid(
        f"the example's `{asked.name}` names {str(named)!r}, and there is no such file in the project",
        hint="a path from the project's folder, of a file that is not ignored",
    )
