"""Pages of what is few enough to be known whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel.errors import Invalid
from mlwright.kernel.pages import Mark, Page, all_pages, page_of, write_mark


@given(st.sets(st.tuples(st.integers(), st.text()), max_size=30), st.integers(1, 7))
def test_all_pages_tell_everything_once_in_order(found: set[tuple[int, str]], limit: int) -> None:
    """Whatever the pages' size."""
    pages: list[int] = []

    def ask(_: int, token: str) -> Page[tuple[int, str]]:
        page = page_of(found, lambda each: each, "numbers", limit, token)
        pages.append(len(page.found))
        return page

    told = all_pages(ask)

    assert told == sorted(found)
    assert all(each <= limit for each in pages)
    assert len(pages) == max(1, -(-len(found) // limit))


def test_a_page_goes_on_though_its_last_one_is_gone() -> None:
    """What was taken away in between neither repeats nor skips anything."""
    first = page_of([1, 2, 3, 4], lambda each: (each,), "numbers", 2, "")

    second = page_of([1, 3, 4], lambda each: (each,), "numbers", 2, first.token)

    assert (first.found, second.found, second.token) == ([1, 2], [3, 4], "")


@pytest.mark.parametrize("token", ["nothing", write_mark(Mark(0, ("a",)), "numbers")])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    """Also one that somebody has made by hand."""
    with pytest.raises(Invalid, match="does not belong"):
        page_of([1, 2], lambda each: (each,), "numbers", 1, token)
