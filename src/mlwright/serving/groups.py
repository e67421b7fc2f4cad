"""Versions side by side: what share of the requests each answers, and which are only asked in the shadow.

Who answers is decided by a number from 0 to 100: by chance, or by a key that a request carries. The shares
lie one behind the other from 0 on, and the first version has what is left; so a share that grows takes from
the first version, and gives it nobody back.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from random import random
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from mlwright.kernel.errors import Incompatible, Invalid
from mlwright.serving.likeness import unanswered, unshadowed, untaken

if TYPE_CHECKING:
    from mlwright.serving.spec import ModelSpec

KEY = "x-mlwright-key"
"""The header with whatever a request shall always be answered by the same version for."""
_ALL = 100.0


class Share(Struct, frozen=True):
    """What a version answers beside the first one.

    Args:
        model: its reference, as `diagnosis@5`.
        percent: of the requests; of 0 none but those that ask for it by its number.
    """

    model: str
    percent: float


class Group(Struct, frozen=True):
    """Versions that answer where the first model of a replica is asked.

    Args:
        shares: in the order in which they lie between 0 and 100; the first model has what is left.
        shadows: references of those that are asked the same after the client has been answered. What they
            answer is recorded and counted.
    """

    shares: tuple[Share, ...] = ()
    shadows: tuple[str, ...] = ()

    @classmethod
    def of(cls, shares: Mapping[str, Any], shadows: Sequence[str] = ()) -> Self | None:
        """A group as people say it; None if they say nothing.

        Args:
            shares: percent, by reference.

        Raises:
            Invalid: a share is no number.
        """
        if not shares and not shadows:
            return None
        for model, percent in shares.items():
            if isinstance(percent, bool) or not isinstance(percent, int | float):
                raise _no_share(model, percent)
        return cls(tuple(Share(model, float(each)) for model, each in shares.items()), tuple(shadows))

    @property
    def rest(self) -> float:
        """The percent that the first model answers."""
        return _ALL - sum(each.percent for each in self.shares)

    @property
    def members(self) -> tuple[str, ...]:
        """All but the first model."""
        return (*(each.model for each in self.shares), *self.shadows)

    def part_of(self, model: str) -> str:
        """What one of its versions has of the requests, in words: `10%`, or `shadow`."""
        if model in self.shadows:
            return "shadow"
        percent = next((each.percent for each in self.shares if each.model == model), self.rest)
        return f"{percent:g}%"

    def check(self, models: Sequence[ModelSpec]) -> None:
        """Hold it against the models of a replica.

        Raises:
            Invalid: it names what is not served, or one twice; or the shares leave nothing, or are none.
            Incompatible: a version does not take what the first one takes, or answers otherwise; the message
                says what differs.
        """
        first, served = models[0], {each.model: each for each in models}
        for model in self.members:
            if model not in served:
                raise Invalid(
                    f"{model} is not served here, and is to be a part of a group",
                    hint=f"it is one of {', '.join(served)}",
                )
            if model == first.model:
                raise Invalid(
                    f"{model} is the first model: it answers what the others leave",
                    hint="name the share or the shadow of another version",
                )
            if self.members.count(model) > 1:
                raise Invalid(
                    f"{model} is named twice", hint="give it one share, or have it asked in the shadow"
                )
        self._check_shares(first.model)
        for model in self.members:
            _check_alike(first, served[model], shadow=model in self.shadows)

    def _check_shares(self, first: str) -> None:
        for each in self.shares:
            if not (math.isfinite(each.percent) and 0 <= each.percent <= _ALL):
                raise _no_share(each.model, each.percent)
        if self.shares and self.rest <= 0:
            told = " and ".join(f"{each.model} ({each.percent:g}%)" for each in self.shares)
            raise Invalid(
                f"{told} leave nothing for {first}, which is the first model",
                hint=f"give less than {_ALL:g} percent away; or name the version first that is to answer",
            )


def shares_of(words: Sequence[str]) -> dict[str, float]:
    """What the command line says: each `MODEL=PERCENT`.

    Raises:
        Invalid: one does not.
    """
    shares = {}
    for word in words:
        model, _, percent = word.rpartition("=")
        try:
            shares[model.strip()] = float(percent.removesuffix("%"))
        except ValueError:
            model = ""
        if not model.strip():
            raise Invalid(
                f"--split {word} does not say who answers how much",
                hint="write it as --split diagnosis@5=10, for 10 percent of the requests",
            ) from None
    return shares


class Split:
    """Decides who answers.

    Args:
        group: what shares there are.
        first: the reference of the first model.
    """

    def __init__(self, group: Group, first: str) -> None:
        self.models = [*(each.model for each in group.shares), first]
        self._ends = list(accumulate(each.percent for each in group.shares))
        self._first = first

    def place(self, key: bytes = b"") -> int:
        """Who answers a request, as a place among `models`.

        Args:
            key: with the same one, always the same; empty for chance.
        """
        return bisect_right(self._ends, point_of(key, self._first) if key else random() * _ALL)  # noqa: S311


def point_of(key: bytes, first: str) -> float:
    """Where a key lies from 0 to 100, on every replica, today and tomorrow.

    Args:
        first: the reference of the first model: what is tried beside another one is tried on others.
    """
    digest = hashlib.sha256(first.encode() + b"\n" + key).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * _ALL


def _no_share(model: str, percent: Any) -> Invalid:
    return Invalid(
        f"{percent!r} is no share of the requests for {model}",
        hint="give it in percent, from 0 to 100: 10, or 0.5",
    )


def _check_alike(first: ModelSpec, other: ModelSpec, *, shadow: bool) -> None:
    alone = "serve it by itself, on a port of its own"
    if differs := untaken(first.signature, other.signature):
        raise Incompatible(f"{other.model} does not take all that {first.model} takes: {differs}", hint=alone)
    if shadow and (why := unshadowed(first.signature, other.signature)):
        raise Incompatible(f"{other.model} cannot be asked in the shadow of {first.model}: {why}", hint=alone)
    if not shadow and (differs := unanswered(first.signature, other.signature)):
        raise Incompatible(
            f"{other.model} does not answer as {first.model} does: {differs}",
            hint=f"{alone}; or ask it in the shadow: --shadow {other.model}",
        )
