"""`@step`: a plain function that a pipeline can plan, cache and run elsewhere."""

from __future__ import annotations

import functools
import inspect
import math
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, overload

from mlwright.kernel.errors import Invalid
from mlwright.sdk import trace
from mlwright.sdk.types import refuse_unnamed

P = ParamSpec("P")
R = TypeVar("R")

_DURATION = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1}


@dataclass(frozen=True, slots=True)
class StepOptions:
    """How a step is to be run; none of it changes what it computes."""

    retries: int = 0
    timeout_s: float | None = None
    cpus: int = 1
    memory_bytes: int | None = None
    cache: bool = True
    seeded: bool = True


class Step(Generic[P, R]):
    """A function with options. Outside a pipeline, calling it is a plain call."""

    def __init__(self, function: Callable[P, R], options: StepOptions) -> None:
        where = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
        if not function.__qualname__.isidentifier():
            inside = "a function" if "<locals>" in function.__qualname__ else "a class or an expression"
            raise Invalid(
                f"step `{function.__name__}` is defined inside {inside}",
                where=where,
                hint="move it to the top of its module: a worker must find it by name",
            )
        refuse_unnamed(function, f"step `{function.__name__}`", where)
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self.name = function.__name__
        self.address = f"{function.__module__}:{function.__qualname__}"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Inside a pipeline, add a node and answer with promises; elsewhere, call the function."""
        tracer = trace.current()
        if tracer is None:
            return self.function(*args, **kwargs)
        return tracer.call(self, args, kwargs)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<step {self.address}>"

    @property
    def signature(self) -> inspect.Signature:
        """The function's parameters."""
        return inspect.signature(self.function)

    @property
    def hints(self) -> dict[str, Any]:
        """The function's resolved type hints."""
        return typing.get_type_hints(self.function)


@overload
def step(function: Callable[P, R]) -> Step[P, R]: ...
@overload
def step(
    *,
    retries: int = 0,
    timeout: str | float | None = None,
    resources: Mapping[str, Any] | None = None,
    cache: bool = True,
    seed: bool = True,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(
    function: Callable[P, R] | None = None,
    *,
    retries: int = 0,
    timeout: str | float | None = None,
    resources: Mapping[str, Any] | None = None,
    cache: bool = True,
    seed: bool = True,
) -> Any:
    """Make a function a step of pipelines.

    Args:
        function: defined at the top of a module; its annotations name what goes in and comes out.
        retries: how often a failed attempt is repeated.
        timeout: how long one attempt may take: seconds, or `"90s"`, `"10m"`, `"1h"`.
        resources: `{"cpus": 1, "memory": "1GiB"}`.
        cache: False for a step that reads what no fingerprint sees (the clock, the network).
        seed: False for a step that needs no seed, so that the run's seed does not count for it.

    Raises:
        Invalid: an option that cannot be used.
    """
    needs = dict(resources or {})
    cpus, memory = needs.pop("cpus", 1), needs.pop("memory", None)
    if needs:
        raise Invalid(f"unknown resource `{next(iter(needs))}`", hint="known: cpus, memory")
    if not isinstance(cpus, int) or cpus < 1:
        raise Invalid(f"cpus must be a whole number from 1 on, not {cpus!r}")
    if not isinstance(retries, int) or retries < 0:
        raise Invalid(f"retries must be a whole number from 0 on, not {retries!r}")
    options = StepOptions(
        retries=retries,
        timeout_s=None if timeout is None else _amount(timeout, _DURATION, "timeout", '"10m"'),
        cpus=cpus,
        memory_bytes=None if memory is None else int(_amount(memory, _BYTES, "memory", '"1GiB"')),
        cache=cache,
        seeded=seed,
    )
    if function is not None:
        return Step(function, options)
    return lambda decorated: Step(decorated, options)


def _amount(text: str | float, units: Mapping[str, float], what: str, example: str) -> float:
    if isinstance(text, int | float):
        amount = float(text)
    else:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", str(text))
        if not match or match[2] not in units:
            raise Invalid(f"{what} {text!r} cannot be read", hint=f"write it as {example}")
        amount = float(match[1]) * units[match[2]]
    if not 0 < amount < math.inf:
        raise Invalid(f"{what} must be more than nothing, and finite, not {text!r}", hint=f"as {example}")
    return amount
