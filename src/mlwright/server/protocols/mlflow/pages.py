"""A page of an answer as JSON, which ends early where it would become too long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from mlwright.kernel.pages import Found
from mlwright.server.call import Encoded, encode
from mlwright.server.protocols.mlflow import limits

_AT_ONCE = 50
T = TypeVar("T")


def told_page(name: str, page: Found[Any], told: Iterable[Any]) -> Encoded:
    """A page of a search, with the token of the next; what there is none of is left out.

    Args:
        name: of the field with what was found.
        told: what was found, in MLflow's words: made one after the other, no more of it than fits.
    """
    pieces: list[bytes] = []
    size, token = 0, page.token
    for each in told:
        piece = encode(each)
        size += len(piece) + 1
        if pieces and size > limits.PAGE_BYTES:
            token = page.ending(len(pieces))
            break
        pieces.append(piece)
    fields = [b'"%s":[%s]' % (name.encode(), b",".join(pieces))] if pieces else []
    fields += [b'"next_page_token":' + encode(token)] if token else []
    return Encoded(b"{%s}" % b",".join(fields))


def in_blocks(found: Sequence[T], told: Callable[[Sequence[T]], Iterable[Any]]) -> Iterator[Any]:
    """What was found in MLflow's words, a few at a time.

    Args:
        told: says it of some.
    """
    for begin in range(0, len(found), _AT_ONCE):
        yield from told(found[begin : begin + _AT_ONCE])
