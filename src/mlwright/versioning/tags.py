"""Tags: a key and a value, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlwright.kernel.errors import Invalid
from mlwright.versioning.references import check_name

_LONGEST = 250


def parse_tags(texts: Iterable[str]) -> dict[str, str]:
    """Tags as a user types them: `KEY=VALUE`.

    Raises:
        Invalid: a text is none, or a key comes twice.
    """
    tags: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise Invalid(f"{text!r} is not a tag", hint="write KEY=VALUE: --tag source=clinic")
        if key in tags:
            raise Invalid(f"the tag `{key}` is given twice")
        tags[key] = value
    return check_tags(tags)


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags that a version can have.

    Raises:
        Invalid: a key is no name, or a value is empty, of several lines, or longer than 250 letters.
    """
    for key, value in tags.items():
        check_name(key, "tag")
        if not isinstance(value, str) or not value or not value.isprintable() or len(value) > _LONGEST:
            raise Invalid(
                f"the value of the tag `{key}` cannot be kept",
                hint=f"write one line of text, at most {_LONGEST} letters",
            )
    return dict(tags)
