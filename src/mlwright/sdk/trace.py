"""Tracing: a pipeline's function is called once, its steps answer with promises, and a graph is left.

The graph is plain data. A node's argument is one of
`{"kind": "value", "value": ...}`, `{"kind": "output", "node": ..., "output": ...}`,
`{"kind": "dataset", "value": "patients@3"}`, `{"kind": "list", "items": [...]}`,
`{"kind": "dict", "fields": {...}}`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
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

    def __init__(self, node: str, output: str) -> None:
        self._node, self._output = node, output

    def __repr__(self) -> str:
        return f"<output {self._output} of {self._node}>"

    def _refuse(self, *_: Any) -> Any:
        raise Invalid(
            f"`{self._node}` has not run yet: its output can be passed on, but not looked into",
            hint="do this inside a step; a pipeline's function only says how steps are joined",
        )

    __bool__ = __iter__ = __len__ = __getitem__ = __add__ = __lt__ = __gt__ = __float__ = __int__ = _refuse


class Promises(tuple[Promise, ...]):
    """The several outputs of one step, by field name or by position."""

    __slots__ = ()

    def __new__(cls, promises: Mapping[str, Promise]) -> Promises:
        """Promises by the names of their outputs, in order."""
        return super().__new__(cls, tuple(promises.values()))

    def __getattr__(self, name: str) -> Promise:
        for promise in self:
            if promise._output == name:
                return promise
        raise AttributeError(f"{self[0]._node} has no output {name!r}: {[p._output for p in self]}")


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
        options = step.options
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
            accepts={key: type_name(hint) for key, hint in hints.items() if key != "return"},
            retries=options.retries,
            timeout_s=options.timeout_s,
            cpus=options.cpus,
            memory_bytes=options.memory_bytes,
            cache=options.cache,
            seeded=options.seeded,
        )
        if outputs is None:
            return Promise(name, RESULT)
        return Promises({output: Promise(name, output) for output in outputs})

    def add(self, *, name: str, **node: Any) -> str:
        """Append a node under a name of its own (`fit`, `fit-2`); returns that name."""
        self._names[name] = count = self._names.get(name, 0) + 1
        unique = name if count == 1 else f"{name}-{count}"
        self.nodes.append({"name": unique, **node})
        return unique


@contextmanager
def tracing() -> Iterator[Tracer]:
    """Steps called in the block are collected, not run.

    Raises:
        Invalid: a pipeline is being traced already.
    """
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
            f"{what} is all outputs of `{value[0]._node}` at once", hint=f"pass one, as .{value[0]._output}"
        )
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        pass
    else:
        return {"kind": "value", "value": value}
    if isinstance(value, list | tuple):
        return {"kind": "list", "items": [argument(item, what) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"kind": "dict", "fields": {key: argument(item, what) for key, item in value.items()}}
    raise Invalid(
        f"{what} is a {type_name(type(value))}, which cannot be recorded",
        where=caller(),
        hint="pass a JSON value, a Dataset, or the output of another step",
    )


def caller() -> str:
    """The file and line of the user's code that called us: the innermost frame outside this package."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("mlwright."):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
