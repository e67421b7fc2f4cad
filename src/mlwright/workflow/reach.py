"""What a step's function reaches: the first-party code and the libraries that its result can depend on."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from mlwright.kernel.digest import Digest

ANYTHING = "*"
"""Stands among the libraries for code that imports by a name it computes."""


class Reach(Struct, frozen=True):
    """What a function reaches: units by `module:name`, each with a digest; top-level names of libraries.

    Beside the statements stand `module:import NAME` for what a name is imported from, `module:order` where
    the order of statements decides what a name means, and `file:PATH`.
    """

    units: dict[str, Digest]
    libraries: frozenset[str]


def joined(reaches: Iterable[Reach]) -> Reach:
    """What several functions reach together."""
    listed = list(reaches)
    units = {name: digest for each in listed for name, digest in each.units.items()}
    return Reach(units, frozenset().union(*(each.libraries for each in listed)))
