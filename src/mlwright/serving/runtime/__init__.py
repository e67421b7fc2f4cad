"""What computes an answer: a model in memory, asked with columns of values that its signature takes."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from mlwright.serving.walk import Columns


class Outputs(Struct, frozen=True):
    """What a model said of each row.

    Args:
        labels: shape (rows,): an array, or a list of values.
        shares: shape (rows, classes): the probability of each class, where they were asked for.
    """

    labels: Any
    shares: Any | None = None


class Runtime(Protocol):
    """A model that is loaded. It is asked by one caller at a time, and holds him up while it computes."""

    @property
    def classes(self) -> list[Any]:
        """Of a classifier, in the order of the shares, as plain values."""

    def __call__(self, columns: Columns, *, proba: bool) -> Outputs:
        """Ask it; what it raises is its own."""


@runtime_checkable
class Streaming(Runtime, Protocol):
    """One that can answer piece by piece, where its signature says so."""

    def stream(self, request: Mapping[str, Any]) -> Generator[Any]:
        """The pieces of the answer to one request, given by name; closing it ends the model's work on it."""
