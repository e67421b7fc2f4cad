"""NumPy arrays, as .npy: memory-mapped when read, pickle never allowed."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

from mlwright.sdk.codecs.unstorable import Unstorable

_MAPPED_BYTES = 4096


class ArrayCodec:
    """`numpy.ndarray` of numbers, booleans, dates or text; arrays of objects are refused."""

    name = "array"
    libraries = ("numpy",)
    distributions: tuple[str, ...] = ("numpy",)
    dumps = loads = None

    def matches(self, value: Any) -> bool:
        """Whether it is an array."""
        numpy = sys.modules.get("numpy")
        # Matrices, records and masked arrays would come back as plain arrays, without their masks.
        return numpy is not None and type(value) in (numpy.ndarray, numpy.memmap)

    def encode(self, value: Any, path: Path) -> None:
        """The array in C order, so that equal arrays have equal bytes.

        Raises:
            Unstorable: an array of objects.
        """
        import numpy

        if value.dtype.hasobject:
            raise Unstorable(
                f"an array of {value.dtype} cannot be stored without pickle",
                hint="give its elements a type of their own: numbers, booleans, dates or text",
            )
        with path.open("wb") as file:
            numpy.save(file, numpy.ascontiguousarray(value).reshape(value.shape), allow_pickle=False)

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The array, mapped: its pages are shared by all processes that read it, until one writes to them.

        One that does not fit the step's limit of memory cannot be written to.
        """
        from numpy.lib import format as npy

        if path.stat().st_size > _MAPPED_BYTES:  # a memory map cannot be of zero bytes
            try:
                return npy.open_memmap(path, mode="c")
            except OSError as error:
                # Under a limit of memory, what may be written to counts as a whole from the beginning.
                if error.errno != errno.ENOMEM:
                    raise
                return npy.open_memmap(path, mode="r")
        with path.open("rb") as file:
            return npy.read_array(file, allow_pickle=False)

    def describe(self, value: Any) -> dict[str, Any]:
        """Shape and type of element."""
        return {"shape": list(value.shape), "dtype": str(value.dtype)}
