"""Locks between two others: some packages as one has them, the rest as the other."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain

from mlwright.environments.declared import normal
from mlwright.environments.pylocks import read_pylock, write_pylock


def mixed(first: bytes, second: bytes, names: Collection[str]) -> bytes:
    """A pylock that has these packages as the second has them, or has not, and all others as the first.

    Nobody has resolved it: whether the packages go together is seen when they are used.

    Args:
        names: normalised.
    """
    documents = [read_pylock(text, where="a recorded lock") for text in (first, second)]
    chosen = [
        [package for package in document["packages"] if (normal(package["name"]) in names) == taken]
        for document, taken in zip(documents, (False, True), strict=True)
    ]
    packages = sorted(chain.from_iterable(chosen), key=lambda each: normal(each["name"]))
    return write_pylock({**documents[0], "packages": packages})
