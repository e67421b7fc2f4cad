"""Locks made of others: some packages as one has them, the rest as another, or as the index has them."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path

from mlwright.environments.builds import Environment
from mlwright.environments.credentials import masked, refuse_credentials
from mlwright.environments.declared import normal
from mlwright.environments.pylocks import of_indexes, read_pylock, write_pylock
from mlwright.environments.refusals import excludes
from mlwright.environments.uv import Uv
from mlwright.kernel.errors import Invalid, MlwrightError

_APART = "the packages of the model and those of the server do not go together"
_OWN_WORDS = "\n  uv's own words:"


class Exclusive(Invalid):
    """Packages of two that exclude each other, as uv has found: no environment can hold both.

    Args:
        error: what uv said, as we tell it.
        why: the same in a line or two.
    """

    def __init__(self, error: MlwrightError, why: str) -> None:
        super().__init__(error.message, where=error.where, hint=error.hint)
        self.why = why


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


def alone(uv: Uv, python: Path, requirements: Sequence[str], what: str) -> bytes:
    """A pylock of nothing but some packages and what they need.

    Args:
        python: the interpreter that it is for.
        requirements: as a user would write them (PEP 508).
        what: could not be done, should it fail.

    Raises:
        Unavailable: they cannot be had; uv's own words follow.
        Invalid: it would hold a password.
    """
    with tempfile.TemporaryDirectory() as folder:
        wanted, target = Path(folder) / "requirements.in", Path(folder) / "pylock.toml"
        wanted.write_text("\n".join(requirements))
        uv.run(
            *["pip", "compile", "--format", "pylock.toml", "--no-header"],
            *["--python", str(python), "-o", str(target), str(wanted)],
            what=what,
        )
        resolved = target.read_bytes()
    refuse_credentials(resolved.decode(), "the lock")
    return resolved


def with_more(uv: Uv, base: Environment, text: bytes, requirements: Sequence[str]) -> bytes:
    """A pylock that holds all that an environment has, the same files from the same places, and more.

    Args:
        base: whose packages are kept as they are.
        text: its pylock.
        requirements: as a user would write them (PEP 508).

    Raises:
        Exclusive: the two exclude each other.
        NotFound, Unavailable: one of them cannot be had; uv's own words follow.
        Invalid: it would hold a password.
    """
    document = read_pylock(text, base.lock.label)
    pins = {name: f"{name}=={pin.partition(' ')[0]}" for name, pin in base.inventory.pins.items()}
    asked = sorted(pins.keys() & of_indexes(document))
    with tempfile.TemporaryDirectory() as folder:
        wanted, kept = Path(folder) / "requirements.in", Path(folder) / "kept.txt"
        target = Path(folder) / "pylock.toml"
        wanted.write_text("\n".join([*(pins[name] for name in asked), *requirements]))
        kept.write_text("\n".join(pins.values()))
        done = uv.run(
            *["pip", "compile", "--format", "pylock.toml", "--no-header"],
            *["--python", str(base.python), "--constraint", str(kept)],
            *["-o", str(target), str(wanted)],
            check=False,
        )
        if done.returncode != 0:
            error = uv.refused(_APART, done)
            if excludes(masked(done.stderr)):
                raise Exclusive(error, _why(error, base.inventory.pins, requirements))
            raise error
        resolved = target.read_bytes()
    refuse_credentials(resolved.decode(), "the lock")
    # An index may have another package of that name and version: what is there stays what it is.
    return mixed(resolved, text, base.inventory.pins)


def _why(error: MlwrightError, pins: Mapping[str, str], requirements: Sequence[str]) -> str:
    """What excludes what: the versions that are there and do not do; else what uv said."""
    from packaging.requirements import Requirement

    there = {name: pin.partition(" ")[0] for name, pin in pins.items()}
    clashes = [
        f"the model has {each.name} {there[name]}, the server needs {each.name}{each.specifier}"
        for each in map(Requirement, requirements)
        if (name := normal(each.name)) in there and not each.specifier.contains(there[name], prereleases=True)
    ]
    said = error.message.removeprefix(f"{_APART}: ").partition(_OWN_WORDS)[0]
    first, *rest = (line.strip() for line in said.splitlines())
    return "; ".join(clashes) or f"{first} {'; '.join(rest)}".strip()
