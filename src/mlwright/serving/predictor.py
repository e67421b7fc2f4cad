"""A model in memory that answers requests as the pipeline did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlwright.kernel.errors import Incompatible, MlwrightError, Unavailable, WorkFailed
from mlwright.sdk.codecs import codec_named
from mlwright.sdk.rows import one_each, plain, table_maker
from mlwright.serving.bounds import Bounds
from mlwright.serving.problems import Problem
from mlwright.serving.spec import ReplicaSpec
from mlwright.serving.validation import Validator
from mlwright.versioning.signatures import same_answer


class Answer(Struct, frozen=True):
    """One answer for each row.

    Args:
        predictions: plain values; a number that is NaN or infinite becomes null on the wire.
        probabilities: of each class, by its name, when they were asked for.
        warnings: what of the request lies outside of what training saw.
    """

    predictions: list[Any]
    probabilities: list[dict[str, float]] | None = None
    warnings: list[str] = []


class Predictor:
    """Validates, builds the table, asks the model.

    Args:
        spec: what the model is and takes.
        model: has `predict`, and `predict_proba` if the signature has probabilities.
    """

    def __init__(self, spec: ReplicaSpec, model: Any) -> None:
        self._spec = spec
        self._model = model
        self._validator = Validator(spec.signature.inputs, spec.limits.rows)
        self._bounds = Bounds(spec.signature.inputs)
        self._table = table_maker(spec.signature.inputs)
        self._classes = [_key(each) for each in plain(getattr(model, "classes_", ()))]

    @classmethod
    def load(cls, spec: ReplicaSpec, scratch: Path) -> Predictor:
        """Read the model from its file and have it answer its example.

        Args:
            scratch: a folder where copies may be made.

        Raises:
            Incompatible: it answers its example differently from what the pipeline recorded.
            Unavailable: a library that the model needs is not installed.
            WorkFailed: the bytes cannot be read.
        """
        try:
            model = codec_named(spec.codec).decode(Path(spec.path), "", scratch)
            predictor = cls(spec, model)
            predictor.prove()
        except MlwrightError:
            raise
        except ImportError as error:
            raise Unavailable(
                f"{spec.model} cannot be loaded: {error}",
                hint="add the package to the project's environment: mlwright environments add NAME",
            ) from error
        except Exception as error:
            raise WorkFailed(f"{spec.model} cannot be loaded: {type(error).__name__}: {error}") from error
        return predictor

    def prove(self) -> None:
        """Answer the signature's example as the pipeline did.

        Raises:
            Incompatible: it does not.
        """
        example = self._spec.signature.example
        body = msgspec.json.encode({"rows": [example.input]})
        try:
            given = self.answer(body, proba=self._spec.signature.probabilities).predictions[0]
        except Problem as problem:
            raise Incompatible(
                f"{self._spec.model} cannot answer its own example: {problem.message}",
                hint="register the model again with an example that it was made for",
            ) from problem
        if not same_answer(given, example.output):
            raise Incompatible(
                f"{self._spec.model} answers its example with {given!r},"
                f" the pipeline recorded {example.output!r}",
                hint="the environment or the model's bytes differ from the run's; run the pipeline again",
            )

    def answer(self, body: bytes, *, proba: bool) -> Answer:
        """Answer a request.

        Args:
            body: as it arrived.
            proba: whether probabilities are asked for.

        Raises:
            Problem: 400 or 422 for what is wrong with the request, 500 when the model raises.
        """
        columns = self._validator.columns(body)
        warnings = self._bounds.warnings(columns)
        try:
            table = self._table(columns)
            predictions = plain(one_each(self._model.predict(table)))
            if not proba:
                return Answer(predictions, warnings=warnings)
            shares = plain(self._model.predict_proba(table))
        except Exception as error:
            raise Problem(500, f"the model failed: {type(error).__name__}: {error}") from error
        probabilities = [dict(zip(self._classes, row, strict=True)) for row in shares]
        return Answer(predictions, probabilities, warnings)


def _key(label: Any) -> str:
    """A class as the key of a JSON object: text as it is, all else as JSON writes it."""
    return label if isinstance(label, str) else json.dumps(label)
