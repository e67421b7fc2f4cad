"""A pipeline as it was found in the project's files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FoundPipeline:
    """A function with `@pipeline`, and where it stands. `summary` is the first line of its docstring."""

    name: str
    module: str
    file: str
    line: int
    summary: str
