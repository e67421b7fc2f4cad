"""`@pipeline`: a function that says how steps are joined."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar

from mlwright.kernel.errors import Invalid
from mlwright.sdk import trace
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.hints import resolved
from mlwright.sdk.types import parameter_spec, refuse_unnamed

P = ParamSpec("P")
R = TypeVar("R")


class Pipeline(Generic[P, R]):
    """A graph of steps, made by calling its function once. Called from another, it becomes part of it."""

    def __init__(self, function: Callable[P, R]) -> None:
        code = function.__code__
        where = f"{code.co_filename}:{code.co_firstlineno}"
        refuse_unnamed(function, f"pipeline `{function.__name__}`", where)
        functools.update_wrapper(self, function)
        self.function = function
        self.name = function.__name__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function: inside another pipeline, its steps join that one's graph."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"

    def parameters(self) -> list[dict[str, Any]]:
        """Name, type, default (a JSON value) and whether one must be given, for each parameter.

        Raises:
            Invalid: a parameter's type or default that a command line cannot give.
        """
        hints = resolved(self.function)
        described = []
        for name, parameter in inspect.signature(self.function).parameters.items():
            required = parameter.default is inspect.Parameter.empty
            default = None if required else parameter.default
            spec = parameter_spec(hints.get(name, parameter.annotation), default)
            if isinstance(default, Dataset):
                spec, default = {"kind": "dataset"}, default.reference
            default = trace.plain(default, f"the default of parameter `{name}` of pipeline `{self.name}`")
            described.append({"name": name, "type": spec, "required": required, "default": default})
        return described

    def trace(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Call the function with these values, and return the nodes of its graph.

        Args:
            values: JSON values by parameter; a dataset's is its pinned reference.
        """
        arguments = {
            described["name"]: (
                Dataset(values[described["name"]])
                if described["type"]["kind"] == "dataset"
                else values[described["name"]]
            )
            for described in self.parameters()
        }
        with trace.tracing() as tracer:
            self.function(**arguments)  # type: ignore[call-arg, arg-type]
        if not tracer.nodes:
            raise Invalid(f"pipeline `{self.name}` calls no step")
        return tracer.nodes


def pipeline(function: Callable[P, R]) -> Pipeline[P, R]:
    """Make a function a pipeline: its parameters are the run's, its steps become a graph.

    Args:
        function: at the top of a module in the project's `pipelines` folder.
    """
    return Pipeline(function)
