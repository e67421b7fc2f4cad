"""A model that a class of the project answers with, imported from the code that was recorded with it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from mlwright.sdk.answers import Answerer
from mlwright.sdk.codecs import codec_named
from mlwright.sdk.kinds import Refused
from mlwright.sdk.predictors import Predictor, find_predictor
from mlwright.serving.problems import Problem
from mlwright.serving.runtime import Outputs
from mlwright.serving.spec import ModelSpec
from mlwright.serving.walk import Columns
from mlwright.versioning.signatures import Signature


class CustomRuntime:
    """A predictor.

    Args:
        predictor: with its model loaded.
        signature: says what the data frame is made of, if it takes one.
    """

    def __init__(self, predictor: Predictor, signature: Signature) -> None:
        self.classes: list[Any] = []
        self._answerer = Answerer(predictor, signature.inputs, signature.named)

    @classmethod
    def load(cls, spec: ModelSpec, scratch: Path) -> CustomRuntime:
        """Import the class, and read the model; raises what the codec and `load` of the class raise.

        Args:
            scratch: a folder where copies may be made.
        """
        take_code(kept(Path(spec.code), scratch))
        found = find_predictor(spec.signature.predictor)
        model = codec_named(spec.codec).decode(Path(spec.path), "", scratch)
        return cls(Predictor(found, model), spec.signature)

    def __call__(self, columns: Columns, *, proba: bool) -> Outputs:
        """Ask the predictor; its answers are JSON values.

        Raises:
            Problem: 422, it refuses to answer; other exceptions are its own.
        """
        try:
            return Outputs(*self._answerer(columns))
        except Refused as refused:
            raise Problem(422, refused.message) from refused

    def stream(self, request: Mapping[str, Any]) -> Generator[Any]:
        """The pieces of one answer, JSON values.

        Raises:
            Problem: 422, it refuses to answer; other exceptions are its own.
        """
        pieces = self._answerer.stream(request)
        try:
            yield from pieces
        except Refused as refused:
            raise Problem(422, refused.message) from refused


def kept(code: Path, scratch: Path) -> Path:
    """The code where nobody collects it: a function may import, or read, what it needs when it is called."""
    own = scratch / "code" / code.name
    if not own.exists():
        shutil.copytree(code, own, ignore=shutil.ignore_patterns("__pycache__"), copy_function=_linked)
    return own


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def take_code(code: Path) -> None:
    """Import the project's modules from a folder from now on, before all others.

    Two versions of a model may bring two versions of one module. What was imported from another folder is
    forgotten here, not there: the classes that were made of it keep what they have imported.
    """
    folders = [str(each) for each in (code, code / "src") if each.is_dir()]
    if sys.path[: len(folders)] == folders:
        return
    taken = {path for path in sys.path if path in _taken}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if any(file.startswith(f"{path}/") for path in taken):
            del sys.modules[name]
    sys.path[:] = [*folders, *(path for path in sys.path if path not in _taken)]
    _taken.update(folders)


_taken: set[str] = set()
"""The folders that modules of projects were imported from."""
