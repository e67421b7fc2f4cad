"""Joins: whether what one step gives can be what another takes. Told from annotations, while tracing.

Only what can never work is refused. Most of what annotations leave open is right: a subclass is passed, a
table becomes another library's, a parameter says less than it takes.
"""

from __future__ import annotations

import abc
import enum
import inspect
import types
import typing
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.caller import caller
from mlwright.sdk.hints import is_stand_in
from mlwright.sdk.promise import Promise
from mlwright.sdk.types import a_type, type_name

_KINDS = {
    name: kind
    for kind, names in {
        "number": "bool int float complex",
        "text": "str pathlib.PurePath",
        "bytes": "bytes bytearray memoryview",
        "list": "list tuple set frozenset",
        "dict": "dict",
        "table": "pandas.DataFrame polars.DataFrame polars.LazyFrame pyarrow.Table",
        "nothing": "NoneType",
    }.items()
    for name in names.split()
}
"""Classes that nothing of another kind can stand for; those of one kind convert, or do for each other."""

_LIKE = {
    "number": ("__float__", "__index__"),
    "text": ("__fspath__",),
    "list": ("__iter__", "__getitem__", "__array__"),
    "dict": ("keys", "__getitem__"),
    "table": ("columns", "shape", "__array__", "__dataframe__", "__arrow_c_stream__"),
}
"""What a class of no kind has that may stand for one of a kind all the same."""


def can_fit(given: Any, wanted: Any) -> bool:
    """Whether a value with one annotation may be passed where another is wanted.

    Args:
        given: a resolved type hint, or `inspect.Parameter.empty`.
        wanted: likewise.

    Returns:
        False only if both are concrete classes whose values never do for each other.
    """
    one, other = _concrete(given), _concrete(wanted)
    if one is None or other is None or other is type(None):
        return True
    try:
        if issubclass(one, other) or issubclass(other, one):
            return True
    except TypeError:  # a class that cannot be asked
        return True
    kinds = _kind(one), _kind(other)
    if all(kinds):
        return kinds[0] == kinds[1]
    if not any(kinds):
        return True
    kind, unknown = (kinds[0], other) if kinds[0] else (kinds[1], one)
    if is_stand_in(unknown) or _is_numpy(unknown):
        return True
    return any(hasattr(unknown, name) for name in _LIKE.get(kind, ()))


def element_of(annotation: Any) -> Any:
    """The type hint of an element of a list, or of a value of a dictionary; `Any` where it is not told."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if getattr(origin, "__module__", "") not in {"builtins", "collections", "collections.abc"}:
        return Any  # what the parameters of another generic class are about, only it knows
    if hasattr(origin, "keys"):
        return arguments[1] if len(arguments) == 2 else Any
    if not hasattr(origin, "__iter__") or not (len(arguments) == 1 or arguments[1:] == (Ellipsis,)):
        return Any
    return arguments[0]


def refuse_misfit(value: Any, wanted: Any, taker: str, parameter: str, *, maps: bool = True) -> None:
    """A promise goes where it can never be of use: named with both ends.

    Args:
        value: what is passed; lists and dictionaries are looked through.
        wanted: the type hint of what takes it.
        taker: the name of the step that takes it.
        parameter: as which it takes it.
        maps: whether it could go through a list instead.

    Raises:
        Invalid: it is an output of a type that can never fit.
    """
    if isinstance(value, list | tuple):
        for item in value:
            refuse_misfit(item, element_of(wanted), taker, parameter, maps=False)
    elif isinstance(value, dict):
        for item in value.values():
            refuse_misfit(item, element_of(wanted), taker, parameter, maps=False)
    elif isinstance(value, Promise) and not can_fit(value._of.whole, wanted):
        output = value._of
        given = _concrete(output.whole)
        each = given is not None and _kind(given) == "list" and can_fit(element_of(output.whole), wanted)
        raise Invalid(
            f"{output} {'is mapped, and ' * output.mapped}gives {a_type(output.whole)},"
            f" `{taker}` takes `{parameter}` as {a_type(wanted)}",
            where=caller(),
            hint=f"to call `{taker}` for each element: {taker}.map(...)"
            if maps and each
            else "pass on another output, or correct the annotation that is wrong",
        )


def refuse_no_condition(value: Any, taker: str) -> None:
    """A promise is the condition of a call, and can never be true or false: named with both ends.

    A number may be passed as a bool elsewhere, but says nothing about whether a step is called.

    Raises:
        Invalid: it is an output of a type that no bool has.
    """
    refuse_misfit(value, bool, taker, "when", maps=False)
    if isinstance(value, Promise):
        given = _concrete(value._of.whole)
        if given is not None and _kind(given) == "number" and given is not bool:
            raise Invalid(
                f"{value._of} gives {a_type(given)}, `{taker}` takes `when` as a bool",
                where=caller(),
                hint="let a step compare it, and pass on the bool that this gives",
            )


def refuse_misfit_of_each(value: Any, wanted: Any, taker: str, parameter: str) -> None:
    """Like `refuse_misfit`, for what is taken element by element.

    Raises:
        Invalid: it is no list, or its elements are of a type that can never fit.
    """
    if not isinstance(value, Promise):
        for item in value:
            refuse_misfit(item, wanted, taker, parameter, maps=False)
        return
    output = value._of
    if not can_fit(output.whole, list):
        raise Invalid(
            f"{output} gives {a_type(output.whole)}, `{taker}.map` goes through `{parameter}` as a list",
            where=caller(),
            hint=f"what is the same for every element is passed by name: {parameter}=...",
        )
    given = element_of(output.whole)
    if not can_fit(given, wanted):
        raise Invalid(
            f"each element of {output} is {a_type(given)}, `{taker}` takes `{parameter}` as {a_type(wanted)}",
            where=caller(),
            hint="pass on another output, or correct the annotation that is wrong",
        )


def refuse_mapped(value: Any, taker: str, parameter: str) -> None:
    """What takes one value is given those of every element.

    Raises:
        Invalid: it is an output of a mapped step.
    """
    if isinstance(value, Promise) and value._of.mapped:
        raise Invalid(
            f"{value._of} is mapped, and gives a list; `{taker}` takes one thing as `{parameter}`",
            where=caller(),
            hint="let a step take the whole list and give one of them, or one result of all",
        )


def _concrete(annotation: Any) -> type | None:
    """The class that an annotation is about, if it is one that says what a value must be."""
    if typing.is_typeddict(annotation):
        return dict
    found = typing.get_origin(annotation) or annotation
    if not isinstance(found, type) or found in (Any, inspect.Parameter.empty, types.UnionType):
        return None
    if getattr(found, "_is_protocol", False) or issubclass(found, enum.Enum):
        return None
    return None if _is_abstract(found) else found


def _is_abstract(found: type) -> bool:
    """Whether a class has abstract methods, or begins a tree of them; its end is a class like any other."""
    begins = isinstance(found, abc.ABCMeta) and all(
        base is abc.ABC or not isinstance(base, abc.ABCMeta) for base in found.__bases__
    )
    return inspect.isabstract(found) or begins


def _kind(found: type) -> str:
    return next((_KINDS[name] for name in map(type_name, found.__mro__) if name in _KINDS), "")


def _is_numpy(found: type) -> bool:
    return any(base.__module__.partition(".")[0] == "numpy" for base in found.__mro__)
