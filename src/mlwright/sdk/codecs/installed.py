"""Codecs of other packages, found by the entry point group `mlwright.codecs` in the step's environment.

They are looked for only when none of ours takes a value, or an artifact names one that is not ours.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from mlwright.kernel.errors import Invalid

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "mlwright.codecs"
_MEMBERS = ("name", "distributions", "dumps", "loads", "matches", "encode", "decode", "describe")


def installed_codecs(ours: Container[str]) -> Iterator[Any]:
    """The codecs that are installed, by name.

    Args:
        ours: names that they cannot have.

    Raises:
        Invalid: one cannot be loaded, is no codec, or is called like one of ours.
    """
    for point in _points():
        if point.name in ours:
            raise Invalid(
                f"{_of(point)} brings a codec `{point.name}`, which mlwright has itself",
                hint="give it another name in its entry points",
            )
        yield _loaded(point)


def installed_codec(name: str) -> Any:
    """The codec of another package that wrote an artifact.

    Raises:
        Invalid: it is not installed, or cannot be loaded.
    """
    for point in _points():
        if point.name == name:
            return _loaded(point)
    raise Invalid(
        f"an artifact was written by the codec `{name}`, which this mlwright does not have, and no package"
        " here brings",
        hint="add the package that brought it to this step's environment: mlwright environments add NAME",
    )


@cache
def _points() -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # 20 ms, for values that are not ours

    return tuple(sorted(entry_points(group=GROUP), key=lambda point: point.name))


@cache
def _loaded(point: EntryPoint) -> Any:
    try:
        found = point.load()
        codec = found() if isinstance(found, type) else found
    except Exception as error:
        raise Invalid(
            f"the codec `{point.name}` of {_of(point)} cannot be loaded: {type(error).__name__}: {error}",
            hint="mend or remove that package: what it would take must not be stored by another codec",
        ) from error
    missing = [each for each in _MEMBERS if not hasattr(codec, each)]
    if missing or codec.name != point.name:
        said = f"lacks {', '.join(missing)}" if missing else f"calls itself `{codec.name}`"
        raise Invalid(
            f"`{point.value}` of {_of(point)} is no codec `{point.name}`: it {said}",
            hint="see docs/codecs.md for what a codec has",
        )
    return codec


def _of(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "a package"
