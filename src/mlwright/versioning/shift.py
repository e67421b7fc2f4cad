"""How far a distribution has moved, from counts alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlwright.kernel.errors import Invalid

_LEAST_SHARE = 0.0001
"""What an empty bin counts as: without it, one would make the index infinite."""


def population_stability(reference: Sequence[int], current: Sequence[int]) -> float:
    """How far a feature has moved from its reference (PSI), in nats.

    Args:
        reference: how many values lie in each bin; at least one value in all.
        current: the same for what is compared, in the same bins.

    Returns:
        0.0 for the same shares; larger is further, and the same the other way round. 0.1 is usually taken for
        a moderate, 0.2 for a large shift.

    Raises:
        Invalid: other bins, or a side without values.

    Source: Siddiqi, Credit Risk Scorecards (2006), ch. 6.
    """
    if len(reference) != len(current):
        raise Invalid(f"{len(reference)} bins cannot be compared with {len(current)}")
    if not sum(reference) or not sum(current):
        raise Invalid("a distribution without values cannot be compared")
    pairs = zip(_shares(reference), _shares(current), strict=True)
    return math.fsum((now - before) * math.log(now / before) for before, now in pairs)


def shift_by_chance(reference: int, current: int, bins: int) -> float:
    """The index that two samples of one distribution have in the mean, by chance alone, in nats.

    Args:
        reference: how many values were counted there, at least one.
        current: how many here, at least one.
        bins: that values can lie in.

    Source: Yurdakul, Naranjo, Statistical properties of the population stability index (2020), section 3.
    """
    return (bins - 1) * (1 / reference + 1 / current)


def _shares(counts: Sequence[int]) -> list[float]:
    count = sum(counts)
    return [max(each / count, _LEAST_SHARE) for each in counts]
