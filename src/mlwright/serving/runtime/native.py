"""The model as its own library has it, asked with a data frame, an array or texts, as in the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlwright.sdk.answers import Estimator
from mlwright.sdk.codecs import codec_named
from mlwright.serving.runtime import Outputs
from mlwright.serving.spec import ModelSpec
from mlwright.serving.walk import Columns
from mlwright.versioning.signatures import Signature


class NativeRuntime:
    """A model with `predict`, and `predict_proba` if its signature has probabilities.

    Args:
        model: as its codec read it.
        signature: says what the data frame is made of, or the array.
    """

    def __init__(self, model: Any, signature: Signature) -> None:
        self._model = Estimator(model, signature.inputs, signature.named)
        self.classes = self._model.classes

    @classmethod
    def load(cls, spec: ModelSpec, scratch: Path) -> NativeRuntime:
        """Read the model from its file; raises what its codec raises.

        Args:
            scratch: a folder where copies may be made.
        """
        return cls(codec_named(spec.codec).decode(Path(spec.path), "", scratch), spec.signature)

    def __call__(self, columns: Columns, *, proba: bool) -> Outputs:
        """Ask the model."""
        return Outputs(*self._model(columns, proba=proba))
