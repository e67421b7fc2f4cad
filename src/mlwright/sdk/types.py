"""What an annotation says, as plain data: the engine must know it without importing the user's libraries."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.dataset import Dataset

_SCALARS = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}


def parameter_spec(annotation: Any, default: Any = None) -> dict[str, Any]:
    """The type of a pipeline's parameter.

    Args:
        annotation: a resolved type hint, or `inspect.Parameter.empty`.
        default: tells the type when there is no annotation.

    Returns:
        `{"kind": "integer"}`, `{"kind": "list", "of": {...}}`, `{"kind": "choice", "values": [...]}`, ...

    Raises:
        Invalid: a type that a command line cannot give.
    """
    if annotation is Dataset:
        return {"kind": "dataset"}
    if annotation in _SCALARS:
        return {"kind": _SCALARS[annotation]}
    if annotation is Any:
        return {"kind": "any"}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (list, tuple) or annotation is list:
        return {"kind": "list", "of": parameter_spec(arguments[0]) if arguments else {"kind": "any"}}
    if origin is dict or annotation is dict:
        return {"kind": "dict", "of": parameter_spec(arguments[1]) if arguments else {"kind": "any"}}
    if origin is typing.Literal:
        return {"kind": "choice", "values": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"kind": "union", "of": [parameter_spec(argument) for argument in arguments]}
    if annotation is inspect.Parameter.empty:
        return {"kind": "any"} if default is None else parameter_spec(type(default))
    raise Invalid(
        f"a pipeline's parameter cannot be of type {type_name(annotation)}",
        hint="use int, float, str, bool, list[...], dict[str, ...], Literal[...] or Dataset",
    )


def type_name(annotation: Any) -> str:
    """`pandas.DataFrame` for the class, the text of anything else."""
    if isinstance(annotation, type):
        if annotation.__module__ == "builtins":
            return annotation.__qualname__
        # The library's first name is what people write: pandas.DataFrame, not pandas.core.frame.DataFrame.
        return f"{annotation.__module__.partition('.')[0]}.{annotation.__qualname__}"
    return str(annotation).replace("typing.", "")


def output_types(annotation: Any) -> dict[str, str] | None:
    """The named outputs of a step by its return annotation, or None when it has only one.

    A NamedTuple or dataclass gives its fields, `tuple[A, B]` gives `0` and `1`.
    """
    if isinstance(annotation, type) and (
        dataclasses.is_dataclass(annotation)
        or (issubclass(annotation, tuple) and hasattr(annotation, "_fields"))
    ):
        hints = typing.get_type_hints(annotation)
        return {name: type_name(hint) for name, hint in hints.items()}
    if typing.get_origin(annotation) is tuple:
        arguments = typing.get_args(annotation)
        if arguments and arguments[-1] is not Ellipsis:
            return {str(index): type_name(each) for index, each in enumerate(arguments)}
    return None
