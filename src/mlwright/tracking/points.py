"""Points of a metric: a value at a step and a moment; many of one series as three arrays."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable, Iterator
from itertools import compress, starmap
from operator import le, lt
from typing import NamedTuple

from mlwright.kernel.errors import Invalid

_LEAST = -(2**63)
_NAN_BITS = 0x7FF8_0000_0000_0000


class Point(NamedTuple):
    """A value that a metric had at a step, reported at a moment."""

    name: str
    value: float
    step: int
    at_us: int


class Points:
    """Points of one series, in the order in which they came: `steps`, `at_us`, `values`.

    Every NaN is the same NaN: what else may stand in its bits is not kept.
    """

    __slots__ = ("at_us", "steps", "values")

    def __init__(
        self, steps: Iterable[int] = (), at_us: Iterable[int] = (), values: Iterable[float] = ()
    ) -> None:
        """Take points as three columns of one length.

        Raises:
            Invalid: a step or a moment has more than 64 bits.
        """
        try:
            self.steps = array("q", steps)
            self.at_us = array("q", at_us)
        except OverflowError as error:
            raise Invalid("a step or a moment of a metric has more than 64 bits") from error
        self.values = array("d", values)
        assert len(self.steps) == len(self.at_us) == len(self.values)

    @classmethod
    def of(cls, points: Iterable[tuple[int, int, float]]) -> Points:
        """Points from `(step, at_us, value)`, one after the other."""
        columns = list(zip(*points, strict=True))
        return cls(*columns) if columns else cls()

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        """As `(step, at_us, value)`."""
        return zip(self.steps, self.at_us, self.values, strict=True)

    def __add__(self, other: Points) -> Points:
        return Points(self.steps + other.steps, self.at_us + other.at_us, self.values + other.values)

    def cut(self, begin: int, end: int) -> Points:
        """Those from one place to before another."""
        return Points(self.steps[begin:end], self.at_us[begin:end], self.values[begin:end])

    def within(self, steps: range) -> Points:
        """Those of some steps."""
        kept = [step in steps for step in self.steps]
        return Points(compress(self.steps, kept), compress(self.at_us, kept), compress(self.values, kept))

    def add(self, step: int, at_us: int, value: float) -> None:
        """Put one more at the end.

        Raises:
            Invalid: its step or its moment has more than 64 bits.
        """
        if not (_LEAST <= step < -_LEAST and _LEAST <= at_us < -_LEAST):
            raise Invalid("a step or a moment of a metric has more than 64 bits")
        self.steps.append(step)
        self.at_us.append(at_us)
        self.values.append(value)

    @property
    def bits(self) -> array[int]:
        """The values as their 64 bits, as signed numbers."""
        bits = array("q", self.values.tobytes())
        # An infinity less itself is none either: then too, look at each.
        if math.isnan(sum(self.values)):
            return array("q", [bits_of(value) for value in self.values])
        return bits

    @property
    def in_order(self) -> bool:
        """Whether steps and moments never fall, and one of them always rises: none is there twice."""
        steps, at_us = self.steps, self.at_us
        if all(map(lt, steps, steps[1:])):
            return all(map(le, at_us, at_us[1:]))
        return all(map(lt, at_us, at_us[1:])) and all(map(le, steps, steps[1:]))

    def keys(self) -> list[Key]:
        """What each is sorted by."""
        return list(starmap(_key, zip(self.at_us, self.steps, self.bits, strict=True)))

    @classmethod
    def sorted(cls, keys: Iterable[Key]) -> Points:
        """The points of keys, each once, by moment, step and value."""
        found = sorted(set(keys))
        return cls([key.step for key in found], [key.at_us for key in found], values_of(found))


class Key(NamedTuple):
    """What a point is known and sorted by: moment, step and value, NaN before all others."""

    at_us: int
    step: int
    rank: int

    @property
    def value(self) -> float:
        """The value it was made from."""
        return values_of([self])[0]

    @property
    def in_training(self) -> tuple[int, int, int]:
        """What the last value of a metric is the highest by: step, moment, value."""
        return self.step, self.at_us, self.rank


def bits_of(value: float) -> int:
    """The 64 bits of a double as a signed number; every NaN is the same one."""
    return _NAN_BITS if math.isnan(value) else array("q", array("d", (value,)).tobytes())[0]


def value_of(bits: int) -> float:
    """The double that has these 64 bits."""
    return array("d", array("q", (bits,)).tobytes())[0]


def values_of(keys: Iterable[Key]) -> array[float]:
    """The values that keys were made from, one after the other."""
    bits = [_NAN_BITS if rank == _LEAST else _turned(rank) for _, _, rank in keys]
    return array("d", array("q", bits).tobytes())


def key_of(step: int, at_us: int, value: float) -> Key:
    """What a point is sorted by."""
    return _key(at_us, step, bits_of(value))


def _key(at_us: int, step: int, bits: int) -> Key:
    return Key(at_us, step, _LEAST if bits == _NAN_BITS else _turned(bits))


def _turned(bits: int) -> int:
    """The bits of a number so that they sort as the numbers do; twice gives them back."""
    return bits if bits >= 0 else _LEAST - 1 - bits


def little(numbers: array[int]) -> bytes:
    """Numbers as bytes that mean the same on every machine."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def from_little(data: bytes) -> array[int]:
    """The numbers of `little`."""
    numbers = array("q", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
