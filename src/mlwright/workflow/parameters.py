"""A run's parameters at the door: what was typed becomes what the pipeline's types say, or one message."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Literal

import msgspec
from msgspec import Struct

from mlwright.kernel.errors import Invalid, nearest

_SIMPLE: dict[str, Any] = {
    "integer": int,
    "number": float,
    "string": str,
    "boolean": bool,
    "null": None,
    "any": Any,
    "dataset": str,
}
_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "dataset": "a dataset reference",
    "list": "a JSON list",
    "dict": "a JSON object",
}


class Parameter(Struct, frozen=True):
    """A pipeline's parameter. `type` is as `mlwright.sdk.types.parameter_spec` says."""

    name: str
    type: dict[str, Any]
    required: bool
    default: Any


def bind(pipeline: str, parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every parameter: given, or its default.

    Args:
        pipeline: for the message.
        parameters: what the pipeline takes.
        given: text from a command line, or values from Python.

    Raises:
        Invalid: an unknown name, a missing one, or a value of the wrong type.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            seed = "the seed is the run's: --seed NUMBER" if name == "seed" else None
            hint = seed or nearest(name, list(known))
            raise Invalid(f"pipeline `{pipeline}` has no parameter `{name}`", hint=hint)
    values = {}
    for name, parameter in known.items():
        if name in given:
            values[name] = _convert(given[name], parameter, pipeline)
        elif parameter.required:
            raise Invalid(
                f"pipeline `{pipeline}` needs the parameter `{name}`", hint=f"give it: -p {name}=..."
            )
        else:
            values[name] = parameter.default
    return values


def _convert(value: Any, parameter: Parameter, pipeline: str) -> Any:
    wanted = _type(parameter.type)
    candidates = [value]
    if isinstance(value, str) and parameter.type["kind"] not in {"string", "dataset"}:
        with contextlib.suppress(msgspec.DecodeError):
            candidates.insert(0, msgspec.json.decode(value))
    for candidate in candidates:
        try:
            return msgspec.convert(candidate, wanted)
        except msgspec.ValidationError:
            continue
    kind = parameter.type["kind"]
    words = f"one of {parameter.type['values']}" if kind == "choice" else _WORDS.get(kind, "of another type")
    raise Invalid(
        f"parameter `{parameter.name}` of pipeline `{pipeline}` must be {words}, not {value!r}",
        hint=None if parameter.required else f"its default is {parameter.default!r}",
    )


def _type(spec: Mapping[str, Any]) -> Any:
    match spec["kind"]:
        case "list":
            return list[_type(spec["of"])]  # type: ignore[misc]
        case "dict":
            return dict[str, _type(spec["of"])]  # type: ignore[misc]
        case "choice":
            return Literal[tuple(spec["values"])]
        case "union":
            return reduce(lambda one, other: one | other, [_type(each) for each in spec["of"]])
        case kind:
            return _SIMPLE[kind]
