"""Tracing: a pipeline's function is called once, its steps answer with promises, and a graph is left.

The graph is plain data. A node's argument is one of
`{"kind": "value", "value": ...}`, `{"kind": "output", "node": ..., "output": ...}`,
`{"kind": "dataset", "value": "patients@3"}`, `{"kind": "list", "items": [...]}`,
`{"kind": "dict", "fields": {...}}`.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.types import output_types, type_name

if TYPE_CHECKING:
    from mlwright.sdk.step import Step

_current: ContextVar[Tracer | None] = ContextVar("tracer", default=None)

RESULT = "result"
"""The name of the only output of a step that has one."""


def current() -> Tracer | None:
    """The tracer at work in this context, if a pipeline is being traced."""
    return _current.get()


class Promise:
    """What a step will give, inside a pipeline's function: pass it on to other steps."""

    __slots__ = ("_node", "_output")

    def __init__(self, node: str, output: str) -> None:
        self._node, self._output = node, output

    def __repr__(self) -> str:
        return f"<output {self._output} of {self._node}>"

    def _refuse(self, *_: Any) -> Any:
        raise Invalid(
            f"`{self._node}` has not run yet: its output can be passed on, but not looked into",
            where=caller(),
            hint="do this inside a step; a pipeline's function only says how steps are joined",
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)  # what libraries look for, to learn what this is
        self._refuse()

    __bool__ = __iter__ = __len__ = __getitem__ = __contains__ = __call__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __float__ = __int__ = __index__ = __format__ = _refuse
    __hash__ = object.__hash__


class Promises:
    """The several outputs of one step, by field name or by position.

    It is no tuple, so that a field may have the name of one of a tuple's methods (`index`, `count`).
    """

    __slots__ = ("_node", "_promises")

    def __init__(self, node: str, outputs: Iterable[str]) -> None:
        self._node = node
        self._promises = {output: Promise(node, output) for output in outputs}

    def __repr__(self) -> str:
        return f"<outputs {', '.join(self._promises)} of {self._node}>"

    def __iter__(self) -> Iterator[Promise]:
        return iter(self._promises.values())

    def __len__(self) -> int:
        return len(self._promises)

    def __getitem__(self, index: int) -> Promise:
        return list(self)[index]

    def __getattr__(self, name: str) -> Promise:
        if name.startswith("_") or name not in self._promises:
            raise AttributeError(f"`{self._node}` has no output `{name}`, but {', '.join(self._promises)}")
        return self._promises[name]


class Tracer:
    """Collects the nodes of one pipeline."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self._names: dict[str, int] = {}

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A step was called: add its node, promise its outputs.

        Raises:
            Invalid: arguments that do not fit the function, or that cannot be written down.
        """
        try:
            bound = step.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise Invalid(f"step `{step.name}` cannot be called so: {error}", where=caller()) from error
        bound.apply_defaults()
        hints = step.hints
        returned = hints.get("return", inspect.Parameter.empty)
        outputs = output_types(returned)
        code = step.function.__code__
        name = self.add(
            name=step.name,
            kind="step",
            step=step.address,
            line=code.co_firstlineno,
            inputs={
                key: argument(value, f"argument `{key}` of step `{step.name}`")
                for key, value in bound.arguments.items()
            },
            outputs=outputs
            or {RESULT: type_name(returned) if returned is not inspect.Parameter.empty else ""},
            several=outputs is not None,
            # Who takes anything gets it as what it was.
            accepts={
                key: type_name(hint) for key, hint in hints.items() if key != "return" and hint is not Any
            },
            **dataclasses.asdict(step.options),
        )
        if outputs is None:
            return Promise(name, RESULT)
        return Promises(name, outputs)

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


def argument(value: Any, what: str) -> dict[str, Any]:
    """Write down what is passed to a step.

    Raises:
        Invalid: neither a promise, nor a dataset, nor a JSON value, nor a list or dict of these.
    """
    if isinstance(value, Promise):
        return {"kind": "output", "node": value._node, "output": value._output}
    if isinstance(value, Dataset):
        return {"kind": "dataset", "value": value.reference}
    if isinstance(value, Promises):
        raise Invalid(
            f"{what} is all outputs of `{value._node}` at once",
            where=caller(),
            hint=f"pass one of them: {', '.join('.' + each._output for each in value)}",
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
        shown = repr(value) if isinstance(value, float) else f"a {type_name(type(value))}"
        raise Invalid(
            f"{what} is {shown}, which cannot be recorded",
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


def caller() -> str:
    """The file and line of the user's code that called us: the innermost frame outside this package."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("mlwright."):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
