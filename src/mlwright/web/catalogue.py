"""The pages' words in the languages they are read in. English stands in the templates."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from msgspec import Struct

_FOLDER = Path(__file__).parent / "catalogues"
LANGUAGES = {"en": "English", "ko": "한국어"}
"""Those there are, each in its own words; the first stands for all others."""


class Words(Struct, frozen=True):
    """The words of a language.

    Args:
        language: as in `lang` of HTML.
        texts: by the English one.
    """

    language: str
    texts: dict[str, str]

    def __call__(self, text: str, **values: object) -> str:
        """A text in this language, with values in place of `{name}`; one that is missing in English."""
        said = self.texts.get(text, text)
        return said.format_map(values) if values else said


@cache
def words_of(language: str) -> Words:
    """The words of a language that there is."""
    path = _FOLDER / f"{language}.toml"
    if language == next(iter(LANGUAGES)):
        return Words(language, {})
    return Words(language, tomllib.loads(path.read_text(encoding="utf-8")))


def language_of(chosen: str, accepted: str) -> str:
    """The language for a reader.

    Args:
        chosen: what was chosen on a page; empty for nothing.
        accepted: the header `Accept-Language`: `ko-KR,ko;q=0.9,en;q=0.8`.
    """
    if chosen in LANGUAGES:
        return chosen
    wanted: list[tuple[float, str]] = []
    for each in accepted.split(",")[:20]:
        name, _, quality = each.strip().partition(";q=")
        try:
            wanted.append((float(quality or 1), name.partition("-")[0].lower()))
        except ValueError:
            continue
    wanted.sort(key=lambda pair: -pair[0])
    return next(
        (name for quality, name in wanted if quality > 0 and name in LANGUAGES), next(iter(LANGUAGES))
    )
