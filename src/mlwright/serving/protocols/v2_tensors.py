"""Tensors of the Open Inference Protocol: their datatypes, shapes, and values as JSON.

Source: Open Inference Protocol, inference_rest.md ("Tensor Data Types", "Tensor Data").
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Raw, Struct

from mlwright.serving.problems import Problem
from mlwright.serving.walk import told_value
from mlwright.versioning.signatures import Signature

DTYPES = {
    "BOOL": "|b1",
    "UINT8": "|u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "|i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BF16": "<u2",  # the upper half of an FP32
}
"""NumPy's name for what lies on the wire, by datatype; BYTES have none."""
BYTES = "BYTES"
DATATYPES = (*DTYPES, BYTES)
_NUMBERS = frozenset(DTYPES) - {"BOOL"}
TAKEN = {
    "number": _NUMBERS,
    "integer": _NUMBERS,
    "boolean": frozenset({"BOOL"}),
    "string": frozenset({BYTES}),
}
"""What a column of each type may be sent as."""
TOLD = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": BYTES}
"""What a column of each type is in the metadata, and an output in the answer."""

MAX_DIMENSIONS = 2
_MAX_SHAPE_BYTES = 200
_SPARE_VALUES = 64
_NONE_IN_JSON = re.compile(rb"\b(NaN|Infinity)\b")
INTEGERS = {
    f"{sign}INT{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for bits in (8, 16, 32, 64)
    for sign in ("", "U")
}
_FLAT: dict[str, msgspec.json.Decoder[Any]] = {
    "integer": msgspec.json.Decoder(list[int | None]),
    "float": msgspec.json.Decoder(list[float | None]),
    "BOOL": msgspec.json.Decoder(list[bool | None]),
    BYTES: msgspec.json.Decoder(list[str | None]),
}
_NESTED: dict[str, msgspec.json.Decoder[Any]] = {
    "integer": msgspec.json.Decoder(list[list[int | None]]),
    "float": msgspec.json.Decoder(list[list[float | None]]),
    "BOOL": msgspec.json.Decoder(list[list[bool | None]]),
    BYTES: msgspec.json.Decoder(list[list[str | None]]),
}


class Tensor(Struct, frozen=True):
    """One input of a request.

    Args:
        shape: one or two dimensions, of which neither is 0.
        values: flat, in row-major order; a list, or an array of NumPy. None stands for null.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Sequence[Any]


def is_table(signature: Signature) -> bool:
    """Whether a model is asked about a table, and answers each row with one value, so that it has tensors."""
    return signature.table and signature.output.type in TOLD and not signature.output.stream


def read_shape(name: str, raw: Raw, max_rows: int) -> tuple[int, ...]:
    """The shape of an input.

    Args:
        raw: JSON as it arrived.
        max_rows: how large the first dimension may be.

    Raises:
        Problem: 400, it is none that a table has.
    """
    form = f"the shape of `{name}` must be [rows] or [rows, columns]"
    if len(raw) > _MAX_SHAPE_BYTES:
        raise Problem(400, f"{form}, and takes {len(raw)} bytes")
    try:
        shape = msgspec.json.decode(raw, type=tuple[int, ...])
    except (ValueError, RecursionError):
        raise Problem(400, f"{form}, and is {bytes(raw)[:40].decode(errors='replace')}") from None
    return check_shape(name, shape, max_rows)


def check_shape(name: str, shape: tuple[int, ...], max_rows: int) -> tuple[int, ...]:
    """The shape of an input, if it is one that a table has.

    Args:
        max_rows: how large the first dimension may be.

    Raises:
        Problem: 400, it is not.
    """
    form = f"the shape of `{name}` must be [rows] or [rows, columns]"
    if min(shape, default=0) < 0:
        raise Problem(400, f"the shape of `{name}` has a negative dimension: {list(shape)}")
    if not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise Problem(400, f"{form}, and has {len(shape)} dimensions")
    if 0 in shape:
        raise Problem(400, f"the shape of `{name}` is {list(shape)}: a request must hold at least one row")
    if shape[0] > max_rows:
        raise Problem(400, f"`{name}` holds {shape[0]} rows, and one request may ask for {max_rows}")
    return shape


def read_values(name: str, datatype: str, shape: tuple[int, ...], raw: Raw) -> Sequence[Any]:
    """The values of an input that stand in the JSON, flat or nested as the shape is.

    Values of less than 64 bits are rounded as the datatype says, so that they are what they are in binary.

    Raises:
        Problem: 400, another number of values than the shape says, or values not of the datatype.
    """
    count = math.prod(shape)
    # Each value but the last is followed by a comma: what is far too much is not even read.
    if datatype != BYTES and bytes(raw).count(b",") > 2 * count + _SPARE_VALUES:
        raise Problem(400, f"the data of `{name}` holds more than the {count} values of its shape")
    values = _decoded(name, datatype, shape, raw)
    if len(values) != count:
        raise Problem(
            400, f"the data of `{name}` holds {len(values)} values, and its shape {list(shape)} says {count}"
        )
    if datatype in INTEGERS:
        hold_range(name, datatype, values)
    if datatype in {"FP16", "FP32", "BF16"}:
        return _rounded(name, datatype, values)
    return values


def not_json(body: bytes, why: str) -> Problem:
    """That the JSON of a request is none."""
    if "malformed" in why and (found := _NONE_IN_JSON.search(body)):
        token = found[0].decode()
        return Problem(400, f"the request is not JSON, which has no {token}: null stands for a missing value")
    return Problem(400, f"the request is not what the protocol has: {why}")


def _decoded(name: str, datatype: str, shape: tuple[int, ...], raw: Raw) -> list[Any]:
    """The values as msgspec takes them at once; else looked at one by one."""
    kind = "integer" if datatype in INTEGERS else datatype if datatype in {"BOOL", BYTES} else "float"
    with suppress(ValueError, RecursionError):
        return _FLAT[kind].decode(raw)  # type: ignore[no-any-return]
    if len(shape) == MAX_DIMENSIONS:
        with suppress(ValueError, RecursionError):
            rows = _NESTED[kind].decode(raw)
            if all(len(row) == shape[1] for row in rows):
                return [value for row in rows for value in row]
    try:
        data = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise not_json(bytes(raw), str(error)) from None
    return _walked(name, datatype, shape, data)


def _walked(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> list[Any]:
    """The values, each held against the datatype.

    Raises:
        Problem: 400, with the place.
    """
    if not isinstance(data, list):
        raise Problem(400, f"the data of `{name}` must be a list, not {told_value(data)}")
    if len(shape) == MAX_DIMENSIONS and data and isinstance(data[0], list):
        for at, row in enumerate(data):
            if not isinstance(row, list) or len(row) != shape[1]:
                raise Problem(400, f"row {at} of the data of `{name}` is no list of {shape[1]} values")
        data = [value for row in data for value in row]
    for at, value in enumerate(data):
        if not _fits(datatype, value):
            raise Problem(
                400, f"value {at} of the data of `{name}` must be {datatype}, not {told_value(value)}"
            )
    exact = int if datatype in INTEGERS else float
    try:
        return (
            data if datatype in {"BOOL", BYTES} else [None if each is None else exact(each) for each in data]
        )
    except OverflowError:
        raise Problem(400, f"the data of `{name}` holds a number beyond {datatype}") from None


def _fits(datatype: str, value: Any) -> bool:
    if value is None:
        return True
    if datatype == BYTES:
        return isinstance(value, str)
    if datatype == "BOOL" or isinstance(value, bool):
        return datatype == "BOOL" and isinstance(value, bool)
    if datatype in INTEGERS:
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, int | float)


def hold_range(name: str, datatype: str, values: Sequence[Any]) -> None:
    """Look at integers of which some may be None.

    Raises:
        Problem: 400, one is beyond its datatype.
    """
    low, high = INTEGERS[datatype]
    present = [value for value in values if value is not None] if None in values else values
    if present and (min(present) < low or max(present) > high):
        at = next(at for at, value in enumerate(values) if value is not None and not low <= value <= high)
        raise Problem(400, f"value {at} of the data of `{name}` is outside of {datatype}")


def _rounded(name: str, datatype: str, values: list[Any]) -> Sequence[Any]:
    import numpy

    wide = numpy.array([math.nan if value is None else value for value in values], dtype="float64")
    with numpy.errstate(over="ignore"):
        narrow = wide.astype("float16" if datatype == "FP16" else "float32")
    if datatype == "BF16":
        bits = narrow.view("uint32")
        narrow = bfloat16((bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype("uint16"))
    if (outside := numpy.isinf(narrow)).any():
        raise Problem(400, f"value {int(outside.argmax())} of the data of `{name}` is outside of {datatype}")
    if None not in values:
        return narrow  # type: ignore[return-value]
    return [None if math.isnan(value) else value for value in narrow.tolist()]


def bfloat16(halves: Any) -> Any:
    """Values of BF16 as float32.

    Args:
        halves: an array of uint16, the upper halves.
    """
    return (halves.astype("uint32") << 16).view("float32")
