"""The OpenAPI document of one replica, made from its model's signature.

Source: OpenAPI Specification 3.1.1; its schemas are JSON Schema 2020-12.
"""

from __future__ import annotations

from typing import Any

from mlwright.serving import named, openapi_named, openapi_protocols
from mlwright.serving.asking import TIMEOUT
from mlwright.serving.groups import KEY
from mlwright.serving.problems import MEDIA_TYPE
from mlwright.serving.spec import Limits, ModelSpec, ReplicaSpec
from mlwright.serving.walk import INT64
from mlwright.versioning.signatures import Column, Signature

_TYPES: dict[str, dict[str, Any]] = {
    "number": {"type": "number"},
    "integer": {"type": "integer", "format": "int64", "minimum": INT64[0], "maximum": INT64[1]},
    "boolean": {"type": "boolean"},
    "string": {"type": "string"},
}
_SHOWN = 100
"""Of a column's categories at most so many are named."""
_REFUSED = {
    400: "The body is not what its content type says, or not JSON.",
    406: "The answer is wanted in a form that there is not.",
    413: "The body is too large.",
    415: "The content is of a type that the model does not take, or it is compressed.",
    422: "The request does not fit the model's signature: the document names the field and the row.",
    500: "The model failed.",
    503: "The model is not loaded yet, or too many requests wait for it: again after `Retry-After` seconds.",
    504: "The time of the request was over before there was an answer.",
}


def example_request(signature: Signature) -> dict[str, Any]:
    """The body of a request that works."""
    if not signature.table:
        return {named.INPUTS: signature.example.input}
    return {"rows": [signature.example.input]}


def example_answer(spec: ModelSpec) -> dict[str, Any]:
    """What the example is answered with; the random part of the id is filled with zeros."""
    return {
        "predictions": [spec.signature.example.output],
        "model": spec.model,
        "id": f"{spec.version_id}-{'0' * 12}",
    }


def seen(column: Column) -> str:
    """What training saw of a column, as people read it; empty when nothing was kept."""
    if column.categories is not None:
        shown = [str(each) for each in column.categories[:_SHOWN]]
        more = len(column.categories) - len(shown)
        return "one of " + ", ".join(shown) + (f" and {more:,} more" if more else "")
    if column.minimum is None or column.maximum is None:
        return ""
    return f"{column.minimum:g} to {column.maximum:g}"


def openapi(spec: ReplicaSpec) -> dict[str, Any]:
    """The document, as plain JSON values."""
    text, first = {"type": "string"}, spec.models[0]
    schemas: dict[str, Any] = {"Problem": _PROBLEM, **openapi_protocols.schemas()}
    for each in reversed(spec.models):  # versions of one model take the same: what the first of them takes
        schemas |= _schemas(each, spec.limits)
    health = _json({"type": "object", "required": ["status"], "properties": {"status": text}})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": spec.told,
            "version": first.version_id,
            "description": f"Predictions of {spec.told}.",
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/predict": {"post": _shared(_predict(first, spec.limits, "predict"), spec)},
            **_by_name(spec),
            **openapi_protocols.paths(spec),
            "/health/live": {"get": _get("live", "Whether the process serves", health)},
            "/health/ready": {
                "get": _get("ready", "Whether the model has answered its example", health, 503)
            },
            "/": {"get": _get("form", "A form to ask by hand", {"text/html": {"schema": text}})},
            "/metrics": {
                "get": _get("metrics", "Counters, for Prometheus", {"text/plain": {"schema": text}})
            },
            "/docs": {"get": _get("docs", "This interface, for people", {"text/html": {"schema": text}})},
            "/openapi.json": {"get": _get("openapi", "This document", _json({"type": "object"}))},
        },
        "components": {"schemas": schemas},
    }


def _by_name(spec: ReplicaSpec) -> dict[str, Any]:
    """Where models are asked by their names, and versions by their numbers."""
    found: dict[str, Any] = {}
    for each in spec.models:
        for path, operation in (
            (f"/models/{each.name}/predict", f"predict-{each.name}"),
            (f"/models/{each.name}/versions/{each.number}/predict", f"predict-{each.name}-{each.number}"),
        ):
            found.setdefault(path, {"post": _predict(each, spec.limits, operation)})
    _shared(found[f"/models/{spec.models[0].name}/predict"]["post"], spec)
    return found


def _shared(operation: dict[str, Any], spec: ReplicaSpec) -> dict[str, Any]:
    """It, and who answers, where that is a group."""
    if spec.group is not None:
        operation["summary"] = f"Ask {spec.told_group}"
        key = {
            "name": KEY,
            "in": "header",
            "description": "With the same one, always the same version answers.",
            "schema": {"type": "string"},
        }
        operation["parameters"] = [*operation["parameters"], key]
    return operation


def _predict(spec: ModelSpec, limits: Limits, operation: str) -> dict[str, Any]:
    proba = {
        "name": "proba",
        "in": "query",
        "description": "1 for the probability of each class as well.",
        "schema": {"type": "string", "enum": ["0", "1", "false", "true"], "default": "0"},
    }
    signature = spec.signature
    answer = _json(_ref(f"{spec.name}.Prediction"), example_answer(spec))
    body = _json(_ref(f"{spec.name}.Request"), example_request(signature))
    tables = openapi_protocols.tables() if signature.table else {}
    body |= tables
    if not signature.table:
        body = openapi_named.request_content(spec, _ref(f"{spec.name}.Request"))
    most = f"At most {limits.rows} rows and {limits.body_bytes} bytes in one request"
    most += "" if signature.table else f"; {limits.file_bytes} bytes of files"
    timeout = {
        "name": TIMEOUT,
        "in": "header",
        "description": "How long the client waits for the answer, in milliseconds.",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": limits.timeout_ms,
            "default": limits.timeout_ms,
        },
    }
    answered = {
        "description": "One prediction for each row." if signature.table else "What the model answers.",
        "headers": {
            "x-mlwright-prediction-id": _header(
                "The id of the answer: the version's id, `-`, 12 characters."
            ),
            "x-mlwright-model": _header("The model version that answered."),
        },
        "content": openapi_named.events_content(spec) if signature.output.stream else answer | tables,
    }
    return {
        "operationId": operation,
        "summary": f"Ask {spec.model}",
        "description": f"{most}.",
        "parameters": [proba, timeout],
        "requestBody": {"required": True, "content": body},
        "responses": {"200": answered} | {str(status): _problem(status) for status in _REFUSED},
    }


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


def _get(name: str, summary: str, content: dict[str, Any], *refused: int) -> dict[str, Any]:
    responses = {"200": {"description": summary + ".", "content": content}}
    return {
        "operationId": name,
        "summary": summary,
        "responses": responses | {str(status): _problem(status) for status in refused},
    }


def _problem(status: int) -> dict[str, Any]:
    return {"description": _REFUSED[status], "content": {MEDIA_TYPE: {"schema": _ref("Problem")}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema} | ({} if example is None else {"example": example})}


def _schemas(spec: ModelSpec, limits: Limits) -> dict[str, Any]:
    signature, name = spec.signature, spec.name
    if not signature.table:
        request = openapi_named.request_schema(spec, limits)
        return {f"{name}.Request": request, f"{name}.Prediction": _prediction(spec)}
    size = {"minItems": 1, "maxItems": limits.rows}
    values = {column.name: _value(column) for column in signature.inputs}
    return {
        f"{name}.Request": {
            "oneOf": [
                _closed({"rows": _list(_ref(f"{name}.Row"), size)}),
                _closed({"columns": _ref(f"{name}.Columns")}),
            ]
        },
        f"{name}.Row": _closed(values),
        f"{name}.Columns": {
            "description": "Lists of one length, a value for each row.",
            **_closed({key: _list(value, size) for key, value in values.items()}),
        },
        f"{name}.Prediction": _prediction(spec),
    }


def _prediction(spec: ModelSpec) -> dict[str, Any]:
    signature, output = spec.signature, openapi_named.output_schema(spec)
    properties: dict[str, Any] = {
        "predictions": _list(output, {"minItems": 1}),
        "model": {"type": "string"},
        "id": {"type": "string"},
        "warnings": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What of the request lies outside of what training saw; left out if nothing does.",
        },
    }
    if signature.probabilities:
        shares = {"type": "object", "additionalProperties": {"type": "number"}}
        properties["probabilities"] = _list(shares, {"minItems": 1})
    return {"type": "object", "properties": properties, "required": ["predictions", "model", "id"]}


_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "row": {"type": "integer", "minimum": 0},
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                },
                "required": ["message"],
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: dict[str, Any], size: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, **size}


def _value(column: Column) -> dict[str, Any]:
    """A column's schema. What training saw is told, not demanded: other values are answered too.

    Only of a closed column no other value exists.
    """
    schema = dict(_TYPES[column.type])
    if column.closed and column.categories is not None:
        return {"enum": [*column.categories, *([None] if column.nullable else [])]}
    if column.nullable:
        schema["type"] = [schema["type"], "null"]
    if told := seen(column):
        schema["description"] = f"In training: {told}."
    return schema
