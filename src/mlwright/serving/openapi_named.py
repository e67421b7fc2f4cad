"""The part of the OpenAPI document that describes models which are asked by name."""

from __future__ import annotations

from typing import Any

from mlwright.sdk.kinds import MEDIA
from mlwright.serving.named import INPUTS
from mlwright.serving.spec import Limits, ModelSpec
from mlwright.serving.walk import INT64
from mlwright.versioning.signatures import Input

_FORM, _TEXT = "multipart/form-data", "text/plain"
_VALUES: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer", "minimum": INT64[0], "maximum": INT64[1]},
    "boolean": {"type": "boolean"},
    "json": {},
}
_BYTES = {"type": "string", "contentEncoding": "base64"}


def single(inputs: tuple[Input, ...]) -> Input | None:
    """The only input that is needed, if its value may be the body of a request: a file, or text."""
    needed = [each for each in inputs if each.required] or list(inputs)
    return needed[0] if len(needed) == 1 and needed[0].kind in {*MEDIA, "text"} else None


def raw_types(inputs: tuple[Input, ...]) -> tuple[str, ...]:
    """The content types of a body that is the value of the only input."""
    only = single(inputs)
    if only is None:
        return ()
    return (_TEXT,) if only.kind == "text" else only.media_types


def request_schema(spec: ModelSpec, limits: Limits) -> dict[str, Any]:
    """What a request in JSON holds."""
    inputs = spec.signature.named
    values = {each.name: _value(each, limits) for each in inputs}
    return _object({INPUTS: _object(values, [each.name for each in inputs if each.required])}, [INPUTS])


def request_content(spec: ModelSpec, schema: dict[str, Any]) -> dict[str, Any]:
    """The bodies that a request may have, by content type.

    Args:
        schema: of JSON.
    """
    inputs = spec.signature.named
    example = {INPUTS: spec.signature.example.input}
    fields = {each.name: _field(each) for each in inputs}
    form: dict[str, Any] = {
        "schema": {**_object(fields, [each.name for each in inputs if each.required])},
        "encoding": {
            each.name: {"contentType": ", ".join(each.media_types)} for each in inputs if each.media_types
        },
    }
    raw = {kind: {"schema": {} if kind != _TEXT else _VALUES["text"]} for kind in raw_types(inputs)}
    return {"application/json": {"schema": schema, "example": example}, _FORM: form, **raw}


def output_schema(spec: ModelSpec) -> dict[str, Any]:
    """What one answer is."""
    output = spec.signature.output
    if output.classes is not None:
        return {"enum": list(output.classes)}
    if output.type in MEDIA:
        return _media()
    if output.type == "tensor":
        return {"type": "array"}
    if output.type == "number":
        return {"type": ["number", "null"], "description": "null stands for NaN and infinities"}
    return dict(_VALUES["text" if output.type == "string" else output.type])


def events_content(spec: ModelSpec) -> dict[str, Any]:
    """What a model that streams answers with."""
    told = "An event for each piece, as JSON; `error` if one could not be made; `end` behind the last."
    return {"text/event-stream": {"schema": {"type": "string", "description": told}}}


def _value(asked: Input, limits: Limits) -> dict[str, Any]:
    one = _one(asked)
    if not asked.many:
        return one if asked.required else {"anyOf": [one, {"type": "null"}]}
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": limits.rows}]}


def _one(asked: Input) -> dict[str, Any]:
    if asked.kind in MEDIA:
        return _media()
    if asked.kind != "tensor":
        return dict(_VALUES[asked.kind])
    kind = {"b": "boolean", "f": "number"}.get(asked.dtype[:1], "integer")
    schema: dict[str, Any] = {"type": kind}
    for length in reversed(asked.shape):
        size = {} if length < 0 else {"minItems": length, "maxItems": length}
        schema = {"type": "array", "items": schema, **size}
    return schema | {"description": f"{asked.dtype}, of shape {list(asked.shape)}"}


def _field(asked: Input) -> dict[str, Any]:
    """A field of a form: a file, or text."""
    one: dict[str, Any] = {} if asked.kind in MEDIA else {"type": "string"}
    if asked.kind in {"json", "tensor"}:
        one["contentMediaType"] = "application/json"
    return {"type": "array", "items": one} if asked.many else one


def _media() -> dict[str, Any]:
    return _object({"b64": _BYTES, "media_type": {"type": "string"}}, ["b64"])


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
