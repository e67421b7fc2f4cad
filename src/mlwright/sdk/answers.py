"""A model that was read, asked with columns of values: by its own `predict`, or by a predictor's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlwright.sdk.by_name import batch
from mlwright.sdk.predictors import Predictor
from mlwright.sdk.rows import AskedColumn, one_each, plain, table_maker
from mlwright.sdk.values import ABSENT, Asked, json_of

Columns = Sequence[Sequence[Any]]


class Estimator:
    """A model with `predict`, and `predict_proba` if its signature has probabilities.

    Args:
        model: as its codec read it.
        inputs: the columns of the data frame that it is asked with; none if that is an array, or texts.
        named: which of the two.
    """

    def __init__(self, model: Any, inputs: Sequence[AskedColumn], named: Sequence[Asked]) -> None:
        self.classes = plain(getattr(model, "classes_", ()))
        self._model = model
        self._table = (lambda columns: batch(named[0], columns[0])) if named else table_maker(inputs)

    def __call__(self, columns: Columns, *, proba: bool) -> tuple[Any, Any | None]:
        """What it says of each row, and the probabilities of the classes if they are asked for."""
        table = self._table(columns)
        labels = one_each(self._model.predict(table))
        return labels, self._model.predict_proba(table) if proba else None


class Answerer:
    """A predictor; what it answers with are JSON values.

    Args:
        predictor: with its model loaded.
        inputs: the columns of the data frame that it takes, if it takes one.
        named: what it takes by name.
    """

    def __init__(self, predictor: Predictor, inputs: Sequence[AskedColumn], named: Sequence[Asked]) -> None:
        self.classes: list[Any] = []
        self._predictor = predictor
        self._names = [each.name for each in named]
        self._table = None if named else table_maker(inputs)

    def __call__(self, columns: Columns, *, proba: bool = False) -> tuple[Any, Any | None]:
        """The answer to each row, or to each request; there are no probabilities.

        Raises:
            Refused: it refuses to answer; other exceptions are its own.
        """
        if self._table is not None:
            answers = self._predictor.of_table(self._table(columns))
        else:
            answers = self._predictor.answers([self._request(each) for each in zip(*columns, strict=True)])
        return [json_of(each) for each in answers], None

    def stream(self, request: Mapping[str, Any]) -> Iterator[Any]:
        """The pieces of one answer; closing it closes the predictor's own.

        Args:
            request: what is given, by name.

        Raises:
            Refused: as `__call__`.
        """
        pieces: Iterator[Any] = self._predictor.stream(request)
        try:
            for piece in pieces:
                yield json_of(piece)
        finally:
            pieces.close()  # type: ignore[attr-defined]

    def _request(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return {name: value for name, value in zip(self._names, values, strict=True) if value is not ABSENT}


_TOLERANCE = 1e-6
"""Relative; another processor may round the last digits of a number differently."""


def same_answer(given: Any, recorded: Any) -> bool:
    """Whether a model answers as it is on record: the same value, but for how numbers in it are rounded."""
    if isinstance(given, dict) and isinstance(recorded, dict):
        return given.keys() == recorded.keys() and all(
            same_answer(given[name], recorded[name]) for name in given
        )
    if isinstance(given, list) and isinstance(recorded, list):
        return len(given) == len(recorded) and all(map(same_answer, given, recorded))
    if isinstance(given, float) and isinstance(recorded, float | int):
        return math.isclose(given, recorded, rel_tol=_TOLERANCE, abs_tol=1e-12)
    return bool(given == recorded)
