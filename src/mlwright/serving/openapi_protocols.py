"""The parts of the OpenAPI document that tell of other protocols than ours: v2, and MLflow's."""

from __future__ import annotations

from typing import Any

from mlwright.serving.protocols.invocations import FORMATS
from mlwright.serving.protocols.v2_inference import PROBA
from mlwright.serving.protocols.v2_tensors import DATATYPES, TAKEN, TOLD, is_table
from mlwright.serving.spec import ModelSpec, ReplicaSpec
from mlwright.versioning.signatures import Signature

TABLES = {
    "text/csv": "A header with the names of the columns, then a line for each row; an empty field is null.",
    "application/vnd.apache.arrow.stream": "A table as a stream of Arrow. Needs pyarrow beside the model.",
    "application/vnd.apache.arrow.file": "A table as a file of Arrow. Needs pyarrow beside the model.",
    "application/vnd.apache.parquet": "A table as Parquet. Needs pyarrow beside the model.",
}
"""Content types of `/predict` beside JSON, and what they are."""

_JSON = "application/json"
_TEXT: dict[str, Any] = {"type": "string"}
_REFUSED = {
    400: "The request cannot be read, or does not fit the model.",
    413: "The body, or what it decodes to, is too large.",
    415: "Content of a type that is not taken, or that is compressed.",
    500: "The model failed.",
    503: "The model is not loaded yet, or too many requests wait for it.",
    504: "The time of the request was over before there was an answer.",
}


def tables() -> dict[str, Any]:
    """The contents that a request of `/predict` may have beside JSON."""
    return {
        kind: {"schema": {"type": "string", "format": "binary", "description": told}}
        for kind, told in TABLES.items()
    }


def paths(spec: ReplicaSpec) -> dict[str, Any]:
    """Everything below `/v2`, and what MLflow's clients ask."""
    found: dict[str, Any] = {
        "/v2": _get("v2", "The server, as the Open Inference Protocol has it", "V2.Server"),
        "/v2/health/live": _get("v2-live", "Whether the process serves", "V2.Health"),
        "/v2/health/ready": _get("v2-ready", "Whether the models are loaded", "V2.Health"),
        "/v2/repository/index": {
            "post": _operation("v2-index", "The models that are served", "V2.Index", (), "V2.Error")
        },
    }
    for each in (each for each in reversed(spec.models) if is_table(each.signature)):
        plain = f"/v2/models/{each.name}"
        for path, told in (
            (plain, each.name),
            (f"{plain}/versions/{each.number}", f"{each.name}-{each.number}"),
        ):
            found[path] = _get(f"v2-{told}", f"What {each.model} takes and gives", "V2.Model")
            found[f"{path}/ready"] = _get(f"v2-{told}-ready", f"Whether {each.model} is loaded", "V2.Ready")
            found[f"{path}/infer"] = {"post": _infer(each, told)}
    if is_table(spec.models[0].signature):
        found["/invocations"] = {"post": _invocations(spec.models[0])}
    for name in ("ping", "health", "version"):
        answered = {"200": {"description": "The server is there.", "content": {_JSON: {"schema": {}}}}}
        about = {"operationId": f"mlflow-{name}", "summary": "For clients of MLflow", "responses": answered}
        found[f"/{name}"] = {"get": about}
    return found


def schemas() -> dict[str, Any]:
    """What these paths take and answer, by the names that they refer to."""
    flag, words = {"type": "boolean"}, {"type": "array", "items": _TEXT}
    shape = {"type": "array", "items": {"type": "integer"}}
    parameters = {"parameters": {"type": "object"}}
    tensor = {"name": _TEXT, "datatype": {"enum": list(DATATYPES)}, "shape": shape} | parameters
    told = {"type": "array", "items": _object(tensor, "name", "datatype", "shape")}
    data = {"type": "array", "description": "Flat or nested; left out where the tensor is binary."}
    filled = {"type": "array", "items": _object(tensor | {"data": data}, "name", "datatype", "shape")}
    asked = {"type": "array", "items": _object({"name": _TEXT} | parameters, "name")}
    names = {"model_name": _TEXT, "model_version": _TEXT, "id": _TEXT} | parameters
    index = {"name": _TEXT, "version": _TEXT, "state": _TEXT, "reason": _TEXT}
    return {
        "V2.Server": _object({"name": _TEXT, "version": _TEXT, "extensions": words}, "name", "version"),
        "V2.Health": _object({"live": flag, "ready": flag}, "live"),
        "V2.Ready": _object({"name": _TEXT, "ready": flag}, "name", "ready"),
        "V2.Index": {"type": "array", "items": _object(index, "name", "version", "state")},
        "V2.Model": _object(
            {"name": _TEXT, "versions": words, "platform": _TEXT, "inputs": told, "outputs": told}
            | parameters,
            "name",
            "platform",
            "inputs",
            "outputs",
        ),
        "V2.Request": _object(names | {"inputs": filled, "outputs": asked}, "inputs"),
        "V2.Answer": _object(names | {"outputs": filled}, "model_name", "id", "outputs"),
        "V2.Error": _object({"error": _TEXT}, "error"),
        "Invocation": _object(
            {name: {"description": "One of these four."} for name in FORMATS} | {"params": {"type": "object"}}
        ),
        "Invocation.Answer": _object({"predictions": {"type": "array"}, "warnings": words}, "predictions"),
        "Invocation.Error": _object({"error_code": _TEXT, "message": _TEXT}, "error_code", "message"),
    }


def example_tensors(signature: Signature) -> dict[str, Any]:
    """The body of a request that works."""
    return {
        "inputs": [
            {
                "name": column.name,
                "shape": [1],
                "datatype": TOLD[column.type],
                "data": [signature.example.input[column.name]],
            }
            for column in signature.inputs
        ]
    }


def example_invocation(signature: Signature) -> dict[str, Any]:
    """The body of a request of MLflow's that works."""
    return {"dataframe_records": [signature.example.input]}


def _infer(spec: ModelSpec, told: str) -> dict[str, Any]:
    operation = _operation(f"v2-{told}-infer", f"Ask {spec.model}", "V2.Answer", tuple(_REFUSED), "V2.Error")
    binary = {"schema": {"type": "string", "format": "binary"}}
    taken = "; ".join(
        f"a {kind} as {TOLD[kind]}" + (" or another of numbers" if len(datatypes) > 1 else "")
        for kind, datatypes in TAKEN.items()
    )
    outputs = "`predict`" + (f" and `{PROBA}`" if spec.signature.probabilities else "")
    operation["description"] = (
        f"A tensor of [rows] or [rows, 1] for each column: {taken}. It answers {outputs}. With the header"
        " Inference-Header-Content-Length binary tensors follow the JSON."
    )
    operation["responses"]["200"]["content"]["application/octet-stream"] = binary
    example = {"schema": _ref("V2.Request"), "example": example_tensors(spec.signature)}
    operation["requestBody"] = {
        "required": True,
        "content": {_JSON: example, "application/octet-stream": binary},
    }
    return operation


def _invocations(spec: ModelSpec) -> dict[str, Any]:
    refused = tuple(status for status in _REFUSED if status != 415)
    operation = _operation(
        "invocations", f"Ask {spec.model} as MLflow", "Invocation.Answer", refused, "Invocation.Error"
    )
    operation["responses"]["415"] = {
        "description": _REFUSED[415],
        "content": {"text/plain": {"schema": _TEXT}},
    }
    example = {"schema": _ref("Invocation"), "example": example_invocation(spec.signature)}
    kinds = {kind: told for kind, told in tables().items() if "arrow" not in kind}
    operation["requestBody"] = {"required": True, "content": {_JSON: example} | kinds}
    return operation


def _get(name: str, summary: str, schema: str) -> dict[str, Any]:
    return {"get": _operation(name, summary, schema, (503,), "V2.Error")}


def _operation(name: str, summary: str, schema: str, refused: tuple[int, ...], error: str) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": summary + ".", "content": {_JSON: {"schema": _ref(schema)}}}
    }
    for status in refused:
        content = {_JSON: {"schema": _ref(error)}}
        responses[str(status)] = {"description": _REFUSED[status], "content": content}
    return {"operationId": name, "summary": summary, "responses": responses}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
