"""The Open Inference Protocol, version 2, over HTTP: health, metadata and inference of each model.

What goes wrong is told in the protocol's own form, `{"error": "..."}`; what does not fit a model is 400.

Source: Open Inference Protocol, specification/protocol/inference_rest.md and open_inference_rest.yaml; Triton
Inference Server, protocol/extension_model_repository.md (its index only).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from mlwright.kernel.version import VERSION
from mlwright.sdk.rows import plain
from mlwright.serving.problems import Problem
from mlwright.serving.protocols.v2_inference import Tensors
from mlwright.serving.protocols.v2_tensors import is_table
from mlwright.serving.request import JSON, Doors, Endpoint, Reply, Request, Routes
from mlwright.serving.runtime import Outputs
from mlwright.serving.served import Served
from mlwright.serving.wanted import AboutTables, Read, Wanted

PREFIX = "/v2"
_EXTENSIONS = ("binary_tensor_data",)
_TAKEN = {JSON, "", "application/octet-stream"}


def doors(served: Served) -> Doors:
    """Inference, with the version in the path and without."""
    model, version = _paths(served)
    return Doors(_infers(served, tensors_of(served)), f"{version}/infer", f"{model}/infer")


def about(served: Sequence[Served]) -> Routes:
    """What else is below `/v2`: the server's health and metadata, those of each model, and their index."""
    server = {"name": "mlwright", "version": VERSION, "extensions": list(_EXTENSIONS)}
    index = [
        {"name": each.spec.name, "version": each.spec.number, "state": "READY", "reason": ""}
        for each in tables(served)
    ]
    found: Routes = {
        ("GET", PREFIX): _says(server),
        ("GET", f"{PREFIX}/"): _says(server),
        ("GET", f"{PREFIX}/health/live"): live,
        ("GET", f"{PREFIX}/health/ready"): _says({"live": True, "ready": True}),
        ("POST", f"{PREFIX}/repository/index"): _says(index),
    }
    for each in reversed(tables(served)):  # of several versions, a model is the first
        numbers = [one.spec.number for one in tables(served) if one.spec.name == each.spec.name]
        metadata = tensors_of(each).metadata(numbers, f"mlwright_{each.spec.codec}")
        for path in _paths(each):
            found["GET", path] = _says(metadata)
            found["GET", f"{path}/ready"] = _says({"name": each.spec.name, "ready": True})
    return found


async def live(_: Request) -> Reply:
    """Whether the process serves; also before its models are loaded."""
    return Reply(b'{"live":true}')


def is_below(path: str) -> bool:
    """Whether a path is one of this protocol's."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def told(problem: Problem) -> Reply:
    """A problem in the protocol's own form."""
    headers = tuple((name.encode(), value.encode("latin-1")) for name, value in problem.headers.items())
    status = 400 if problem.http_status == 422 else problem.http_status
    return Reply(msgspec.json.encode({"error": problem.message}), status, headers=headers)


def tables(served: Sequence[Served]) -> list[Served]:
    """Those that are asked about a table: tensors are told of its columns."""
    return [each for each in served if is_table(each.spec.signature)]


def _paths(served: Served) -> tuple[str, str]:
    path = f"{PREFIX}/models/{served.spec.name}"
    return path, f"{path}/versions/{served.spec.number}"


def tensors_of(served: Served) -> Tensors:
    """What reads and writes the tensors of a model."""
    spec = served.spec
    return Tensors(spec.name, spec.number, spec.signature, served.validator, served.limits.rows)


def _says(value: Any) -> Endpoint:
    """What always answers the same."""
    body = msgspec.json.encode(value)

    async def say(_: Request) -> Reply:
        return Reply(body)

    return say


def _infers(served: Served, tensors: Tensors) -> Endpoint:
    model = served.spec.model.encode()

    def reads(request: Request) -> Read:
        if request.media_type not in _TAKEN:
            raise Problem(
                415,
                f"the content type must be {JSON}, or application/octet-stream with"
                f" Inference-Header-Content-Length, not {request.media_type[:40]}",
            )
        given = request.headers

        def read(body: bytes) -> Wanted:
            began = time.perf_counter()
            question = tensors.question(body, given)
            warnings = served.bounds.warnings(question.columns)

            def tell(outputs: Outputs) -> Reply:
                labels = plain(outputs.labels)
                identity = served.answered(question.columns, labels, began, len(warnings))
                told, headers = tensors.answer(question, labels, outputs.shares, identity, warnings)
                media_type = "application/octet-stream" if headers else JSON
                headers += ((b"x-mlwright-prediction-id", identity.encode()), (b"x-mlwright-model", model))
                return Reply(told, media_type=media_type, headers=headers)

            return Wanted(question.columns, tell, question.proba)

        return read

    return AboutTables(served, reads)
