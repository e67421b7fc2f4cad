"""NumPy arrays, as .npy: memory-mapped when read, pickle never allowed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal


class ArrayCodec:
    """`numpy.ndarray` of numbers, booleans, dates or text; arrays of objects are refused by NumPy itself."""

    name = "array"
    libraries = ("numpy",)
    distributions: tuple[str, ...] = ("numpy",)

    def matches(self, value: Any) -> bool:
        """Whether it is an array."""
        numpy = sys.modules.get("numpy")
        return numpy is not None and isinstance(value, numpy.ndarray)

    def encode(self, value: Any, path: Path) -> None:
        """The array in C order, so that equal arrays have equal bytes.

        Raises:
            ValueError: an array of objects.
        """
        import numpy

        with path.open("wb") as file:
            numpy.save(file, numpy.ascontiguousarray(value).reshape(value.shape), allow_pickle=False)

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The array, mapped read-only: its pages are shared by every process that reads it."""
        import numpy

        # A memory map cannot be of zero bytes.
        mapped: Literal["r"] | None = "r" if path.stat().st_size > 4096 else None
        return numpy.load(path, mmap_mode=mapped, allow_pickle=False)

    def describe(self, value: Any) -> dict[str, Any]:
        """Shape and type of element."""
        return {"shape": list(value.shape), "dtype": str(value.dtype)}
