"""Binary tensors: their bytes follow the JSON of a request or an answer, in the order that it names them.

Source: Triton Inference Server, protocol/extension_binary_data.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from mlwright.serving.problems import Problem
from mlwright.serving.protocols.v2_tensors import BYTES, DTYPES, bfloat16

HEADER = "inference-header-content-length"
"""How many bytes of a body are JSON, where tensors follow."""
_LENGTH_BYTES = 4


def split(body: bytes, headers: Mapping[str, str]) -> tuple[memoryview, memoryview]:
    """The JSON of a body and what follows it.

    Args:
        headers: of the request, their names in small letters.

    Raises:
        Problem: 400, the header is no number, or one larger than the body.
    """
    view = memoryview(body)
    told = headers.get(HEADER)
    if told is None:
        return view, view[len(body) :]
    if not (told.isascii() and told.isdigit() and len(told) < 20 and int(told) <= len(body)):
        raise Problem(
            400,
            f"Inference-Header-Content-Length must be a number of bytes up to the body's {len(body)},"
            f" and is {told[:40]!r}",
        )
    return view[: int(told)], view[int(told) :]


def read_values(name: str, datatype: str, shape: tuple[int, ...], raw: memoryview) -> Any:
    """The values of a tensor, flat.

    Args:
        raw: its bytes.

    Returns:
        An array of the datatype, BF16 as float32; BYTES as a list of text.

    Raises:
        Problem: 400, another number of bytes or of values than the shape says, or text that is not UTF-8.
    """
    count = math.prod(shape)
    if datatype == BYTES:
        return _texts(name, count, raw)
    import numpy

    dtype = numpy.dtype(DTYPES[datatype])
    if len(raw) != count * dtype.itemsize:
        raise Problem(
            400,
            f"`{name}` has {len(raw)} bytes, and its shape {list(shape)} of {datatype} takes"
            f" {count * dtype.itemsize}",
        )
    if datatype == "BOOL":
        return numpy.frombuffer(raw, dtype="u1") != 0
    values = numpy.frombuffer(raw, dtype=dtype)
    return bfloat16(values) if datatype == "BF16" else values


def written(datatype: str, values: Iterable[Any]) -> bytes:
    """Values as the bytes of a tensor.

    Args:
        datatype: one of those of our outputs.
        values: flat.
    """
    if datatype == BYTES:
        encoded = [str(value).encode() for value in values]
        return b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in encoded)
    import numpy

    return numpy.asarray(values, dtype=DTYPES[datatype]).tobytes()


def _texts(name: str, count: int, raw: memoryview) -> list[str]:
    texts: list[str] = []
    at = 0
    while at < len(raw):
        end = at + _LENGTH_BYTES
        size = int.from_bytes(raw[at:end], "little")
        if len(texts) == count or end + size > len(raw):
            raise Problem(
                400, f"the bytes of `{name}` are not {count} values, each after its length in 4 bytes"
            )
        try:
            texts.append(str(raw[end : end + size], "utf-8"))
        except UnicodeDecodeError:
            raise Problem(400, f"value {len(texts)} of `{name}` is not UTF-8") from None
        at = end + size
    if len(texts) != count:
        raise Problem(400, f"`{name}` has {len(texts)} values, and its shape says {count}")
    return texts
