"""Locks between two others: some packages as one has them, the rest as the other."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain

from mlwright.environments.declared import normal
from mlwright.environments.pylocks import files_of, read_pylock, write_pylock


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


def differing(first: bytes, second: bytes) -> dict[str, tuple[str, str]]:
    """The packages that differ between two pylocks, by normalised name, with both versions."""
    before, after = (_packages(text) for text in (first, second))
    return {
        name: (before.get(name, ("",))[0], after.get(name, ("",))[0])
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }


def _packages(text: bytes) -> dict[str, tuple[str, object]]:
    """Version, and what says which files these are, of each package."""
    found: dict[str, tuple[str, object]] = {}
    for package in read_pylock(text, where="a recorded lock")["packages"]:
        name, version = normal(package["name"]), str(package.get("version", ""))
        files = sorted(str(sorted(each["hashes"].items())) for each in files_of(package))
        known = found.get(name)
        # One package may be locked more than once, for different platforms.
        found[name] = (
            f"{known[0]}, {version}" if known else version,
            (known and known[1], files, package.get("vcs")),
        )
    return found
