"""Values as a page shows them, and the languages it speaks."""

from __future__ import annotations

import math

import pytest

from mlwright.kernel.clock import now_us
from mlwright.kernel.grammar import parse_filter, parse_order
from mlwright.web import words
from mlwright.web.catalogue import language_of, words_of
from mlwright.web.reader import reader_of


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (words.number(0.93124567), "0.93125"),
        (words.number(1234567), "1,234,567"),
        (words.number(143.0), "143"),
        (words.number(1.2e-07), "1.2e-07"),
        (words.number(math.nan), "nan"),
        (words.number(math.inf), "inf"),
        (words.number(None), ""),
        (words.size(7), "7 B"),
        (words.size(1536), "1.5 KiB"),
        (words.size(24 * 2**30), "24 GiB"),
        (words.seconds(0.04), "0.04 s"),
        (words.seconds(11_220), "3 h 07 min"),
        (words.moment(-1), "-1"),
        (words.machine_moment(2**62), ""),
    ],
)
def test_a_number_reads_at_a_glance(shown: str, wanted: str) -> None:
    """Numbers, sizes and moments have the digits that say something."""
    assert shown == wanted


@pytest.mark.parametrize(
    ("ago_s", "wanted"), [(3, "just now"), (60, "1 min ago"), (7199, "1 h ago"), (3 * 86_400 + 5, "3 d ago")]
)
def test_what_is_recent_is_told_by_how_long_ago(ago_s: int, wanted: str) -> None:
    """A moment of the last week is an age; before that it is a date."""
    english = words_of("en")

    assert words.age(now_us() - ago_s * 1_000_000 - 500_000, english) == wanted
    assert words.age(1_700_000_000_000_000, english) == "2023-11-14"


@pytest.mark.parametrize("name", ["auc", "val/loss", "two words", "a`b", "x.y", 'a"b', "한글"])
def test_a_column_is_named_as_a_filter_and_an_order_name_it(name: str) -> None:
    """Whatever a metric is called, its column can be sorted by, and its name read back."""
    column = words.column(name, "metrics")

    assert words.column_name(column) == name
    assert parse_filter(f"{column} > 1")[0].key == name
    assert parse_order(f"{column} desc").key == name


@pytest.mark.parametrize(
    ("chosen", "accepted", "wanted"),
    [
        ("", "", "en"),
        ("", "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("", "fr,en;q=0.5,ko;q=0.6", "ko"),
        ("en", "ko", "en"),
        ("xx", "ko;q=x,de", "en"),
        ("", "ko;q=0", "en"),
    ],
)
def test_the_language_is_what_was_chosen_else_what_the_browser_says(
    chosen: str, accepted: str, wanted: str
) -> None:
    """A choice counts more than the header, and English stands for what there is not."""
    assert language_of(chosen, accepted) == wanted


def test_what_a_reader_likes_stands_in_two_cookies() -> None:
    """All other cookies are none of our business, however long and odd they are."""
    told = reader_of({b"cookie": b'a="' + b'\\"' * 20_000 + b"; theme=dark; language=ko; theme2=light"})
    odd = reader_of({b"cookie": b"theme=" + b"x" * 50_000 + b"; language"})

    assert (told.theme, told.language) == ("dark", "ko")
    assert (odd.theme, odd.language) == ("", "en")
