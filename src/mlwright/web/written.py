"""Texts that somebody has written in Markdown, as HTML in which nothing of theirs is markup of ours."""

from __future__ import annotations

import re
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

MOST = 32 << 10
"""So many letters are read as Markdown; a longer text is shown as it is."""
_MOST_LOOKING = 300_000
_MOST_CELLS = 20_000
_BLOCK = re.compile(r"\n[ \t\r]*\n|\n(?= {0,3}[-*+] +\S)")


def written(text: str) -> Markup:
    """Markdown as HTML: tags are shown as text, links lead only to the web, and no image is loaded.

    A text that would take long to read as Markdown is shown as it is.
    """
    if len(text) > MOST or _looking(text) > _MOST_LOOKING or _cells(text) > _MOST_CELLS:
        return Markup("<pre>{}</pre>").format(text)
    parser = _parser()
    tokens = parser.parse(text)
    _tame(tokens)
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704  # it escapes what is written


def _looking(text: str) -> int:
    """How far is looked in all for the ends of links: from each bracket to the end of its block, at most."""
    return sum(block.count("[") * len(block) for block in _BLOCK.split(text))


def _cells(text: str) -> int:
    """How many cells tables have in all, at most: rows that are short are filled up."""
    lines = text.split("\n")
    return len(lines) * max(line.count("|") for line in lines)


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("js-default", {"html": False, "linkify": False}).disable("image")


def _tame(tokens: list[Token]) -> None:
    """Take away what the policy of the pages forbids, and say that links lead elsewhere."""
    for token in tokens:
        token.attrs.pop("style", None)
        if token.type == "link_open":
            token.attrs["rel"] = "noopener noreferrer nofollow"
        if token.children:
            _tame(token.children)
