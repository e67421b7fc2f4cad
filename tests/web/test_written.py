"""Markdown that somebody has written, on a page."""

from __future__ import annotations

import pytest

from mlwright.web.written import MOST, written

WIDE = "|a" * 500 + "|\n" + "|-" * 500 + "|\n" + "|\n" * 10_000
"""A table whose short rows are filled up."""


@pytest.mark.parametrize(
    "text",
    ["[" * 40_000, "![" * 16_000 + "\n", "[a" * (MOST // 2), "[" * 30 + "&" * 32_000, "*_" * 500_000, WIDE],
)
def test_a_text_that_takes_long_is_shown_as_it_is(text: str) -> None:
    """Whoever writes a card cannot hold up who reads it: each of these takes a second or more as Markdown."""
    shown = written(text)

    assert shown.startswith("<pre>") and shown.count("[") == text.count("[")


def test_what_is_shown_as_it_is_is_no_markup() -> None:
    """Tags in a text that is too long are letters."""
    assert written("<script>" + "a" * MOST) == "<pre>&lt;script&gt;" + "a" * MOST + "</pre>"


def test_a_long_card_with_many_links_is_markdown() -> None:
    """A list of 300 links and a text of nearly 32 KiB are read as ever."""
    text = "# Title\n\n" + "- see [this](https://example.org/a) and what else there is\n" * 300 + "\n"
    text += "A paragraph of some *words*, with a [link](https://example.org).\n\n" * 200

    shown = written(text)

    assert shown.startswith("<h1>Title</h1>")
    assert shown.count("<a href=") == 500
