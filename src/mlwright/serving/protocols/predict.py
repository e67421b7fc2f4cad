"""Our own protocol: rows or columns in, predictions with their id out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import msgspec

from mlwright.sdk.predicted import PREDICTION, PROBABILITY
from mlwright.sdk.rows import plain
from mlwright.serving.problems import Fault, Problem
from mlwright.serving.protocols.tables_told import accepted, written
from mlwright.serving.request import JSON, Doors, Endpoint, Reply, Request
from mlwright.serving.runtime import Outputs
from mlwright.serving.served import Served, shares_by_class
from mlwright.serving.walk import Columns
from mlwright.serving.wanted import AboutTables, Read, Wanted

_NO_WARNINGS: Sequence[str] = ()
_PROBA = {"1": True, "true": True, "0": False, "false": False}

Reader = Callable[[bytes, Served], Columns]
"""Takes a body of one media type as columns of a model, or raises a `Problem`."""


def doors(served: Served, readers: Mapping[str, Reader] | None = None) -> Doors:
    """`/predict`, `/models/NAME/predict` and `/models/NAME/versions/NUMBER/predict`.

    Args:
        readers: of media types beside JSON, for tables.
    """
    readers = {JSON: _read_json, "": _read_json} | dict(readers or {})
    asked = endpoint(served, readers) if served.spec.signature.table else _asked_by_name(served)
    named = f"/models/{served.spec.name}"
    return Doors(asked, f"{named}/versions/{served.spec.number}/predict", f"{named}/predict", "/predict")


def _asked_by_name(served: Served) -> Endpoint:
    from mlwright.serving.protocols import media  # 25 ms, for models that are asked so

    return media.endpoint(served, _wants_probabilities)


def endpoint(served: Served, readers: Mapping[str, Reader]) -> Endpoint:
    """What answers for one model."""
    model, inside, names = served.spec.model.encode(), served.validator.inside, served.class_names

    def reads(request: Request) -> Read:
        proba = _wants_probabilities(request, served)
        reader = readers.get(request.media_type)
        if reader is None:
            taken = ", ".join(sorted(each for each in readers if each))
            raise Problem(415, f"the content type must be one of {taken}, not {request.media_type[:40]}")
        media_type = accepted(request.header(b"accept"))

        def read(body: bytes) -> Wanted:
            began = perf_counter()
            columns, warnings = inside(body) if reader is _read_json else None, _NO_WARNINGS
            if columns is None:
                columns = reader(body, served)
                warnings = served.bounds.warnings(columns)

            def tell_table(outputs: Outputs) -> Reply:
                labels = plain(outputs.labels)
                table: dict[str, Sequence[Any]] = {PREDICTION: labels}
                if outputs.shares is not None:
                    shares = zip(*plain(outputs.shares), strict=True)
                    table |= {PROBABILITY + name: each for name, each in zip(names, shares, strict=True)}
                identity = served.answered(columns, labels, began, len(warnings))
                headers = (
                    (b"x-mlwright-prediction-id", identity.encode()),
                    (b"x-mlwright-model", model),
                    (b"x-mlwright-warnings", b"%d" % len(warnings)),
                )
                return Reply(written(table, media_type), media_type=media_type, headers=headers)

            def tell(outputs: Outputs) -> Reply:
                told: dict[str, Any] = {"predictions": plain(outputs.labels)}
                if outputs.shares is not None:
                    told["probabilities"] = shares_by_class(served.class_names, outputs.shares)
                if warnings:
                    told["warnings"] = warnings
                told["model"] = served.spec.model
                identity = told["id"] = served.answered(columns, told["predictions"], began, len(warnings))
                headers = ((b"x-mlwright-prediction-id", identity.encode()), (b"x-mlwright-model", model))
                return Reply(msgspec.json.encode(told), headers=headers)

            return Wanted(columns, tell if media_type == JSON else tell_table, proba)

        return read

    return AboutTables(served, reads)


def _read_json(body: bytes, served: Served) -> Columns:
    return served.validator.columns(body)


def _wants_probabilities(request: Request, served: Served) -> bool:
    given = request.query.get("proba", "0")
    if given not in _PROBA:
        raise Problem(422, faults=[Fault("must be 1 or 0", field="proba")])
    if _PROBA[given] and not served.spec.signature.probabilities:
        fault = Fault("cannot be asked for: this model gives no probabilities", field="proba")
        raise Problem(422, faults=[fault])
    return _PROBA[given]
