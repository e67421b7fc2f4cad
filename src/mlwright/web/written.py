"""Texts that somebody has written in Markdown, as HTML in which nothing of theirs is markup of ours."""

from __future__ import annotations

from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup


def written(text: str) -> Markup:
    """Markdown as HTML: tags are shown as text, links lead only to the web, and no image is loaded."""
    parser = _parser()
    tokens = parser.parse(text)
    _tame(tokens)
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704  # it escapes what is written


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
