"""The description of the REST API, made from the declarations of its operations.

Source: OpenAPI Specification 3.1.1; JSON Schema 2020-12; RFC 9457.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from mlwright.kernel.version import VERSION
from mlwright.server.operations import PREFIX, Operation, shown_by
from mlwright.server.problems import MEDIA_TYPE, Problem

_REF = "#/components/schemas/{name}"
_EVENT = {
    "type": "object",
    "description": "Events: `data` is JSON; `end` comes last, or `error` with a problem document.",
    "properties": {"event": {"enum": ["message", "end", "error"]}, "data": {"type": "string"}},
    "required": ["data"],
}
_KEY = {
    "name": "idempotency-key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "Sent again within a day, the same request with the same key has the first answer.",
}
_MATCH = {
    "name": "if-match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The ETag that GET told: if it has another now, nothing is done, and 412 answered.",
}
_ARGUMENT = re.compile(r"^( {4,8})(\w+): (.*)$")


def openapi(operations: Iterable[Operation[..., Any]], others: dict[str, Any]) -> dict[str, Any]:
    """The document, as it is answered at `/api/v1/openapi.json`.

    Args:
        others: paths that no operation answers, described.
    """
    found = list(operations)
    kinds: list[Any] = [Problem]
    for each in found:
        kinds += [each.in_path, each.beside, each.answer]
    schemas, components = msgspec.json.schema_components(kinds, schema_hook=_plain, ref_template=_REF)
    for each in components.values():
        _allow_null(each)
    problem, *rest = schemas
    paths: dict[str, Any] = {}
    for number, each in enumerate(found):
        in_path, beside, answer = rest[3 * number : 3 * number + 3]
        told = _operation(each, _own(in_path, components), _own(beside, components), answer, problem)
        if shown_by(each, found) is not None:
            told["parameters"].append(_MATCH)
        paths.setdefault(PREFIX + each.path.replace(":path}", "}"), {})[each.method.lower()] = told
    asked = {kind.__name__ for each in found for kind in (each.in_path, each.beside) if not each.has_body}
    asked |= {each.in_path.__name__ for each in found}
    return {
        "openapi": "3.1.1",
        "info": {"title": "mlwright", "version": VERSION, "license": {"name": "Apache-2.0"}},
        "paths": paths | others,
        "components": {
            "schemas": {name: each for name, each in components.items() if name not in asked},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "mlwright"},
            },
        },
        "security": [{}, {"token": []}, {"session": []}],
    }


def _operation(
    operation: Operation[..., Any],
    in_path: dict[str, Any],
    beside: dict[str, Any],
    answer: dict[str, Any],
    problem: dict[str, Any],
) -> dict[str, Any]:
    summary, said, arguments = _documented(operation)
    noun = operation.path.split("/")[1]
    refused = {"description": "Why it was not done.", "content": {MEDIA_TYPE: {"schema": problem}}}
    media = "text/event-stream" if operation.streams else "application/json"
    shown = _EVENT if operation.streams else answer
    answers: dict[str, Any] = {
        str(operation.status): {"description": said or summary, "content": {media: {"schema": shown}}},
        "default": refused,
    }
    if operation.method == "GET" and not operation.streams:
        answers["304"] = {"description": "It is as it was: If-None-Match has its ETag."}
    told: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [noun],
        "summary": summary,
        "x-permission": operation.permission,
        "parameters": _parameters(in_path, "path", arguments),
        "responses": answers,
    }
    if operation.has_body:
        schema = {"$ref": _REF.format(name=operation.beside.__name__)}
        required = bool(beside.get("required"))
        told["requestBody"] = {"content": {"application/json": {"schema": schema}}, "required": required}
        for name, each in beside.get("properties", {}).items():
            if name in arguments:
                each["description"] = arguments[name]
    else:
        told["parameters"] += _parameters(beside, "query", arguments)
    if operation.takes_key and not operation.secret:
        told["parameters"].append(_KEY)
    return told


def _parameters(schema: dict[str, Any], place: str, arguments: dict[str, str]) -> list[dict[str, Any]]:
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "in": place,
            "required": place == "path" or name in required,
            "schema": each if place != "path" else {"minLength": 1, **each},
            "description": arguments.get(name, ""),
        }
        for name, each in schema.get("properties", {}).items()
    ]


def _own(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """A schema itself, and not where it stands."""
    return components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _documented(operation: Operation[..., Any]) -> tuple[str, str, dict[str, str]]:
    """What a docstring says: the first sentence, the answer, each argument."""
    text = inspect.cleandoc(operation.__doc__ or "")
    summary, _, rest = text.partition("\n\n")
    arguments: dict[str, str] = {}
    section, name, answer = "", "", []
    for line in rest.splitlines():
        if line.rstrip(":") in {"Args", "Returns", "Raises"}:
            section = line.rstrip(":")
        elif section == "Args" and (found := _ARGUMENT.match(line)) and len(found[1]) == 4:
            name = found[2]
            arguments[name] = found[3]
        elif section == "Args" and name and line.strip():
            arguments[name] += " " + line.strip()
        elif section == "Returns" and line.strip():
            answer.append(line.strip())
    return " ".join(summary.split()), " ".join(answer), arguments


def _allow_null(schema: Any) -> None:
    """Say that a number may be null: NaN and the infinities are, for which JSON has no word."""
    if isinstance(schema, dict):
        if schema.get("type") == "number":
            schema["type"] = ["number", "null"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            _allow_null(each)


def _plain(kind: type) -> dict[str, Any]:
    """The schema of what only our encoder knows."""
    if kind is object:
        return {"description": "Any JSON value."}
    if issubclass(kind, Path):
        return {"type": "string"}
    raise NotImplementedError(kind)
