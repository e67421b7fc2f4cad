"""The model as ONNX, where it was converted and answers the same: no data frame, and not its own library."""

from __future__ import annotations

from pathlib import Path

from mlwright.sdk.onnx_model import OnnxModel
from mlwright.serving.runtime import Outputs
from mlwright.serving.spec import ModelSpec
from mlwright.serving.walk import Columns
from mlwright.versioning.signatures import Signature


class OnnxRuntime:
    """A converted model, in ONNX Runtime with one thread.

    Args:
        path: the file with its bytes; no other file is read.
        signature: what it takes, and the classes that it gives.
        what: how a message names it.

    Raises:
        Invalid: it keeps weights in other files, cannot be read, or does not take these columns.
        ImportError: ONNX Runtime is not installed.
    """

    def __init__(self, path: Path, signature: Signature, what: str = "the ONNX model") -> None:
        self.classes = list(signature.output.classes or ())
        self._model = OnnxModel(path.read_bytes(), signature.inputs, self.classes, what)

    @classmethod
    def load(cls, spec: ModelSpec, scratch: Path) -> OnnxRuntime:
        """Read the conversion from its file.

        Args:
            scratch: not used: nothing is copied.
        """
        return cls(Path(spec.onnx), spec.signature, f"the conversion of {spec.model}")

    def __call__(self, columns: Columns, *, proba: bool) -> Outputs:
        """Ask the model."""
        return Outputs(*self._model(columns, proba=proba))
