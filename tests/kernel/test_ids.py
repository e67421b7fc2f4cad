"""Ids: unique, sortable by time, and told from other words."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel.ids import looks_like_id, new_id, short
from tests.processes import until


def test_an_id_is_26_letters_of_crockford() -> None:
    """The ULID's alphabet, beginning with a digit below 8 as 48 bits of milliseconds do."""
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", new_id())


def test_ids_are_unique() -> None:
    """Eighty random bits: no two of many made within one millisecond are the same."""
    assert len({new_id() for _ in range(20_000)}) == 20_000


def test_a_later_id_sorts_after_an_earlier_one() -> None:
    """Made a millisecond later, an id is larger, as text."""
    for _ in range(20):
        first = new_id()
        until(lambda first=first: short(new_id()) != short(first))

        assert new_id() > first


@given(st.integers(1, 26))
def test_an_id_and_its_prefixes_are_recognised(length: int) -> None:
    """From four letters on, in any case; and what people are shown is such a prefix."""
    identity = new_id()

    assert looks_like_id(identity[:length]) == looks_like_id(identity[:length].lower()) == (length >= 4)
    assert looks_like_id(short(identity))


def test_other_words_are_not_taken_for_ids() -> None:
    """A name with a letter outside the alphabet, with a sign, too long, or beginning like no time."""
    for text in ["", "01J", "pipeline", "8ABC", "01JD8I", "01JD8L", "01JD8O", "01JD8U", "01JD-8", "0" * 27]:
        assert not looks_like_id(text), text
