"""Promises: what stands for the outputs of steps while a pipeline's function is called."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.caller import caller

RESULT = "result"
"""The name of the only output of a step that has one."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a node, as tracing knows it.

    Args:
        name: as the node names it.
        annotation: its type hint, of one element where the node is mapped; or `inspect.Parameter.empty`.
        tracing: the tracing in which it means something.
        mapped: whether the node gives it for each element of what it is mapped over.
        length: for how many, where this is known before a run.
    """

    node: str
    name: str
    annotation: Any
    tracing: object
    mapped: bool = False
    length: int | None = None

    def __str__(self) -> str:
        return f"`{self.node}`" if self.name == RESULT else f"`{self.node}.{self.name}`"

    @property
    def whole(self) -> Any:
        """The type of what a plain call gets: of a mapped node, the list of all that it gave."""
        if not self.mapped:
            return self.annotation
        known = self.annotation is not inspect.Parameter.empty
        return types.GenericAlias(list, (self.annotation,)) if known else list


class Promise:
    """What a step will give, inside a pipeline's function: pass it on to other steps."""

    __slots__ = ("_of",)

    def __init__(self, of: Output) -> None:
        self._of = of

    def __repr__(self) -> str:
        return f"<output {self._of.name} of {'each ' * self._of.mapped}{self._of.node}>"

    def _refuse(self, *_: Any) -> Any:
        raise Invalid(
            f"`{self._of.node}` has not run yet: its output can be passed on, but not looked into",
            where=caller(),
            hint="do this inside a step; a pipeline's function only says how steps are joined"
            " (by a condition: when=..., for each element of a list: STEP.map(...))",
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)  # what libraries look for, to learn what this is
        self._refuse()

    __bool__ = __iter__ = __len__ = __getitem__ = __contains__ = __call__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __and__ = __rand__ = __or__ = __ror__ = __invert__ = __neg__ = _refuse
    __float__ = __int__ = __index__ = __format__ = _refuse
    __hash__ = object.__hash__


class Promises:
    """The several outputs of one step, by field name or by position.

    It is no tuple, so that a field may have the name of one of a tuple's methods (`index`, `count`).
    """

    __slots__ = ("_node", "_promises")

    def __init__(self, node: str, outputs: Iterable[Output]) -> None:
        self._node = node
        self._promises = {output.name: Promise(output) for output in outputs}

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


def promises_in(value: Any) -> Iterator[Promise]:
    """The promises that are passed with a value: itself, or what lists and dictionaries hold."""
    if isinstance(value, Promise):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from promises_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from promises_in(item)
