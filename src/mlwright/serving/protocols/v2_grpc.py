"""The Open Inference Protocol, version 2, over gRPC: health, metadata and inference, by the rules of HTTP's.

An answer has its values in the form in which those of the question came: raw, or by their types.

Source: Open Inference Protocol, specification/protocol/inference_grpc.md; gRPC, doc/health-checking.md.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from mlwright.kernel.version import VERSION
from mlwright.sdk.rows import plain
from mlwright.serving.asking import TIMEOUT
from mlwright.serving.figures import Figures
from mlwright.serving.grouped import key_of
from mlwright.serving.groups import Split
from mlwright.serving.prediction import Predicting
from mlwright.serving.problems import Problem
from mlwright.serving.protocols import v2_binary
from mlwright.serving.protocols.grpc import Call, Calls, Method
from mlwright.serving.protocols.grpc_messages import HEALTH, INFERENCE, read, read_asked
from mlwright.serving.protocols.v2 import tables, tensors_of
from mlwright.serving.protocols.v2_inference import PREDICT, Question, Tensors, check_parameters
from mlwright.serving.protocols.v2_tensors import (
    BYTES,
    DTYPES,
    INTEGERS,
    MAX_DIMENSIONS,
    check_shape,
    hold_range,
)
from mlwright.serving.request import Endpoint, Reply, Request
from mlwright.serving.served import Served
from mlwright.serving.spec import ReplicaSpec
from mlwright.serving.telemetry import Telemetry

SERVICE, HEALTH_SERVICE = "inference.GRPCInferenceService", "grpc.health.v1.Health"
_ANYBODY = (
    f"/{SERVICE}/ServerLive",
    f"/{SERVICE}/ServerReady",
    f"/{HEALTH_SERVICE}/Check",
    f"/{HEALTH_SERVICE}/Watch",
)
"""What probes call, which have no token."""
_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    **{"INT64": "int64_contents", "UINT64": "uint64_contents"},
    **{"FP32": "fp32_contents", "FP64": "fp64_contents", BYTES: "bytes_contents"},
}
"""Where values of a datatype stand that are not raw; those of FP16 and BF16 always are."""
_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 1, 2, 3
_MOST_MS = 999_999_999


class Inference:
    """What of a replica can be called.

    Args:
        spec: of the replica.
        ready: set once its models are loaded.
        figures: where calls are counted that ask none of them.
    """

    def __init__(self, spec: ReplicaSpec, ready: asyncio.Event, figures: Figures) -> None:
        self._told = spec.told
        self._ready = ready
        self._models: dict[str, list[_Model]] = {}
        self._split: Split | None = None
        self._members: list[_Model] = []
        inference: dict[str, Method] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
        }
        health: dict[str, Method] = {"Check": self._check, "Watch": self._watch}
        methods = {f"/{SERVICE}/{name}": method for name, method in inference.items()}
        methods |= {f"/{HEALTH_SERVICE}/{name}": method for name, method in health.items()}
        self.calls = Calls(spec.access, spec.limits.body_bytes, figures, methods, _ANYBODY)

    def serve(self, served: Sequence[Served], telemetry: Telemetry | None, split: Split | None) -> None:
        """Answer with these from now on.

        Args:
            served: of which those are taken that are asked about a table.
            telemetry: to which calls are told; None for none.
            split: decides who answers where the first one is asked; None if that does.
        """
        made = {each.spec.model: _Model(each, telemetry) for each in tables(served)}
        for each in tables(served):
            self._models.setdefault(each.spec.name, []).append(made[each.spec.model])
        if split is not None and set(split.models) <= set(made):
            self._split, self._members = split, [made[each] for each in split.models]

    async def _server_live(self, _: Call) -> Reply:
        return _said("ServerLiveResponse", live=True)

    async def _server_ready(self, _: Call) -> Reply:
        return _said("ServerReadyResponse", ready=self._ready.is_set())

    async def _server_metadata(self, _: Call) -> Reply:
        return _said("ServerMetadataResponse", name="mlwright", version=VERSION)

    async def _model_ready(self, call: Call) -> Reply:
        asked = read(INFERENCE["ModelReadyRequest"], call.message)
        found = any(each.is_version(asked.version) for each in self._models.get(asked.name, ()))
        return _said("ModelReadyResponse", ready=found)

    async def _model_metadata(self, call: Call) -> Reply:
        asked = read(INFERENCE["ModelMetadataRequest"], call.message)
        return Reply(self._model(asked.name, asked.version).metadata)

    async def _model_infer(self, call: Call) -> Reply:
        asked = read_asked(call.message)
        model = self._model(asked.model_name, asked.model_version)
        if self._split is not None and not asked.model_version and model is self._members[-1]:
            model = self._members[self._split.place(key_of(call.scope["headers"]))]
        return await model.answer(call, asked)

    def _model(self, name: str, version: str) -> _Model:
        if not self._ready.is_set():
            raise Problem(503, f"{self._told} is not loaded yet", headers={"retry-after": "1"})
        models = self._models.get(name)
        if models is None:
            known = f"there are {', '.join(self._models)}" if self._models else "there is none with tensors"
            raise Problem(404, f"there is no model `{name[:60]}` here: {known}")
        found = next((each for each in models if each.is_version(version)), None)
        if found is None:
            known = ", ".join(each.number for each in models)
            raise Problem(404, f"there is no version `{version[:60]}` of `{name}` here: there is {known}")
        return found

    async def _check(self, call: Call) -> Reply:
        asked = read(HEALTH["HealthCheckRequest"], call.message)
        status = self._status(asked.service, call)
        if status == _SERVICE_UNKNOWN:
            raise Problem(404, f"there is no service `{asked.service[:60]}` here")
        return Reply(_health(status))

    async def _watch(self, call: Call) -> Reply:
        asked = read(HEALTH["HealthCheckRequest"], call.message)

        async def told() -> AsyncGenerator[bytes]:
            yield _health(self._status(asked.service, call))
            await call.scope["state"]["draining"].wait()
            yield _health(_NOT_SERVING)

        return Reply(told())

    def _status(self, service: str, call: Call) -> int:
        """How a service is; each model is one, too."""
        if service not in ("", SERVICE) and service not in self._models:
            return _SERVICE_UNKNOWN
        serves = self._ready.is_set() and not call.scope["state"]["draining"].is_set()
        return _SERVING if serves else _NOT_SERVING


class _Asked(Request):
    """A call as a model answers it; `given` is its message."""

    def __init__(self, call: Call, given: Any, timeout_ms: int | None) -> None:
        headers = list(call.scope["headers"])
        if timeout_ms is not None:
            headers.append((TIMEOUT.encode(), b"%d" % timeout_ms))
        super().__init__({**call.scope, "headers": headers}, call.receive)
        self.given = given


class _Model:
    """One model, as it is called.

    `metadata` is the message that tells of it.
    """

    def __init__(self, served: Served, telemetry: Telemetry | None) -> None:
        self._tensors = tensors_of(served)
        self.number = served.spec.number
        self.metadata = _metadata(self._tensors, served)
        self._predicting = Predicting(_infers(served, self._tensors), served, "grpc", telemetry)

    def is_version(self, version: str) -> bool:
        """Whether that is this one; who names none means the first."""
        return version in ("", self.number)

    async def answer(self, call: Call, given: Any) -> Reply:
        """Answer a `ModelInferRequest`, in the time that is left for it."""
        deadline = call.deadline
        left_ms = None if deadline is None else math.ceil((deadline - time.monotonic()) * 1000)
        call.asks = True
        timeout_ms = None if left_ms is None else min(max(left_ms, 1), _MOST_MS)
        return await self._predicting(_Asked(call, given, timeout_ms))


def _infers(served: Served, tensors: Tensors) -> Endpoint:
    model = served.spec.model.encode()

    async def infer(request: Request) -> Reply:
        assert isinstance(request, _Asked)
        assert request.admit is not None
        request.admit()
        began = time.perf_counter()
        question = _question(request.given, tensors)
        warnings = served.bounds.warnings(question.columns)
        outputs = await served.ask(question.columns, proba=question.proba)
        labels = plain(outputs.labels)
        identity = served.answered(question.columns, labels, began, len(warnings))
        body = _answer(tensors, question, labels, outputs.shares, identity, warnings)
        return Reply(
            body, headers=((b"x-mlwright-prediction-id", identity.encode()), (b"x-mlwright-model", model))
        )

    return infer


def _question(given: Any, tensors: Tensors) -> Question:
    """What a `ModelInferRequest` asks.

    Raises:
        Problem: 400, it is not what this model takes.
    """
    raw = given.raw_input_contents
    inputs = given.inputs
    if raw and len(raw) != len(inputs):
        raise Problem(400, f"there are {len(inputs)} inputs, and {len(raw)} raw_input_contents")
    contents = iter(raw)

    def shape_of(name: str, tensor: Any) -> tuple[int, ...]:
        if len(tensor.shape) > MAX_DIMENSIONS:
            said = f"the shape of `{name}` must be [rows] or [rows, columns]"
            raise Problem(400, f"{said}, and has {len(tensor.shape)} dimensions")
        return check_shape(name, tuple(tensor.shape), tensors.max_rows)

    def values_of(name: str, tensor: Any, shape: tuple[int, ...]) -> Any:
        if tensor.parameters:
            check_parameters(name, _plain(tensor.parameters))
        if not raw:
            return _typed(name, tensor, math.prod(shape))
        if tensor.HasField("contents"):
            raise Problem(400, f"`{name}` has both contents and raw_input_contents")
        return v2_binary.read_values(name, tensor.datatype, shape, memoryview(next(contents)))

    columns = tensors.columns(inputs, shape_of, values_of)
    outputs = tensors.asked_for([(each.name, _plain(each.parameters)) for each in given.outputs])
    return Question(columns, dict.fromkeys(outputs, bool(raw)), given.id)


def _typed(name: str, tensor: Any, count: int) -> Any:
    """The values of an input that stand in the field of its datatype, as raw ones would be."""
    datatype = tensor.datatype
    field = _CONTENTS.get(datatype)
    if field is None:
        raise Problem(400, f"`{name}` is {datatype}, whose values stand in raw_input_contents")
    filled = tensor.contents.ListFields()
    if len(filled) != 1 or filled[0][0].name != field:
        found = " and ".join(each.name for each, _ in filled) or "nothing"
        raise Problem(400, f"`{name}` is {datatype}, whose values stand in {field}; there is {found}")
    values = list(filled[0][1])
    if len(values) != count:
        raise Problem(400, f"`{name}` has {len(values)} values, and its shape says {count}")
    if datatype == BYTES:
        return [_text(name, at, value) for at, value in enumerate(values)]
    if datatype in INTEGERS:
        hold_range(name, datatype, values)
    import numpy

    return numpy.array(values, dtype=DTYPES[datatype])


def _text(name: str, at: int, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Problem(400, f"value {at} of `{name}` is not UTF-8") from None


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as their values."""
    return {name: getattr(each, each.WhichOneof("choice") or "", None) for name, each in parameters.items()}


def _answer(
    tensors: Tensors, question: Question, labels: Any, shares: Any, identity: str, warnings: Sequence[str]
) -> bytes:
    """A `ModelInferResponse`; its arguments are those of `Tensors.answer`."""
    answer = INFERENCE["ModelInferResponse"](
        model_name=tensors.name, model_version=tensors.version, id=question.id or identity
    )
    for name, raw in question.outputs.items():
        told = tensors.told_output(name)
        values, shape = (labels, [len(labels)]) if name == PREDICT else (plain(shares.ravel()), shares.shape)
        output = answer.outputs.add(name=name, datatype=told["datatype"], shape=shape)
        for key, said in told.get("parameters", {}).items():
            output.parameters[key].string_param = said
        if raw:
            answer.raw_output_contents.append(v2_binary.written(output.datatype, values))
        else:
            if output.datatype == BYTES:
                values = [str(value).encode() for value in values]
            getattr(output.contents, _CONTENTS[output.datatype]).extend(values)
    if warnings:
        answer.parameters["warnings"].string_param = "; ".join(warnings)
    return bytes(answer.SerializeToString())


def _metadata(tensors: Tensors, served: Served) -> bytes:
    """A `ModelMetadataResponse`, which is the same each time."""
    told = tensors.metadata([served.spec.number], f"mlwright_{served.spec.codec}")
    named = {name: told[name] for name in ("name", "versions", "platform")}
    kind = INFERENCE["TensorMetadata"]
    inputs, outputs = (
        [kind(name=each["name"], datatype=each["datatype"], shape=each["shape"]) for each in told[side]]
        for side in ("inputs", "outputs")
    )
    return bytes(
        INFERENCE["ModelMetadataResponse"](**named, inputs=inputs, outputs=outputs).SerializeToString()
    )


def _said(kind: str, **values: Any) -> Reply:
    return Reply(INFERENCE[kind](**values).SerializeToString())


def _health(status: int) -> bytes:
    return bytes(HEALTH["HealthCheckResponse"](status=status).SerializeToString())
