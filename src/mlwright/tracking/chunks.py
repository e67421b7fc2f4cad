"""Points as bytes: open ones as they are, sealed ones as small as is quickly done.

Open points are three columns of 64 bits: steps, moments, bits of the values. A chunk is a byte that names
the format, one that says which columns are no differences, the number of points in four bytes, and the
columns, deflated: numbers as differences, and bytes of equal weight side by side.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from itertools import accumulate
from operator import sub

from mlwright.kernel.errors import Corrupt
from mlwright.tracking.points import Points, from_little, little

_HEAD = struct.Struct("<BBI")
_FORMAT = 1
_WIDTH = 8
_LEVEL = 1
_MOST_POINTS = 1 << 20


def plain(points: Points) -> bytes:
    """Points as bytes, in their order; every bit of their values is kept."""
    return little(points.steps) + little(points.at_us) + little(points.bits)


def from_plain(data: bytes) -> Points:
    """The points of `plain`.

    Raises:
        Corrupt: these are not bytes that `plain` wrote.
    """
    if len(data) % (3 * _WIDTH):
        raise Corrupt("open points of a metric are cut off")
    size = len(data) // 3
    return _points(*(from_little(data[begin : begin + size]) for begin in (0, size, 2 * size)))


def pack(points: Points) -> bytes:
    """Points as bytes, in their order; every bit of their values is kept.

    Args:
        points: at most 2**20.
    """
    assert len(points) <= _MOST_POINTS
    undiffered, body = 0, []
    for place, column in enumerate((points.steps, points.at_us)):
        differences = _differences(column)
        if differences is None:
            undiffered |= 1 << place
        body.append(_woven(little(column if differences is None else differences)))
    body.append(_woven(little(points.bits)))
    return _HEAD.pack(_FORMAT, undiffered, len(points)) + zlib.compress(b"".join(body), _LEVEL)


def unpack(data: bytes) -> Points:
    """The points of `pack`.

    Raises:
        Corrupt: these are not bytes that `pack` wrote.
    """
    if len(data) < _HEAD.size:
        raise Corrupt("a chunk of a metric is cut off")
    known, undiffered, count = _HEAD.unpack_from(data)
    if known != _FORMAT or undiffered > 3 or count > _MOST_POINTS:
        raise Corrupt("a chunk of a metric begins with what none begins with")
    size = count * _WIDTH
    try:
        body = zlib.decompressobj().decompress(data[_HEAD.size :], 3 * size + 1)
    except zlib.error as error:
        raise Corrupt(f"a chunk of a metric cannot be read: {error}") from error
    if len(body) != 3 * size:
        raise Corrupt("a chunk of a metric has not as many points as it says")
    columns = [from_little(_unwoven(body[begin : begin + size])) for begin in (0, size, 2 * size)]
    try:
        for place in (0, 1):
            if not undiffered & 1 << place:
                columns[place] = array("q", accumulate(columns[place]))
    except OverflowError as error:
        raise Corrupt("a chunk of a metric has numbers of more than 64 bits") from error
    return _points(*columns)


def _points(steps: array[int], at_us: array[int], bits: array[int]) -> Points:
    return Points(steps, at_us, array("d", bits.tobytes()))


def _differences(numbers: array[int]) -> array[int] | None:
    """The first number, then what each is more than the one before; None where 64 bits are too few."""
    try:
        return numbers[:1] + array("q", map(sub, numbers[1:], numbers))
    except OverflowError:
        return None


def _woven(data: bytes) -> bytes:
    """All first bytes, then all second bytes: neighbours are alike in most of them, and deflate well."""
    return b"".join([data[place::_WIDTH] for place in range(_WIDTH)])


def _unwoven(data: bytes) -> bytes:
    plain = bytearray(len(data))
    length = len(data) // _WIDTH
    for place in range(_WIDTH):
        plain[place::_WIDTH] = data[place * length : (place + 1) * length]
    return bytes(plain)
