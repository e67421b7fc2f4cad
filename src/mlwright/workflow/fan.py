"""Fan-out: the elements of a mapped node, each a node of its own while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel.errors import WorkFailed
from mlwright.versioning import Artifact
from mlwright.workflow.graph import Argument, Node
from mlwright.workflow.known import Known

Reader = Callable[[Artifact, str], Any]
"""Reads a JSON artifact; the text says what it is wanted for."""


def elements_of(node: Node, known: Known, read: Reader) -> dict[str, list[Argument]]:
    """The elements of each mapped input, all equally many.

    Args:
        node: a mapped node whose inputs are known.
        known: what they stand for.
        read: for a list that one artifact holds.

    Raises:
        WorkFailed: an input is no list, or two have different lengths.
    """
    found = {name: _elements(node, name, known, read) for name in node.mapped}
    lengths = {name: len(elements) for name, elements in found.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"`{name}` has {count}" for name, count in lengths.items())
        raise WorkFailed(
            f"`{node.name}` is mapped over lists of different lengths: {told}",
            hint="map over lists that belong together, element by element",
        )
    return found


def item_of(node: Node, elements: Mapping[str, list[Argument]], index: int) -> Node:
    """The node of one element."""
    inputs = node.inputs | {name: each[index] for name, each in elements.items()}
    return replace(node, name=f"{node.name}[{index}]", inputs=inputs, mapped=(), when=None, index=index)


def learn_items(known: Known, node: Node, count: int) -> None:
    """All elements of a node are known: its outputs are the lists of theirs."""
    for output in node.outputs:
        known.outputs[node.name, output] = tuple(
            known.outputs[f"{node.name}[{index}]", output] for index in range(count)
        )


def _elements(node: Node, name: str, known: Known, read: Reader) -> list[Argument]:
    argument = node.inputs[name]
    if argument.kind == "list":
        return list(argument.items)
    value = argument.value
    if argument.kind == "output":
        made = known.outputs[argument.node, argument.output]
        if isinstance(made, tuple):
            return _outputs_of(argument, known, len(made))
        value = read(made, f"what `{node.name}` is mapped over as `{name}`")
    if not isinstance(value, list):
        raise WorkFailed(
            f"`{node.name}` is mapped over `{name}`, which is no list but {_shortened(value)}",
            hint=f"let `{argument.node}` return a list" if argument.node else "pass a list",
        )
    return [Argument("value", value=each) for each in value]


def _outputs_of(argument: Argument, known: Known, count: int) -> list[Argument]:
    """Of a mapped node the outputs of its elements; of a step that gave a list, its elements."""
    by_element = (argument.node, f"{argument.output}[0]") in known.outputs
    return [
        replace(argument, output=f"{argument.output}[{index}]")
        if by_element
        else replace(argument, node=f"{argument.node}[{index}]")
        for index in range(count)
    ]


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class Fan(Struct):
    """A mapped node on its way; `done` counts what succeeded, by work or by reuse."""

    node: Node
    elements: dict[str, list[Argument]]
    began: float
    done: int = 0
    reused: int = 0
    failed: int = 0
    note: str = ""
    _next: int = 0

    @property
    def count(self) -> int:
        """How many elements there are."""
        return len(next(iter(self.elements.values())))

    @property
    def over(self) -> bool:
        """Whether every element has ended."""
        return self.done + self.failed == self.count

    def take(self) -> Node | None:
        """The next element to begin."""
        if self._next == self.count:
            return None
        self._next += 1
        return item_of(self.node, self.elements, self._next - 1)
