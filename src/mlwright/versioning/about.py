"""What a version says of itself: held to its form where it comes from elsewhere, since pages rely on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from mlwright.kernel.errors import Invalid
from mlwright.versioning.signatures import Signature
from mlwright.versioning.tags import check_tags
from mlwright.versioning.versions import Kind


class _Source(Struct, frozen=True):
    """Where a dataset was fetched from."""

    url: str
    etag: str


class _Dataset(Struct, frozen=True):
    files: int = 0
    columns: tuple[str, ...] | None = None
    tags: dict[str, str] = {}
    source: _Source | None = None


class _Model(Struct, frozen=True):
    """As every version of a model is recorded; `signature` is there also if nobody has told it."""

    metrics: dict[str, float]
    parameters: dict[str, Any]
    signature: Signature | None
    licence: str = ""
    source: dict[str, str] = {}
    tags: dict[str, str] = {}


def wrong_about(kind: Kind, about: Mapping[str, Any]) -> str:
    """What in the `about` of a version no version has that this program recorded.

    Returns:
        It, in words; empty when nothing.
    """
    try:
        told: _Dataset | _Model = (
            msgspec.convert(about, _Dataset) if kind == "dataset" else msgspec.convert(about, _Model)
        )
        check_tags(told.tags)
    except (msgspec.ValidationError, Invalid) as error:
        return f"what it says of a {kind} is not clear: {error}"
    if isinstance(told, _Model):
        shown = [*told.metrics, *told.parameters, told.licence, *told.source, *told.source.values()]
        if not all(map(str.isprintable, shown)):
            return f"what it says of a {kind} no terminal can show"
    return ""
