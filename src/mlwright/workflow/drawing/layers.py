"""Where boxes stand in a layered drawing, and which way the lines between them go.

Each box stands in a layer below all that it takes from. A line that passes layers is led through them in a
lane of its own, which all lines of one source share; so no line crosses a box. What stands in a layer is
ordered by where its neighbours stand (barycentres), then put as near to them as the order allows.

Source: Sugiyama, Tagawa, Toda, Methods for Visual Understanding of Hierarchical System Structures (1981).
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

_GAP = 28.0
_LANE = 10.0
_ORDERINGS = 6
_PLACINGS = (10, 60)  # a small graph is worth more care than a large one
_PLACED = 30_000
# A lane bends last: what runs through several layers is to be straight.
_STRAIGHT = {0: 1.0, 1: 2.0, 2: 8.0}
_MOST_LANES = 8_000


class Layers(Struct, frozen=True):
    """A layout. Everything is placed by its middle.

    Args:
        layer: of each box.
        x: of each box.
        ways: for each line the middles of the lanes it passes, one for each layer between its ends; a line
            that is not led through lanes has none.
    """

    layer: tuple[int, ...]
    x: tuple[float, ...]
    ways: tuple[tuple[float, ...], ...]


class _Item(Struct):
    """A box, or a piece of a lane, while it is being placed."""

    layer: int
    width: float
    lane: bool = False
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    x: float = 0.0


def layered(widths: Sequence[float], lines: Sequence[tuple[int, int, str]]) -> Layers:
    """Lay boxes out, the first that can be on top.

    Args:
        widths: of the boxes; a box stands behind all that it takes from.
        lines: from which box to which; lines of one source and with the same third word share lanes.
    """
    layer = _layer(len(widths), [(source, target) for source, target, _ in lines])
    items = [_Item(at, width) for at, width in zip(layer, widths, strict=True)]
    lanes = _lanes(items, lines)
    order = _ordered(items)
    _place(items, order)
    left = min((item.x - item.width / 2 for item in items), default=0.0)
    for item in items:
        item.x -= left
    ways = tuple(
        tuple(items[each].x for each in lanes[source, strand][: layer[target] - layer[source] - 1])
        if (source, strand) in lanes
        else ()
        for source, target, strand in lines
    )
    return Layers(tuple(layer), tuple(item.x for item in items[: len(widths)]), ways)


def _layer(count: int, lines: Iterable[tuple[int, int]]) -> list[int]:
    """Longest paths from the top; a layer that is full sends further boxes down."""
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for source, target in lines:
        above[target].append(source)
        below[source].append(target)
    most = max(12, math.ceil(1.5 * math.sqrt(count)))
    layer: list[int] = []
    held: dict[int, int] = {}
    for place in range(count):
        at = max((layer[source] + 1 for source in above[place]), default=0)
        while held.get(at, 0) >= most:
            at += 1
        held[at] = held.get(at, 0) + 1
        layer.append(at)
    # What takes from nothing stands right above what takes from it, not far away on top.
    for place in reversed(range(count)):
        if not above[place] and below[place]:
            layer[place] = min(layer[target] for target in below[place]) - 1
    first = min(layer, default=0)
    return [at - first for at in layer]


def _lanes(items: list[_Item], lines: Sequence[tuple[int, int, str]]) -> dict[tuple[int, str], list[int]]:
    """Add the pieces of the lanes and join neighbours, as long as the pieces are not too many."""
    ends: dict[tuple[int, str], int] = {}
    for source, target, strand in lines:
        ends[source, strand] = max(ends.get((source, strand), 0), items[target].layer)
    found: dict[tuple[int, str], list[int]] = {}
    left = _MOST_LANES
    for (source, strand), end in sorted(ends.items(), key=lambda each: each[1] - items[each[0][0]].layer):
        inner = range(items[source].layer + 1, end)
        left -= len(inner)
        if left < 0:
            break  # the longest are drawn behind everything
        found[source, strand] = chain = []
        last = source
        for at in inner:
            items.append(_Item(at, _LANE, lane=True))
            chain.append(len(items) - 1)
            _join(items, last, chain[-1])
            last = chain[-1]
    for source, target, strand in lines:
        if (source, strand) in found:
            passed = items[target].layer - items[source].layer - 1
            _join(items, found[source, strand][passed - 1] if passed else source, target)
    return found


def _join(items: list[_Item], upper: int, lower: int) -> None:
    items[upper].below.append(lower)
    items[lower].above.append(upper)


def _ordered(items: list[_Item]) -> list[list[int]]:
    """What stands in each layer from left to right, with few crossings."""
    order: list[list[int]] = [[] for _ in range(1 + max((item.layer for item in items), default=-1))]
    for place, item in enumerate(items):
        order[item.layer].append(place)
    rank = [0] * len(items)
    for row in order:
        _rank(row, rank)
    best, fewest = [list(row) for row in order], _crossings(items, order, rank)
    for turn in range(_ORDERINGS):
        for row in order if turn % 2 == 0 else reversed(order):
            middles = {}
            for place in row:
                near = items[place].above if turn % 2 == 0 else items[place].below
                middles[place] = sum(rank[each] for each in near) / len(near) if near else float(rank[place])
            row.sort(key=middles.__getitem__)
            _rank(row, rank)
        crossings = _crossings(items, order, rank)
        if crossings < fewest:
            best, fewest = [list(row) for row in order], crossings
    return best


def _rank(row: list[int], rank: list[int]) -> None:
    for number, place in enumerate(row):
        rank[place] = number


def _crossings(items: list[_Item], order: list[list[int]], rank: list[int]) -> int:
    found = 0
    for row in order:
        passed: list[int] = []
        for place in row:
            ends = sorted(rank[each] for each in items[place].below)
            found += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return found


def _place(items: list[_Item], order: list[list[int]]) -> None:
    """Give each its place: side by side, then, layer by layer, as near to its neighbours as possible."""
    for row in order:
        edge = 0.0
        for place in row:
            items[place].x = edge + items[place].width / 2
            edge += items[place].width + _GAP
        for place in row:
            items[place].x -= edge / 2
    fewest, most = _PLACINGS
    turns = max(fewest, min(most, _PLACED // max(len(items), 1)))
    for turn in range(turns):
        last = turn >= turns // 2
        for row in order if turn % 2 == 0 else reversed(order):
            wanted = []
            for place in row:
                item = items[place]
                near = item.above + item.below if last else item.above if turn % 2 == 0 else item.below
                pulls = [(_STRAIGHT[item.lane + items[each].lane], items[each].x) for each in near]
                weight = sum(pull for pull, _ in pulls)
                wanted.append(
                    (weight, sum(pull * x for pull, x in pulls) / weight) if pulls else (0.1, item.x)
                )
            _settle([items[place] for place in row], wanted)


def _settle(row: list[_Item], wanted: list[tuple[float, float]]) -> None:
    """The least squares that keep the order and the gaps: neighbours that collide move as one block.

    Args:
        row: from left to right.
        wanted: of each, how strongly it is drawn where.
    """
    offsets, edge = [], 0.0
    for left, item in zip([None, *row], row, strict=False):
        if left is not None:
            gap = _LANE if left.lane and item.lane else _GAP
            edge += left.width / 2 + gap + item.width / 2
        offsets.append(edge)
    blocks: list[tuple[float, float, int]] = []  # weight, where its zero is, how many
    for offset, (weight, x) in zip(offsets, wanted, strict=True):
        block = (weight, x - offset, 1)
        while blocks and blocks[-1][1] >= block[1]:
            heavier, zero, count = blocks.pop()
            total = heavier + block[0]
            block = (total, (heavier * zero + block[0] * block[1]) / total, count + block[2])
        blocks.append(block)
    zeros = [zero for _, zero, count in blocks for _ in range(count)]
    for item, offset, zero in zip(row, offsets, zeros, strict=True):
        item.x = zero + offset
