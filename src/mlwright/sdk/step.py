"""`@step`: a plain function that a pipeline can plan, cache and run elsewhere."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from mlwright.kernel.errors import Invalid
from mlwright.sdk import trace
from mlwright.sdk.hints import resolved
from mlwright.sdk.promise import RESULT, Promise
from mlwright.sdk.types import a_type, output_hints, refuse_unnamed

P = ParamSpec("P")
R = TypeVar("R")

_DURATION = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1}


@dataclass(frozen=True, slots=True)
class StepOptions:
    """How a step is to be run.

    Args:
        salt: the version that the user gave its cache entries; empty for none.
        seeded: whether the run's seed counts for it.
        environment: the name of the one it runs in; empty for the project's own.
        env_vars: the environment variables it reads, sorted.
        tags: what the user says of it; the engine only records them.
    """

    retries: int = 0
    timeout_s: float | None = None
    cpus: int = 1
    memory_bytes: int | None = None
    gpus: int = 0
    cache: bool = True
    salt: str = ""
    seeded: bool = True
    environment: str = ""
    env_vars: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """As a node of a graph has them, in JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"env_vars": list(self.env_vars), "tags": dict(self.tags)}


@dataclass(frozen=True, slots=True)
class Declared:
    """What the annotations of a step say.

    Args:
        hints: as they are resolved.
        accepts: of each parameter; `Any` where nothing is said.
        outputs: of each output; `inspect.Parameter.empty` where nothing is said.
        several: whether the outputs have names of their own.
    """

    hints: dict[str, Any]
    accepts: dict[str, Any]
    outputs: dict[str, Any]
    several: bool


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
        self._signature = inspect.signature(function)
        self._declared: Declared | None = None
        if "when" in self._signature.parameters:
            raise Invalid(
                f"step `{self.name}` has a parameter `when`, which is the condition of each call",
                where=where,
                hint="give the parameter another name",
            )

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, when: bool, **kwargs: Any) -> R: ...
    def __call__(self, *args: Any, when: Any = True, **kwargs: Any) -> Any:
        """Inside a pipeline, add a node and answer with promises; elsewhere, call the function.

        A type checker compares the arguments with the function's only where `when` is not among them: no
        signature can say "those of the function, and one more by name".

        Args:
            args: the function's.
            when: whether it is called: a bool, or the promise of one. What takes the output of a step that is
                not called is not called either, unless its parameter has a default: that stands in. Outside a
                pipeline a call that is not made gives None.
            kwargs: the function's.

        Raises:
            Invalid: inside a pipeline, arguments that do not fit.
        """
        tracer = trace.current()
        if tracer is not None:
            return tracer.call(self, trace.bind(self, args, kwargs), when)
        if any(isinstance(each, Promise) for each in (*args, *kwargs.values(), when)):
            self._refuse_promises(
                {**dict(zip(self.signature.parameters, args, strict=False)), **kwargs}, when
            )
        return self.function(*args, **kwargs) if trace.truth(when, self) else None

    def map(self, *iterables: Any, when: bool = True, **same: Any) -> list[R]:
        """Call the step for each element: like Python's `map`, but the lists must be of one length.

        Inside a pipeline this is one node, which runs for each element by itself. A step that takes its
        output gets the list of all; a step that is mapped over its output goes on with each.

        Args:
            iterables: lists, or promises of lists. They are for the parameters, in order, that are not given
                by name.
            when: whether any of it is called, as in a call.
            same: what is the same for every element.

        Returns:
            Outside a pipeline, the list of what the calls gave.

        Raises:
            Invalid: nothing to go through, what is no list, or lists of different lengths.
        """
        over = trace.spread(self, iterables, same)
        tracer = trace.current()
        if tracer is not None:
            arguments = trace.bind(self, (), {**over, **same})
            return tracer.call(self, arguments, when, over=over)  # type: ignore[return-value]
        self._refuse_promises({**over, **same}, when)
        if not trace.truth(when, self):
            return None  # type: ignore[return-value]
        each_call = (dict(zip(over, each, strict=True)) for each in zip(*over.values(), strict=True))
        return [self.function(**each, **same) for each in each_call]  # type: ignore[call-arg]

    def __repr__(self) -> str:
        return f"<step {self.address}>"

    @property
    def signature(self) -> inspect.Signature:
        """The function's parameters."""
        return self._signature

    @property
    def declared(self) -> Declared:
        """What its annotations say; they are resolved once, when the module is whole."""
        if self._declared is None:
            hints = resolved(self.function)
            returned = hints.get("return", inspect.Parameter.empty)
            several = output_hints(returned)
            self._declared = Declared(
                hints=hints,
                accepts={name: hints.get(name, Any) for name in self.signature.parameters},
                outputs={RESULT: returned} if several is None else several,
                several=several is not None,
            )
        return self._declared

    @property
    def hints(self) -> dict[str, Any]:
        """The function's resolved type hints."""
        return self.declared.hints

    def _refuse_promises(self, arguments: Mapping[str, Any], when: Any) -> None:
        """Outside a pipeline there is nothing that a promise could be of."""
        for name, value in {**arguments, "when": when}.items():
            if isinstance(value, Promise):
                trace.argument(value, trace.place(self, name))


@overload
def step(function: Callable[P, R]) -> Step[P, R]: ...
@overload
def step(
    *,
    retries: int = 0,
    timeout: str | float | None = None,
    resources: Mapping[str, Any] | None = None,
    cache: bool | str = True,
    seed: Literal["run"] | None = "run",
    environment: str = "",
    env_vars: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(
    function: Callable[P, R] | None = None,
    *,
    retries: int = 0,
    timeout: str | float | None = None,
    resources: Mapping[str, Any] | None = None,
    cache: bool | str = True,
    seed: Literal["run"] | None = "run",
    environment: str = "",
    env_vars: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
) -> Any:
    """Make a function a step of pipelines.

    Args:
        function: defined at the top of a module; its annotations name what goes in and comes out.
        retries: how often a failed attempt is repeated.
        timeout: how long one attempt may take: seconds, or `"90s"`, `"10m"`, `"1h"`.
        resources: `{"cpus": 1, "memory": "1GiB", "gpus": 0}`. GPUs are the step's alone while it runs.
        cache: False for a step that reads what no fingerprint sees (the clock, the network). A text is a
            version: change it, and what was computed before is not reused.
        seed: None for a step that needs no seed, so that the run's seed does not count for it.
        environment: a dependency group or an extra of your `pyproject.toml`: the step runs with the project's
            own dependencies and these. Import what only they bring inside the function, and for annotations
            `if TYPE_CHECKING`.
        env_vars: the names of environment variables it reads; their values count for its fingerprint.
        tags: what you want to find it by, as `{"owner": "ml"}`; they change nothing.

    Raises:
        Invalid: an option that cannot be used.
    """
    needs = dict(_mapping(resources, "resources", '{"cpus": 1, "memory": "1GiB"}'))
    cpus, memory, gpus = needs.pop("cpus", 1), needs.pop("memory", None), needs.pop("gpus", 0)
    if needs:
        raise Invalid(f"unknown resource `{next(iter(needs))}`", hint="known: cpus, memory, gpus")
    if seed not in ("run", None):
        raise Invalid(
            f"seed {seed!r} cannot be used",
            hint='seed=None for a step that needs none, else "run", the default',
        )
    salt = _salt(cache)
    options = StepOptions(
        retries=_whole(retries, 0, "retries"),
        timeout_s=None if timeout is None else _amount(timeout, _DURATION, "timeout", '"10m"'),
        cpus=_whole(cpus, 1, "cpus"),
        memory_bytes=None if memory is None else int(_amount(memory, _BYTES, "memory", '"1GiB"')),
        gpus=_whole(gpus, 0, "gpus"),
        cache=bool(cache),
        salt=salt,
        seeded=seed is not None,
        environment=_name(environment),
        env_vars=_variables(env_vars),
        tags=_tags(tags),
    )
    if function is not None:
        return Step(function, options)
    return lambda decorated: Step(decorated, options)


def _whole(value: Any, least: int, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise Invalid(f"{what} must be a whole number from {least} on, not {value!r}")
    return value


def _amount(text: str | float, units: Mapping[str, float], what: str, example: str) -> float:
    if isinstance(text, int | float) and not isinstance(text, bool):
        amount = float(text)
    else:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", str(text))
        if not match or match[2] not in units:
            raise Invalid(f"{what} {text!r} cannot be read", hint=f"write it as {example}")
        amount = float(match[1]) * units[match[2]]
    if not 0 < amount < math.inf:
        raise Invalid(f"{what} must be more than nothing, and finite, not {text!r}", hint=f"as {example}")
    return amount


def _salt(cache: Any) -> str:
    """The version in `cache=`, if there is one; a word that means True or False is hardly meant as one."""
    if isinstance(cache, bool):
        return ""
    if not isinstance(cache, str) or cache.strip().lower() in {"", "on", "off", "true", "false", "yes", "no"}:
        raise Invalid(
            f"cache {cache!r} cannot be used",
            hint='True, False, or a text as "v2": change it, and what was computed before is not reused',
        )
    return cache


def _name(environment: Any) -> str:
    if not isinstance(environment, str) or not re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)?", environment):
        raise Invalid(
            f"environment {environment!r} cannot be one",
            hint="give its name: letters, digits, `.`, `_` and `-`; leave it out for the project's own",
        )
    return environment


def _variables(names: Any) -> tuple[str, ...]:
    if isinstance(names, str | bytes | Mapping) or not isinstance(names, Iterable):
        raise Invalid(
            f"env_vars is {names!r}, not a list of names", hint='write them as a list: env_vars=["HOME"]'
        )
    listed = list(names)
    for name in listed:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise Invalid(
                f"{name!r} cannot name an environment variable",
                hint="names only, without values, as in env_vars=['HOME']",
            )
    return tuple(sorted(set(listed)))


def _tags(tags: Any) -> dict[str, str]:
    found = dict(_mapping(tags, "tags", '{"owner": "ml"}'))
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, str) or not key:
            raise Invalid(f"tag {key!r}: {value!r} is not text", hint='write tags as {"owner": "ml"}')
    return found


def _mapping(value: Any, what: str, example: str) -> Mapping[Any, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise Invalid(f"{what} must be given by name, not as {a_type(type(value))}", hint=f"as {example}")
    return value or {}
