"""What many numbers and texts look like, in bounded memory: fed in batches, one pass.

Arrays are pyarrow's, which whoever feeds them has imported.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any


class Moments:
    """Mean and standard deviation of what was added.

    Source: Chan, Golub, LeVeque, Updating Formulae and a Pairwise Algorithm (1979).
    """

    __slots__ = ("_squares", "count", "mean")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, count: int, mean: float, variance: float) -> None:
        """Take a batch in: how many numbers, their mean, and their variance (divided by `count`)."""
        if not count:
            return
        both, apart = self.count + count, mean - self.mean
        self.mean += apart * count / both
        self._squares += variance * count + apart * apart * self.count * count / both
        self.count = both

    @property
    def std(self) -> float | None:
        """The standard deviation of a sample; None below two numbers."""
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else None


class Quantiles:
    """Quantiles of a stream of numbers.

    Full buffers of `size` sorted numbers are joined by two, and every other number of both stays, for twice
    as many; of many numbers that come at once, every p-th stays, for p. Below `2 * size` numbers nothing is
    left out, and quantiles are exact. Above, the rank of an answer is wrong by at most
    `log2(n / size) / (2 * size)` of n: 0.15% for 20 million numbers and the default size.

    Args:
        size: numbers in a buffer, even.

    Source: Manku, Rajagopalan, Lindsay, Approximate Medians (SIGMOD 1998), section 3.
    """

    def __init__(self, size: int = 4096) -> None:
        assert size >= 2 and size % 2 == 0
        self._size = size
        self._waiting: list[Any] = []
        self._waiting_count = 0
        self._levels: list[Any] = []
        self._odd = False
        self._places: dict[tuple[int, bool], Any] = {}
        self.count = 0

    def add(self, numbers: Any) -> None:
        """Take an array of float64 in, without nulls and NaN."""
        import pyarrow as pa

        self.count += len(numbers)
        self._waiting.append(numbers)
        self._waiting_count += len(numbers)
        if self._waiting_count < self._size:
            return
        rest = pa.concat_arrays(self._waiting)
        while len(rest) >= self._size:
            height = (len(rest) // self._size).bit_length() - 1
            count = self._size << height
            self._carry(self._every(_sorted(rest.slice(0, count)), 1 << height), height)
            rest = rest.slice(count)
        # A slice would keep all of the memory that it is cut out of.
        self._waiting = [pa.concat_arrays([rest, pa.array([], pa.float64())])] if len(rest) else []
        self._waiting_count = len(rest)

    def at(self, shares: Sequence[float]) -> list[float]:
        """For each share, the smallest number that so many are not above; `[]` when there are none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self.count:
            return []
        parts = [*self._waiting, *(level for level in self._levels if level is not None)]
        weights = [1] * len(self._waiting)
        weights += [2**height for height, level in enumerate(self._levels) if level is not None]
        numbers = pa.concat_arrays(parts)
        weighed = pa.concat_arrays(
            [
                pa.array([weight], pa.int64()).take(pa.array([0] * len(part), pa.int8()))
                for weight, part in zip(weights, parts, strict=True)
            ]
        )
        order = pc.sort_indices(numbers)
        ranks = pc.cumulative_sum(weighed.take(order)).to_pylist()
        sought = [max(1, math.ceil(share * self.count)) for share in shares]
        places = [min(bisect_left(ranks, rank), len(ranks) - 1) for rank in sought]
        return [float(numbers[order[place].as_py()].as_py()) for place in places]

    def _carry(self, full: Any, height: int) -> None:
        """Put a full buffer on the lowest free level from `height` on, as one adds to a binary number."""
        import pyarrow as pa

        self._levels += [None] * (height + 1 - len(self._levels))
        while (level := self._levels[height]) is not None:
            full = self._every(_sorted(pa.concat_arrays([level, full])), 2)
            self._levels[height] = None
            height += 1
            self._levels += [None] * (height + 1 - len(self._levels))
        self._levels[height] = full

    def _every(self, numbers: Any, step: int) -> Any:
        """Every `step`-th of sorted numbers, by turns the lower and the upper of the two middle ones."""
        import pyarrow as pa

        if step == 1:
            return numbers
        self._odd = not self._odd
        if (step, self._odd) not in self._places:
            places = range(step // 2 - 1 + self._odd, self._size * step, step)
            self._places[step, self._odd] = pa.array(places, pa.int32())
        return numbers.take(self._places[step, self._odd])


class Distinct:
    """How many different values there are, exactly up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: Any = None
        self.exceeded = False

    def add(self, values: Any) -> None:
        """Take an array in, without nulls."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.exceeded:
            return
        new = pc.unique(values)
        self._seen = new if self._seen is None else pc.unique(pa.concat_arrays([self._seen, new]))
        if len(self._seen) > self._limit:
            self.exceeded, self._seen = True, None

    @property
    def count(self) -> int:
        """How many, or the limit that is exceeded."""
        return self._limit if self.exceeded else len(self._seen if self._seen is not None else ())


class Frequent:
    """The most frequent texts with their counts.

    As long as all different texts find room, everything is exact. Then the rarest are let go, and each count
    is too low by at most `error`; a text that is more frequent than that is among them.

    Args:
        limit: different texts.
        limit_bytes: of them together.

    Source: Misra, Gries, Finding Repeated Elements (1982); merged as in Agarwal et al., Mergeable Summaries
    (PODS 2012), section 2.
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._counts: dict[str, int] = {}
        self._more_than = 0
        self.error = 0

    def add(self, texts: Any) -> None:
        """Take an array of text in, without nulls."""
        import pyarrow.compute as pc

        counted = pc.value_counts(texts)
        values, counts = counted.field("values"), counted.field("counts")
        if len(counts) > self._limit:
            # Let go before they become Python's: a column of names that are all different costs nothing.
            self._more_than = max(self._more_than, self._limit)
            rarest = counts[pc.sort_indices(counts, sort_keys=[("", "descending")])[self._limit].as_py()]
            self.error += rarest.as_py()
            kept = pc.greater(counts, rarest)
            values, counts = values.filter(kept), pc.subtract(counts.filter(kept), rarest)
        for value, count in zip(values.to_pylist(), counts.to_pylist(), strict=True):
            self._counts[value] = self._counts.get(value, 0) + count
        self._shrink()

    @property
    def exceeded(self) -> bool:
        """Whether there was not room for all."""
        return self._more_than > 0

    @property
    def distinct(self) -> int:
        """How many different texts, or how many there are more than."""
        return self._more_than or len(self._counts)

    def most(self, count: int) -> list[tuple[str, int]]:
        """The most frequent texts, most frequent first; of equally frequent ones by the alphabet."""
        return sorted(self._counts.items(), key=lambda each: (-each[1], each[0]))[:count]

    def _shrink(self) -> None:
        size_bytes = sum(map(len, self._counts))
        if len(self._counts) <= self._limit and size_bytes <= self._limit_bytes:
            return
        self._more_than = max(self._more_than, len(self._counts) - 1)
        fits_bytes = 0
        for place, (value, count) in enumerate(self.most(len(self._counts))):
            fits_bytes += len(value)
            if place >= self._limit or fits_bytes > self._limit_bytes:
                self.error += count
                self._counts = {each: own - count for each, own in self._counts.items() if own > count}
                return


def _sorted(numbers: Any) -> Any:
    import pyarrow.compute as pc

    return numbers.take(pc.sort_indices(numbers))
