"""Tracing: a pipeline's function is called once, its steps answer with promises, and a graph is left.

The graph is plain data. A node's argument is one of
`{"kind": "value", "value": ...}`, `{"kind": "output", "node": ..., "output": ...}`,
`{"kind": "dataset", "value": "patients@3"}`, `{"kind": "list", "items": [...]}`,
`{"kind": "dict", "fields": {...}}`. The inputs that a node is `mapped` over are lists, of which each element
is an argument of its own; of a mapped node a plain input gets the list of all outputs.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.caller import caller
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.joins import refuse_misfit, refuse_misfit_of_each, refuse_no_condition
from mlwright.sdk.promise import Output, Promise, Promises, promises_in
from mlwright.sdk.types import a_type, type_name

if TYPE_CHECKING:
    from mlwright.sdk.step import Step

_current: ContextVar[Tracer | None] = ContextVar("tracer", default=None)


def current() -> Tracer | None:
    """The tracer at work in this context, if a pipeline is being traced."""
    return _current.get()


class Tracer:
    """Collects the nodes of one pipeline."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self._names: dict[str, int] = {}

    def call(
        self,
        step: Step[Any, Any],
        arguments: Mapping[str, Any],
        when: Any,
        *,
        over: Mapping[str, Promise | list[Any]] | None = None,
    ) -> Promise | Promises:
        """A step was called: add its node, promise its outputs.

        Args:
            step: what was called.
            arguments: all of them, by parameter.
            when: the promise of a condition, or whether the step is called at all.
            over: those of the arguments that it is mapped over.

        Raises:
            Invalid: an argument that cannot be written down, or that can never fit its parameter.
        """
        mapped, declared = over or {}, step.declared
        inputs = {key: argument(value, place(step, key)) for key, value in arguments.items()}
        for key, value in arguments.items():
            # `table: DataFrame = None` is still written, and means that it may be None.
            wanted = declared.accepts[key] if step.signature.parameters[key].default is not None else Any
            refuse = refuse_misfit_of_each if key in mapped else refuse_misfit
            refuse(value, wanted, step.name, key)
        name = self.add(
            name=step.name,
            kind="step",
            step=step.address,
            line=step.function.__code__.co_firstlineno,
            inputs=inputs,
            outputs={
                key: "" if hint is inspect.Parameter.empty else type_name(hint)
                for key, hint in declared.outputs.items()
            },
            several=declared.several,
            # Who takes anything gets it as what it was.
            accepts={key: type_name(hint) for key, hint in declared.accepts.items() if hint is not Any},
            mapped=list(mapped),
            when=_condition(when, step),
            fallbacks=_fallbacks(step, arguments, mapped),
            **step.options.told(),
        )
        length = next((n for n in map(length_of, mapped.values()) if n is not None), None)
        outputs = [
            Output(name, key, hint, self, mapped=over is not None, length=length)
            for key, hint in declared.outputs.items()
        ]
        return Promises(name, outputs) if declared.several else Promise(outputs[0])

    def add(self, *, name: str, **node: Any) -> str:
        """Append a node under a name of its own (`fit`, `fit-2`); returns that name."""
        self._names[name] = count = self._names.get(name, 0) + 1
        unique = name if count == 1 else f"{name}-{count}"
        self.nodes.append({"name": unique, **node})
        return unique


@contextmanager
def tracing() -> Iterator[Tracer]:
    """Steps called in the block are collected, not run."""
    tracer = Tracer()
    token = _current.set(tracer)
    try:
        yield tracer
    finally:
        _current.reset(token)


def bind(step: Step[Any, Any], args: Iterable[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by parameter, with their defaults.

    Raises:
        Invalid: they do not fit the function.
    """
    try:
        bound = step.signature.bind(*args, **kwargs)
    except TypeError as error:
        raise Invalid(f"step `{step.name}` cannot be called so: {error}", where=caller()) from error
    bound.apply_defaults()
    return bound.arguments


def place(step: Step[Any, Any], parameter: str) -> str:
    """How messages name an argument."""
    return f"argument `{parameter}` of step `{step.name}`"


def argument(value: Any, what: str) -> dict[str, Any]:
    """Write down what is passed to a step.

    Raises:
        Invalid: neither a promise of this tracing, nor a dataset, a JSON value, or a list or dict of these.
    """
    if isinstance(value, Promise):
        if value._of.tracing is not current():
            raise Invalid(
                f"{what} is the output of {value._of}, which belongs to another pipeline, or an earlier call",
                where=caller(),
                hint="pass on what steps of this pipeline gave; a pipeline that it calls is part of it",
            )
        return {"kind": "output", "node": value._of.node, "output": value._of.name}
    if isinstance(value, Dataset):
        return {"kind": "dataset", "value": value.reference}
    if isinstance(value, Promises):
        raise Invalid(
            f"{what} is all outputs of `{value._node}` at once",
            where=caller(),
            hint=f"pass one of them: {', '.join('.' + each._of.name for each in value)}",
        )
    if not _is_json(value):
        if isinstance(value, list | tuple):
            return {"kind": "list", "items": [argument(item, what) for item in value]}
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {"kind": "dict", "fields": {key: argument(item, what) for key, item in value.items()}}
    return {"kind": "value", "value": plain(value, what)}


def plain(value: Any, what: str) -> Any:
    """A JSON value as it is recorded: a copy, so that what is changed later is not what was passed.

    Raises:
        Invalid: no JSON value.
    """
    if not _is_json(value):
        raise Invalid(
            f"{what} is {_told(value)}, which cannot be recorded",
            where=caller(),
            hint="pass a JSON value (keys are text), a Dataset, or the output of another step",
        )
    return json.loads(json.dumps(value))


def _is_json(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _told(value: Any) -> str:
    return repr(value) if isinstance(value, float) else a_type(type(value))


def spread(
    step: Step[Any, Any], iterables: Iterable[Any], same: Mapping[str, Any]
) -> dict[str, Promise | list[Any]]:
    """What a step is mapped over, by parameter: in order those that are not given by name.

    Raises:
        Invalid: nothing, too much, no lists, or lists of different lengths.
    """
    free = [name for name in step.signature.parameters if name not in same]
    given = tuple(iterables)
    if not given:
        raise Invalid(
            f"`{step.name}.map` is given nothing to go through",
            where=caller(),
            hint="give it a list by position; what is the same for every element is passed by name",
        )
    if len(given) > len(free):
        raise Invalid(
            f"`{step.name}.map` is given {len(given)} lists to go through, but has"
            f" {len(free)} parameter{'s' * (len(free) != 1)} for them",
            where=caller(),
        )
    over = {name: _listed(value, step, name) for name, value in zip(free, given, strict=False)}
    lengths = {name: length for name, value in over.items() if (length := length_of(value)) is not None}
    for name, length in lengths.items():
        first = next(iter(lengths))
        if length != lengths[first]:
            raise Invalid(
                f"`{step.name}.map` goes through lists of different lengths:"
                f" `{first}` has {lengths[first]}, `{name}` has {length}",
                where=caller(),
                hint="each call takes one element of every list",
            )
    return over


def length_of(value: Promise | list[Any]) -> int | None:
    """How many elements there are to go through, where this is known before a run."""
    return value._of.length if isinstance(value, Promise) else len(value)


def _listed(value: Any, step: Step[Any, Any], parameter: str) -> Promise | list[Any]:
    if isinstance(value, Promise):
        return value
    what = place(step, parameter)
    if isinstance(value, Promises):
        argument(value, what)  # says what to pass instead
    # Text, keys and sets can be gone through, but that is hardly meant; and a set has no order.
    if isinstance(value, str | bytes | Mapping | set | frozenset) or not isinstance(value, Iterable):
        raise Invalid(
            f"{what} is {_told(value)}, and no list to go through",
            where=caller(),
            hint=f"what is the same for every element is passed by name: {parameter}=...",
        )
    return list(value)


def truth(value: Any, step: Step[Any, Any]) -> bool:
    """A condition that is known already; NumPy's truth is one too.

    Raises:
        Invalid: neither true nor false.
    """
    if isinstance(value, bool):
        return value
    if getattr(getattr(value, "dtype", None), "kind", "") == "b" and getattr(value, "ndim", 1) == 0:
        return bool(value)
    raise Invalid(
        f"the condition `when` of step `{step.name}` is {_told(value)}, neither true nor false",
        where=caller(),
        hint="pass a bool, or the output of a step or a gate that gives one",
    )


def _condition(when: Any, step: Step[Any, Any]) -> dict[str, Any] | None:
    """The condition as it is written down; None for a step that is called in any case."""
    what = f"the condition `when` of step `{step.name}`"
    if not isinstance(when, Promise | Promises):
        return None if truth(when, step) else {"kind": "value", "value": False}
    written = argument(when, what)
    refuse_no_condition(when, step.name)
    return written


def _fallbacks(
    step: Step[Any, Any], arguments: Mapping[str, Any], mapped: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """What stands in for outputs that are missing, because their step was skipped."""
    found = {}
    for name, parameter in step.signature.parameters.items():
        # The default of what is mapped would be for one element: of how many, nobody knows.
        if (
            name in mapped
            or parameter.default is parameter.empty
            or next(promises_in(arguments[name]), None) is None
        ):
            continue
        try:
            found[name] = argument(parameter.default, "")
        except Invalid:
            continue  # it cannot be recorded: this step is skipped too
    return found
