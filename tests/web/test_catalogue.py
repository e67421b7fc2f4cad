"""The words of the pages in every language."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from jinja2.ext import extract_from_ast

from mlwright.kernel import errors
from mlwright.kernel.errors import MlwrightError
from mlwright.server.api import OPERATIONS
from mlwright.server.login import SAID
from mlwright.tracking.fields import KINDS
from mlwright.tracking.run import RunState
from mlwright.web.catalogue import LANGUAGES, words_of
from mlwright.web.declared import PACKAGE, find_pages
from mlwright.web.rendering import environment
from mlwright.workflow.attempts import AttemptState

_FIELD = re.compile(r"\{(\w+)\}")


def texts() -> Iterator[str]:
    """Every text of a template, and those that come out of values."""
    for path in sorted(PACKAGE.glob("*/pages/*.html")) + sorted((PACKAGE / "web" / "shell").glob("*.html")):
        tree = environment("en").parse(path.read_text())
        for _, _, told in extract_from_ast(tree, ("_",)):
            first = told[0] if isinstance(told, tuple) else told
            if isinstance(first, str):
                yield first
    yield from (page.title for page in find_pages(OPERATIONS))
    yield from SAID
    yield from (*RunState, *AttemptState, *KINDS, "ran", "not begun", "added", "removed", "changed")
    yield from (
        each.title
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, MlwrightError)
    )


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_every_text_is_there_in_every_language(language: str) -> None:
    """A page shows no English to whoever chose another language."""
    known = words_of(language).texts

    missing = {str(text) for text in texts()} - known.keys()

    assert not missing


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_a_translation_has_the_fields_of_its_text(language: str) -> None:
    """What stands in braces is replaced by a value, whatever the language."""
    for text, said in words_of(language).texts.items():
        assert sorted(_FIELD.findall(text)) == sorted(_FIELD.findall(said)), text
