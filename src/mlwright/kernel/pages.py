"""Pages of a search, and their tokens: where it stopped.

The next page begins after that row, whatever was added since.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct

from mlwright.kernel.errors import Invalid

_CHECK_BYTES = 9
_LONGEST = 1_000_000

T = TypeVar("T")
Keys = tuple[str | int, ...]
MOST_AT_ONCE = 1_000
"""So many of datasets, models and tokens are told on a page."""
Limit = Annotated[int, Meta(ge=1, le=MOST_AT_ONCE)]


class Page(Struct, Generic[T], frozen=True):
    """What was found, and the token of the next page; empty when there is none."""

    found: list[T]
    token: str = ""


class Found(Page[T], Generic[T], frozen=True, kw_only=True):
    """A page that may still end early.

    Args:
        ending: the token of the page that has only so many of these.
    """

    ending: Callable[[int], str]


class Mark(Struct, frozen=True):
    """Where a search stopped.

    Args:
        now_us: the present of its first page, which is that of all its pages.
        keys: of its last row, by what it is ordered.
    """

    now_us: int
    keys: tuple[Any, ...]


def page_of(found: Iterable[T], key: Callable[[T], Keys], search: str, limit: int, token: str) -> Page[T]:
    """So many of what is few enough to be known whole.

    Args:
        found: all of it.
        key: by what it is ordered; no two have the same.
        search: that the token must be of.
        limit: at most so many.
        token: of the page before; empty for the first.

    Raises:
        Invalid: the token is of another search.
    """
    left = sorted(found, key=key)
    if token:
        after = read_mark(token, search).keys
        try:
            left = [each for each in left if key(each) > after]
        except TypeError as error:
            raise _foreign() from error
    page = left[:limit]
    return Page(page, write_mark(Mark(0, key(page[-1])), search) if len(left) > limit else "")


def all_pages(ask: Callable[[int, str], Page[T]], limit: int = sys.maxsize) -> list[T]:
    """What stands on as many pages as it takes.

    Args:
        ask: for a page of at most so many, after the one with this token.
        limit: at most so many in all.
    """
    found: list[T] = []
    token = ""
    while len(found) < limit:
        page = ask(min(limit - len(found), MOST_AT_ONCE), token)
        found += page.found
        token = page.token
        if not token:
            break
    return found


def write_mark(mark: Mark, search: str) -> str:
    """A mark as a token, which holds good for this search only."""
    content = json.dumps([mark.now_us, *mark.keys], separators=(",", ":")).encode()
    return urlsafe_b64encode(_check(content, search) + content).decode()


def read_mark(token: str, search: str) -> Mark:
    """The mark that a token was made of.

    Raises:
        Invalid: it is no token, or of another search.
    """
    try:
        whole = urlsafe_b64decode(token.encode("ascii")) if len(token) <= _LONGEST else b""
        check, content = whole[:_CHECK_BYTES], whole[_CHECK_BYTES:]
        if check != _check(content, search):
            raise ValueError
        now_us, *keys = json.loads(content)
        return Mark(now_us, tuple(keys))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _foreign() from error


def _foreign() -> Invalid:
    return Invalid(
        "the page token does not belong to this search",
        hint="send the token of the page before, with the same filter and order; or none, to begin",
    )


def _check(content: bytes, search: str) -> bytes:
    return hashlib.blake2b(search.encode() + content, digest_size=_CHECK_BYTES).digest()
