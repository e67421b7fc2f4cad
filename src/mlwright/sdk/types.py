"""What an annotation says, as plain data: the engine must know it without importing the user's libraries."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.hints import resolved

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
    if (origin or annotation) in (list, tuple) and _alike(arguments):
        return {"kind": "list", "of": parameter_spec(arguments[0]) if arguments else {"kind": "any"}}
    if (origin or annotation) is dict and (not arguments or arguments[0] is str):
        return {"kind": "dict", "of": parameter_spec(arguments[1]) if arguments else {"kind": "any"}}
    if origin is typing.Literal and all(type(each) in {int, str, type(None)} for each in arguments):
        return {"kind": "choice", "values": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"kind": "union", "of": [parameter_spec(argument) for argument in arguments]}
    if annotation is inspect.Parameter.empty:
        return {"kind": "any"} if default is None else parameter_spec(type(default))
    raise Invalid(
        f"a pipeline's parameter cannot be of type {type_name(annotation)}",
        hint="use int, float, str, bool, list[...], dict[str, ...], Literal[...] or Dataset",
    )


def _alike(arguments: tuple[Any, ...]) -> bool:
    """Whether `list[A]`, `tuple[A, ...]` or `tuple[A, A]` is meant."""
    return len({each for each in arguments if each is not Ellipsis}) <= 1


def refuse_unnamed(function: Callable[..., Any], what: str, where: str) -> None:
    """Every argument is recorded, and passed on, by its parameter's name.

    Raises:
        Invalid: the function has a parameter that cannot be named in a call.
    """
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Invalid(
                f"{what} takes `{parameter}`, which has no name in a call",
                where=where,
                hint="name each parameter; for several values of one kind take a list or a dict",
            )


def type_name(annotation: Any) -> str:
    """`pandas.DataFrame` for the class, the text of anything else."""
    if isinstance(annotation, type):
        if annotation.__module__ == "builtins":
            return annotation.__qualname__
        if annotation.__qualname__ in {"PosixPath", "WindowsPath"}:
            return "pathlib.Path"  # what people write, whatever the system makes of it
        # The library's first name is what people write: pandas.DataFrame, not pandas.core.frame.DataFrame.
        return f"{annotation.__module__.partition('.')[0]}.{annotation.__qualname__}".removeprefix("typing.")
    return str(annotation).replace("typing.", "")


def a_type(annotation: Any) -> str:
    """An annotation in a sentence: `a pandas.DataFrame`, `an int`, `None`."""
    if annotation is type(None):
        return "None"
    return with_article(type_name(annotation))


def with_article(name: str) -> str:
    """`an int`, `a pandas.DataFrame`."""
    return f"{'an' if name[:1].lower() in set('aeiou') else 'a'} {name}"


def output_types(annotation: Any) -> dict[str, str] | None:
    """The named outputs of a step by its return annotation, or None when it has only one.

    A NamedTuple or dataclass gives its fields, `tuple[A, B]` gives `0` and `1`.
    """
    hints = output_hints(annotation)
    if hints is None:
        return None
    return {name: "" if hint is inspect.Parameter.empty else type_name(hint) for name, hint in hints.items()}


def output_hints(annotation: Any) -> dict[str, Any] | None:
    """The type hint of each named output, or None; of one that has none it is `inspect.Parameter.empty`."""
    if (names := _fields(annotation)) is not None:
        hints = resolved(annotation)
        return {name: hints.get(name, inspect.Parameter.empty) for name in names}
    if typing.get_origin(annotation) is tuple:
        arguments = typing.get_args(annotation)
        if arguments and arguments[-1] is not Ellipsis:
            return {str(index): each for index, each in enumerate(arguments)}
    return None


def _fields(annotation: Any) -> list[str] | None:
    if not isinstance(annotation, type):
        return None
    if dataclasses.is_dataclass(annotation):
        return [field.name for field in dataclasses.fields(annotation)]
    return (
        list(annotation._fields) if issubclass(annotation, tuple) and hasattr(annotation, "_fields") else None
    )
