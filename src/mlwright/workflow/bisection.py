"""Bisection: which package's upgrade changed a result, found by trying locks between two others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

Outcome = Literal["same", "different", "cannot be had"]


class Tried(Struct, frozen=True):
    """One lock between the two: the first packages have the versions of the bad one, the others not.

    Args:
        changed: how many packages were changed.
        why: of what cannot be had.
    """

    changed: int
    outcome: Outcome
    why: str = ""


class Found(Struct, frozen=True):
    """Where a result changes.

    Args:
        suspects: one package, or several that could not be told apart.
        tried: in order.
    """

    suspects: tuple[str, ...]
    tried: tuple[Tried, ...]


def bisect(names: Sequence[str], judge: Callable[[int], tuple[Outcome, str]]) -> Found:
    """Find the package with which a result changes.

    Args:
        names: the packages that differ, in the order in which they are changed. With none of them changed
            the result is the same, with all of them it is different.
        judge: the outcome with so many of the first packages changed, and why, if they cannot be had.

    Returns:
        One suspect; several where all that lies between the last that is the same and the first that is
        different cannot be had. Of several packages that each change the result, one is found.
    """
    same, different = 0, len(names)
    tried: list[Tried] = []
    useless: set[int] = set()
    while open_ones := [count for count in range(same + 1, different) if count not in useless]:
        middle = (same + different) / 2
        count = min(open_ones, key=lambda each: (abs(each - middle), each))
        outcome, why = judge(count)
        tried.append(Tried(count, outcome, why))
        match outcome:
            case "same":
                same = count
            case "different":
                different = count
            case "cannot be had":
                useless.add(count)
    return Found(tuple(names[same:different]), tuple(tried))


def in_order(names: Sequence[str], requires: Mapping[str, Sequence[str]]) -> list[str]:
    """Packages, each after those of them that it requires: what lies between two locks then mostly fits.

    Args:
        requires: by package, in normalised names.
    """
    wanted, seen, placed = set(names), set[str](), list[str]()

    def place(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        for each in sorted(requires.get(name, ())):
            place(each)
        if name in wanted:
            placed.append(name)

    for name in sorted(names):
        place(name)
    return placed
