"""Words as people compare them: without case and accents, in any script; and where they stand in a text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

_PIECE_WORDS = 12
_LONGEST = 200
_MOST_WORDS = 15_000
"""The places that PostgreSQL can tell apart end at 16,383, and what it keeps of a text at 1 MiB."""
_WEIGHTS = "ABCD"

Phrase = tuple[str, ...]


class Word(NamedTuple):
    """A word as it is compared, and where it stands."""

    text: str
    start: int
    end: int


def words_of(text: str) -> Iterator[Word]:
    """The words of a text: letters and digits in a row, with the accents on them."""
    start = -1
    for place, sign in enumerate(f"{text} "):
        kind = unicodedata.category(sign)
        if kind[0] in "LN" or kind == "Co" or (start >= 0 and kind[0] == "M"):
            start = place if start < 0 else start
        elif start >= 0:
            if plain := _plain(text[start:place]):
                yield Word(plain, start, place)
            start = -1


def phrases(asked: str) -> list[Phrase]:
    """What is asked for, apart at blanks: the words of each stand side by side."""
    found = (tuple(word.text for word in words_of(each)) for each in asked.split())
    return [phrase for phrase in found if phrase]


def wanted(asked: Sequence[Phrase]) -> str:
    """A `tsquery` of PostgreSQL: all phrases, of which the very last word may be the beginning of one."""
    told = [[f"'{word[:_LONGEST]}'" for word in phrase] for phrase in asked]
    if told:
        told[-1][-1] += ":*"
    return " & ".join(f"({' <-> '.join(phrase)})" for phrase in told)


def lexemes(fields: Sequence[str]) -> str:
    """A `tsvector` of PostgreSQL: the words of four fields with their places; the first field counts most."""
    places: dict[str, list[str]] = {}
    place = 0
    for weight, field in zip(_WEIGHTS, fields, strict=True):
        place += 1  # no phrase reaches from one field into the next
        for word in words_of(field):
            place += 1
            if place > _MOST_WORDS:
                break
            places.setdefault(word.text[:_LONGEST], []).append(f"{place}{weight}")
    return " ".join(f"'{word}':{','.join(at[:255])}" for word, at in places.items())


def marked(text: str, asked: Sequence[Phrase]) -> str:
    """A piece of a text with words that were asked for, these in brackets; empty where there are none."""
    words = list(words_of(text))
    found = sorted(_places([word.text for word in words], asked))
    if not found:
        return ""
    begin = max(
        (first for first, _ in found),
        key=lambda start: (sum(start <= first < start + _PIECE_WORDS for first, _ in found), -start),
    )
    if begin == found[0][0] < _PIECE_WORDS // 2:
        begin = 0  # a beginning is read best as it is
    end = min(len(words), begin + _PIECE_WORDS)
    shown = _joined([pair for pair in found if begin <= pair[0] < end])
    end = max(end, shown[-1][1] + 1)
    cut = [0 if begin == 0 else words[begin].start]
    for first, last in shown:
        cut += [words[first].start, words[last].end]
    cut.append(len(text) if end == len(words) else words[end - 1].end)
    signs = "[]"
    piece = text[cut[0] : cut[1]]
    for number, (left, right) in enumerate(pairwise(cut[1:])):
        piece += signs[number % 2] + text[left:right]
    return f"{'...' if begin else ''}{piece}{'' if end == len(words) else '...'}"


def _places(words: Sequence[str], asked: Sequence[Phrase]) -> Iterator[tuple[int, int]]:
    """The first and the last word of each place where a phrase stands."""
    for number, phrase in enumerate(asked):
        open_end = number == len(asked) - 1
        *whole, last = phrase
        for first in range(len(words) - len(whole)):
            end = first + len(whole)
            fits = words[end].startswith(last) if open_end else words[end] == last
            if fits and list(words[first:end]) == whole:
                yield first, end


def _joined(found: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Places that overlap are one."""
    joined: list[tuple[int, int]] = []
    for first, last in found:
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _plain(word: str) -> str:
    bare = "".join(
        sign for sign in unicodedata.normalize("NFD", word) if unicodedata.category(sign)[0] != "M"
    )
    return unicodedata.normalize("NFC", bare).lower()
