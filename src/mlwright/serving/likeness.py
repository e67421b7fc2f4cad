"""Whether one model can stand in for another: by what their signatures say, in words where it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlwright.sdk.kinds import MEDIA
from mlwright.sdk.types import with_article
from mlwright.versioning.signatures import Column, Input, Output, Signature

_WIDER = {"integer": {"integer", "number"}}
"""What takes the values of a type beside that type itself."""


def untaken(first: Signature, other: Signature) -> str:
    """What a request for one model may hold that another does not take; empty if there is nothing."""
    if first.table != other.table:
        return "it is asked " + (
            "with the columns of a table" if other.table else "by name, not with columns"
        )
    if first.table:
        one, two = ({each.name: each for each in of.inputs} for of in (first, other))
        return next(_of_columns(one, two), "")
    given, taken = ({each.name: each for each in of.named} for of in (first, other))
    return next(_of_inputs(given, taken), "")


def unanswered(first: Signature, other: Signature) -> str:
    """How the answers of one model differ in kind from those of another; empty if they do not."""
    one, two = first.output, other.output
    if one.stream != two.stream:
        return "piece by piece" if two.stream else "not piece by piece"
    if one.type != two.type:
        return f"with {with_article(two.type)}, not with {with_article(one.type)}"
    if one.classes != two.classes:
        return f"with {_classes(two)}, not with {_classes(one)}"
    if first.probabilities != other.probabilities:
        return f"with{'' if other.probabilities else 'out'} probabilities"
    return ""


def unshadowed(first: Signature, other: Signature) -> str:
    """Why a model cannot be asked the same once the client has been answered; empty if it can."""
    if first.output.stream or other.output.stream:
        return "answers that come piece by piece are not compared"
    files = next((each.name for each in first.named if each.kind in MEDIA), "")
    return f"`{files}` is a file, which is gone when its request has been answered" if files else ""


def _of_columns(first: Mapping[str, Column], other: Mapping[str, Column]) -> Iterator[str]:
    yield from (f"it does not know `{name}`" for name in first if name not in other)
    yield from (f"it needs `{name}` as well" for name in other if name not in first)
    for name, one in first.items():
        two = other[name]
        if two.type not in _WIDER.get(one.type, {one.type}):
            yield f"`{name}` must be {with_article(two.type)}, not {with_article(one.type)}"
        if one.nullable and not two.nullable:
            yield f"`{name}` must not be missing"
        if two.closed:
            unknown = set(one.categories or ()) - set(two.categories or ()) if one.closed else {"anything"}
            if unknown:
                yield f"`{name}` must be one of its own categories, not {min(map(str, unknown))}"


def _of_inputs(first: Mapping[str, Input], other: Mapping[str, Input]) -> Iterator[str]:
    yield from (f"it does not know `{name}`" for name in first if name not in other)
    more = (each.name for each in other.values() if each.name not in first and each.required)
    yield from (f"it needs `{name}` as well" for name in more)
    for name, one in first.items():
        two = other[name]
        if (one.kind, one.dtype, one.shape) != (two.kind, two.dtype, two.shape):
            yield f"`{name}` must be {two.told}, not {one.told}"
        if one.many and not two.many:
            yield f"`{name}` must be one, not several"
        if two.required and not one.required:
            yield f"`{name}` must not be left out"
        if left := [each for each in one.media_types if each not in two.media_types]:
            yield f"`{name}` must be {', '.join(two.media_types)}, not {left[0]}"


def _classes(output: Output) -> str:
    return "any value" if output.classes is None else f"one of {', '.join(map(str, output.classes))}"
