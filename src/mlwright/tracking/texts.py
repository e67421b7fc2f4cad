"""Texts that clients send, as far as a database can hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from mlwright.kernel.errors import Invalid
from mlwright.kernel.words import cut

_SHOWN = 60
_TOGETHER = 500


def held(text: str, what: str) -> str:
    """The text, if a database can hold it.

    Args:
        text: what was sent.
        what: it is, for the message: `the name of a tag`.

    Raises:
        Invalid: it has a NUL or half of a surrogate pair in it.
    """
    if "\0" in text:
        raise Invalid(f"{what} has a NUL in it: {cut(text, _SHOWN)!r}", hint="leave it out")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Invalid(
            f"{what} has half of a surrogate pair in it, at letter {error.start}",
            hint="send text that can be written as UTF-8",
        ) from error
    return text


def held_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags, if a database can hold them.

    Raises:
        Invalid: a name or a value has a NUL or half of a surrogate pair in it.
    """
    return {
        held(name, "the name of a tag"): held(value, f"the value of tag {cut(name, _SHOWN)!r}")
        for name, value in tags.items()
    }


def joined(ids: Iterable[str], letters: int) -> Iterator[str]:
    """Ids one behind the other, as queries take them that ask for many rows at once.

    Args:
        ids: each of that many letters.
        letters: of each id.

    Returns:
        Texts of 500 ids at most: to take a text apart costs the square of its length.
    """
    rest = iter(ids)
    while together := "".join(islice(rest, _TOGETHER)):
        assert len(together) % letters == 0, "whole ids"
        yield together
