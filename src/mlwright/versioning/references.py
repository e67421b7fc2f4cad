"""References: `name`, `name@3`, `name@alias`, `name@b3:ab12`."""

from __future__ import annotations

import re

from msgspec import Struct

from mlwright.kernel.errors import Invalid

NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"b3:[0-9a-f]{4,64}")
LATEST = "latest"
_REPORTED_LETTERS = 256
_REPORTED_ALIAS = re.compile(r"[\w-]{1,255}")


class Reference(Struct, frozen=True):
    """A name and which of its versions: a number, the beginning of a digest, or an alias."""

    name: str
    number: int | None = None
    digest: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        if self.number is not None:
            return f"{self.name}@{self.number}"
        if self.digest is not None:
            return f"{self.name}@b3:{self.digest}"
        return f"{self.name}@{self.alias}"


def parse_reference(text: str, what: str) -> Reference:
    """Read a reference; a bare name means its latest version.

    Args:
        text: as a user types it.
        what: `dataset` or `model`, for the message.

    Raises:
        Invalid: it is none.
    """
    name, at, selector = text.partition("@")
    if not NAME.fullmatch(name) and not (what == "model" and is_reported_name(name)):
        raise Invalid(
            f"{text!r} is not a {what} reference",
            hint=f"names are letters, digits, `.`, `_` and `-`; write NAME, NAME@3 or NAME@{LATEST}",
        )
    if not at:
        return Reference(name, alias=LATEST)
    if selector.isascii() and selector.isdigit() and len(selector) < 18:
        return Reference(name, number=int(selector))
    if _DIGEST.fullmatch(selector):
        return Reference(name, digest=selector[3:])
    if NAME.fullmatch(selector) or (what == "model" and is_reported_alias(selector)):
        return Reference(name, alias=selector)
    raise Invalid(
        f"{text!r} is not a {what} reference", hint=f"write {name}@3, {name}@alias or {name}@b3:ab12"
    )


def check_name(name: str, what: str) -> str:
    """A name that can be given to a dataset, model or alias.

    Raises:
        Invalid: it cannot.
    """
    if not NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} cannot name a {what}",
            hint="begin with a letter; letters, digits, `.`, `_` and `-` may follow, 128 in all",
        )
    return name


def is_reported_name(name: str) -> bool:
    """Whether a client of another protocol may call a model so: `churn (weekly)`, `1st`.

    All that MLflow takes, but what a reference or a terminal would read as something else.
    """
    return (
        0 < len(name) <= _REPORTED_LETTERS
        and name.isprintable()
        and name == name.strip()
        and name not in {".", ".."}
        and not name.startswith("-")
        and not set(name) & set("/:@")
    )


def is_reported_alias(alias: str) -> bool:
    """Whether a client of another protocol may call a version so; a number would be that of a version."""
    return _REPORTED_ALIAS.fullmatch(alias) is not None and not alias.isdecimal()
