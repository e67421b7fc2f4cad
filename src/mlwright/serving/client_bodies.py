"""What a client sends: JSON, a form with files, or the bytes of one file; files are read as they are sent."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import fstat
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from mlwright.kernel.errors import Invalid
from mlwright.sdk.kinds import Media, media_type_of

JSON = "application/json"
_UNKNOWN = "application/octet-stream"
_PIECE_BYTES = 1 << 18
_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""What ends a name in the head of a part. Source: WHATWG HTML Living Standard, 4.10.21.8."""


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request, which can be sent again: its files are opened anew each time.

    Args:
        media_type: with its parameters.
        parts: one behind the other: bytes, or files.
    """

    media_type: str
    parts: tuple[bytes | Path, ...]

    @contextmanager
    def opened(self) -> Iterator[tuple[int, bytes | Iterator[bytes]]]:
        """Its size as it is now, and its bytes, for one reading.

        Raises:
            Invalid: a file cannot be read, or gets shorter while it is.
        """
        if all(isinstance(part, bytes) for part in self.parts):
            data = b"".join(part for part in self.parts if isinstance(part, bytes))
            yield len(data), data
            return
        with ExitStack() as files:
            sources = [
                part if isinstance(part, bytes) else (part, files.enter_context(_opened(part)))
                for part in self.parts
            ]
            sizes = [
                len(each) if isinstance(each, bytes) else fstat(each[1].fileno()).st_size for each in sources
            ]
            yield sum(sizes), _pieces(list(zip(sources, sizes, strict=True)))


def body_of(asked: Any, inputs: Mapping[str, Any]) -> Body:
    """What asks about something.

    Args:
        asked: rows; values by name; or the only thing that the model needs: a text, bytes, or a file.
        inputs: values by name; then `asked` is None.

    Raises:
        Invalid: it is none of these, or cannot be written as JSON.
    """
    if asked is None or isinstance(asked, Mapping):
        return _by_name({**(asked or {}), **inputs})
    if inputs:
        raise Invalid(
            f"one thing is given without a name, and `{next(iter(inputs))}` with one",
            hint="give all by name",
        )
    if isinstance(asked, str):
        return Body("text/plain; charset=utf-8", (asked.encode(),))
    if _is_file(asked):
        content, media_type = _content(asked)
        return Body(media_type, (content,))
    if not isinstance(asked, Sequence) or not all(isinstance(row, Mapping) for row in asked):
        raise Invalid(
            "rows are a list of values by column, as [{...}, {...}]",
            hint="what a model takes by name is given by name, as predict(text=...)",
        )
    return Body(JSON, (_json({"rows": [dict(row) for row in asked]}, "the rows"),))


def _by_name(inputs: Mapping[str, Any]) -> Body:
    files = {name: several for name, value in inputs.items() if (several := _files(value))}
    if not files:
        return Body(JSON, (_json({"inputs": dict(inputs)}, "what is given"),))
    boundary = uuid4().hex
    parts: list[bytes | Path] = []

    def add(name: str, content: bytes | Path, media_type: str, file: str = "") -> None:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name.translate(_ESCAPED)}"{file}'
        parts.extend((f"{head}\r\nContent-Type: {media_type}\r\n\r\n".encode(), content, b"\r\n"))

    for name, value in inputs.items():
        if name in files:
            for each in files[name]:
                add(name, *_content(each), '; filename="file"')
        else:
            add(name, _json(value, f"`{name}`"), JSON)
    parts.append(f"--{boundary}--\r\n".encode())
    return Body(f"multipart/form-data; boundary={boundary}", tuple(parts))


def _is_file(value: Any) -> bool:
    return isinstance(value, Path | bytes | bytearray | memoryview | Media)


def _files(value: Any) -> list[Any]:
    """The files that are given under one name: one, or several; none where it is something else."""
    if _is_file(value):
        return [value]
    several = isinstance(value, list | tuple) and bool(value) and all(map(_is_file, value))
    return list(value) if several else []


def _content(value: Any) -> tuple[bytes | Path, str]:
    """A file, or bytes, with the media type: by what it says of itself, its first bytes, or its name."""
    if isinstance(value, Media):
        return value.content, value.media_type
    if not isinstance(value, Path):
        data = bytes(value)
        return data, media_type_of(data[:64])
    with _opened(value) as file:
        told = media_type_of(_read(file, value, 64))
    return value, told if told != _UNKNOWN else mimetypes.guess_type(value.name)[0] or _UNKNOWN


def _pieces(sources: list[tuple[bytes | tuple[Path, BinaryIO], int]]) -> Iterator[bytes]:
    """The bytes of all sources, of each as many as were promised: a file may grow meanwhile."""
    for source, size in sources:
        if isinstance(source, bytes):
            yield source
            continue
        path, file = source
        left = size
        while left:
            piece = _read(file, path, min(left, _PIECE_BYTES))
            if not piece:
                raise Invalid(f"{path} got shorter while it was sent")
            left -= len(piece)
            yield piece


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from error


def _read(file: BinaryIO, path: Path, size: int) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from error


def _json(value: Any, what: str) -> bytes:
    try:
        return json.dumps(value, default=_plain).encode()
    except (TypeError, ValueError) as error:
        raise Invalid(f"{what} cannot be written as JSON: {error}") from error


def _plain(value: Any) -> Any:
    """Arrays and scalars of NumPy by their values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    from mlwright.sdk.types import with_article  # whose imports only this message needs

    raise TypeError(f"{with_article(type(value).__name__)} is not a number, text, true, false or null")
