"""A pipeline as it was found in the project's files."""

from __future__ import annotations

from msgspec import Struct


class FoundPipeline(Struct, frozen=True):
    """A function with `@pipeline`, and where it stands. `summary` is the first line of its docstring."""

    name: str
    module: str
    file: str
    line: int
    summary: str
