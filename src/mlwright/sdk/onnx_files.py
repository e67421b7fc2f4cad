"""ONNX files looked at without ONNX's own library: no weights in other files, whose paths could be any."""

from __future__ import annotations

from collections.abc import Iterator

from mlwright.kernel.errors import Invalid

_WORD = b"location"
"""The key that every reference to another file has; where the word is not, none is."""
_LOCATION = 14
_EXTERNAL = 13

# The messages that can hold tensors, as fields by number; "tensor" is what is looked for.
# Source: onnx.proto, IR version 13.
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}


def refuse_outside(data: bytes, what: str) -> None:
    """No weights in other files.

    Args:
        data: the model, a message of protobuf.
        what: how a message names it.

    Raises:
        Invalid: it has some, or is no such message.
    """
    if _WORD not in data:
        return  # most models are not walked through: a forest has a field for each number of each tree
    waiting = [("model", memoryview(data))]
    while waiting:
        kind, message = waiting.pop()
        inside = _MESSAGES.get(kind, {})
        for number, value in _fields(message, what):
            outside = (number == _LOCATION and value) or number == _EXTERNAL
            if kind == "tensor" and outside:
                raise Invalid(
                    f"{what} keeps weights in another file", hint="bring them in: onnx.load(path), onnx.save"
                )
            if number in inside and isinstance(value, memoryview):
                waiting.append((inside[number], value))


def _fields(message: memoryview, what: str) -> Iterator[tuple[int, memoryview | int]]:
    """The fields of a message: the number of each and its bytes, or the value of a varint.

    Source: protobuf.dev, Encoding.
    """
    place = 0
    try:
        while place < len(message):
            tag, place = _varint(message, place)
            match tag & 7:
                case 0:
                    value, place = _varint(message, place)
                    yield tag >> 3, value
                case 1:
                    place += 8
                case 2:
                    length, place = _varint(message, place)
                    if length > len(message) - place:
                        raise IndexError
                    yield tag >> 3, message[place : place + length]
                    place += length
                case 5:
                    place += 4
                case _:  # groups, which ONNX has never had
                    raise IndexError
    except IndexError:
        raise Invalid(f"{what} is no ONNX model") from None


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number of at most ten bytes, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
    raise IndexError
