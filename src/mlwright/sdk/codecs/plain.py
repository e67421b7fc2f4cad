"""Codecs that need nothing but Python: JSON values, text, bytes, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid

_ENCODER = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=lambda scalar: scalar.item(), check_circular=False
)


class JsonCodec:
    """None, booleans, numbers, text, lists and dictionaries of these; keys are text and keep their order.

    A tuple is refused, since a list would come back. NumPy's scalars are taken by their value.
    """

    name = "json"
    distributions: tuple[str, ...] = ()

    def matches(self, value: Any) -> bool:
        """Whether the whole of the value is JSON."""
        if value is None or isinstance(value, bool | int | float | str):
            return True
        if isinstance(value, list):
            return all(self.matches(item) for item in value)
        if isinstance(value, dict):
            return all(isinstance(key, str) and self.matches(item) for key, item in value.items())
        return _is_numpy_scalar(value)

    def encode(self, value: Any, path: Path) -> None:
        """One line of JSON; NaN and infinities as Python writes them."""
        path.write_bytes(self.dumps(value))

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The value."""
        return self.loads(path.read_bytes())

    def dumps(self, value: Any) -> bytes:
        """The line."""
        return _ENCODER.encode(value).encode("utf-8", "surrogatepass")

    def loads(self, data: bytes) -> Any:
        """The value of a line."""
        return json.loads(data.decode("utf-8", "surrogatepass"))

    def describe(self, value: Any) -> dict[str, Any]:
        """How many entries it has, if it has any."""
        return {"entries": len(value)} if isinstance(value, list | dict) else {}


def _is_numpy_scalar(value: Any) -> bool:
    """Whether a value is NumPy's, and by its value a boolean or a number."""
    return (
        type(value).__module__ == "numpy"
        and getattr(value, "ndim", 1) == 0
        and isinstance(value.item(), bool | int | float)
    )


class TextCodec:
    """A `str`, as UTF-8."""

    name = "text"
    distributions: tuple[str, ...] = ()

    def matches(self, value: Any) -> bool:
        """Whether it is text."""
        return isinstance(value, str)

    def encode(self, value: str, path: Path) -> None:
        """The text's bytes; lone surrogates pass."""
        path.write_bytes(self.dumps(value))

    def decode(self, path: Path, wanted: str, scratch: Path) -> str:
        """The text."""
        return self.loads(path.read_bytes())

    def dumps(self, value: str) -> bytes:
        """The text's bytes."""
        return value.encode("utf-8", "surrogatepass")

    def loads(self, data: bytes) -> str:
        """The text of these bytes."""
        return data.decode("utf-8", "surrogatepass")

    def describe(self, value: str) -> dict[str, Any]:
        """How many characters."""
        return {"characters": len(value)}


class BytesCodec:
    """`bytes`, as they are."""

    name = "bytes"
    distributions: tuple[str, ...] = ()

    def matches(self, value: Any) -> bool:
        """Whether it is bytes."""
        return isinstance(value, bytes)

    def encode(self, value: bytes, path: Path) -> None:
        """The bytes."""
        path.write_bytes(value)

    def decode(self, path: Path, wanted: str, scratch: Path) -> bytes:
        """The bytes."""
        return path.read_bytes()

    def dumps(self, value: bytes) -> bytes:
        """The bytes."""
        return value

    def loads(self, data: bytes) -> bytes:
        """The bytes."""
        return data

    def describe(self, value: bytes) -> dict[str, Any]:
        """Nothing that the size does not tell."""
        return {}


class FileCodec:
    """A `Path` to a file that the step wrote; the receiver gets a copy in its own scratch folder."""

    name = "file"
    distributions: tuple[str, ...] = ()
    dumps = loads = None

    def matches(self, value: Any) -> bool:
        """Whether it is a path."""
        return isinstance(value, Path)

    def encode(self, value: Path, path: Path) -> None:
        """A copy of the file's bytes.

        Raises:
            Invalid: there is no such file.
        """
        if not value.is_file():
            raise Invalid(f"a step returned the path {value}, which is not a file")
        import shutil

        shutil.copyfile(value, path)

    def decode(self, path: Path, wanted: str, scratch: Path) -> Path:
        """A copy that may be written to."""
        import shutil  # with tempfile 5 ms, for steps that take files
        import tempfile

        copy = Path(tempfile.mkdtemp(dir=scratch)) / path.name
        shutil.copyfile(path, copy)
        return copy

    def describe(self, value: Path) -> dict[str, Any]:
        """The file's name."""
        return {"name": value.name}
