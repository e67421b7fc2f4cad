"""A step of a run that predicts over a dataset, in the environment of the model alone.

Where the model's packages and the server's exclude each other, the rows are read and held against the
signature in one environment (`mlwright.serving.over_datasets`), and the model is asked about them here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Incompatible, Invalid, WorkFailed
from mlwright.sdk.answers import Answerer, Estimator, same_answer
from mlwright.sdk.frames import FrameReader
from mlwright.sdk.kinds import Refused
from mlwright.sdk.model_worker import loaded
from mlwright.sdk.passing import Columns, table_taken
from mlwright.sdk.predicted import write_predictions
from mlwright.sdk.rows import plain
from mlwright.sdk.stored import Stored

_kept: dict[str, Estimator | Answerer] = {}
"""The model that this process was asked with last: the next part is most likely of the same."""


def predict(columns: Path, model: Stored, spec: dict[str, Any], proba: bool) -> Path:
    """What a model says of some rows, once it has answered its example.

    Args:
        columns: a frame, as `table_sent` makes it.
        model: its bytes.
        spec: a `ModelSpec` as JSON, without what `model` tells.
        proba: whether probabilities are asked for.

    Returns:
        A file of JSON: the new columns, by name.

    Raises:
        Incompatible: the model answers its example with something else.
        Invalid: a predictor refuses a row.
        WorkFailed: the model fails.
    """
    (frame,) = FrameReader().feed(columns.read_bytes())
    labels, shares = _asked(_proven(spec, model), table_taken(frame), proba=proba)
    return write_predictions(labels, shares, spec["signature"]["output"])


def _proven(spec: dict[str, Any], model: Stored) -> Estimator | Answerer:
    """The model, which has answered its example as the pipeline did.

    Raises:
        Incompatible: it has not.
    """
    reference, signature = spec["model"], spec["signature"]
    if reference not in _kept:
        _kept.clear()
        told = {"codec": model.codec, "path": str(model.path), "signature": signature, "code": ""}
        read = loaded(told, Path())
        example = signature["example"]
        row = [[example["input"][column["name"]]] for column in signature["inputs"]]
        given, recorded = plain(_asked(read, row, proba=False)[0])[0], example["output"]
        if not same_answer(given, recorded):
            raise Incompatible(
                f"{reference} answers its example with {given!r}, the pipeline recorded {recorded!r}",
                hint="the environment or the model's bytes differ from the run's; run the pipeline again",
            )
        _kept[reference] = read
    return _kept[reference]


def _asked(model: Estimator | Answerer, columns: Columns, *, proba: bool) -> tuple[Any, Any | None]:
    try:
        return model(columns, proba=proba)
    except Refused as refused:
        raise Invalid(refused.message) from refused
    except Exception as error:
        raise WorkFailed(f"the model failed: {type(error).__name__}: {error}") from error
