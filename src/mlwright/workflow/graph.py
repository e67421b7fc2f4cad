"""The graph of a pipeline: what tracing found, as values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from mlwright.kernel.errors import Invalid


@dataclass(frozen=True, slots=True)
class Argument:
    """What is passed to a step; which fields are set depends on `kind`. See `mlwright.sdk.trace`."""

    kind: Literal["value", "output", "dataset", "list", "dict"]
    value: Any = None
    node: str = ""
    output: str = ""
    items: tuple[Argument, ...] = ()
    fields: dict[str, Argument] = field(default_factory=dict)

    def parts(self) -> Iterator[Argument]:
        """Itself, or what it is put together of."""
        if self.kind == "list":
            for item in self.items:
                yield from item.parts()
        elif self.kind == "dict":
            for item in self.fields.values():
                yield from item.parts()
        else:
            yield self


@dataclass(frozen=True, slots=True)
class Node:
    """One call of a step, or one judgement.

    Args:
        step: `module:function`, for a step.
        line: where the function stands in its module.
        outputs: names to annotated types.
        accepts: annotated types of the arguments.
        settings: of a judgement: the conditions of a gate, the name to register.
    """

    name: str
    kind: Literal["step", "gate", "register"]
    inputs: dict[str, Argument]
    outputs: dict[str, str]
    step: str = ""
    line: int = 0
    several: bool = False
    accepts: dict[str, str] = field(default_factory=dict)
    retries: int = 0
    timeout_s: float | None = None
    cpus: int = 1
    memory_bytes: int | None = None
    cache: bool = True
    seeded: bool = True
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def needs(self) -> frozenset[str]:
        """The nodes whose outputs it takes."""
        return frozenset(
            part.node
            for argument in self.inputs.values()
            for part in argument.parts()
            if part.kind == "output"
        )


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes of a pipeline, each behind all that it needs."""

    pipeline: str
    nodes: tuple[Node, ...]

    def __getitem__(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def behind(self, names: set[str]) -> set[str]:
        """Every node that needs one of these, directly or not."""
        reached = set(names)
        for node in self.nodes:
            if node.needs & reached:
                reached.add(node.name)
        return reached - names


def read_graph(pipeline: str, nodes: list[dict[str, Any]]) -> Graph:
    """The graph a worker traced."""
    return Graph(pipeline, msgspec.convert(nodes, tuple[Node, ...]))


def references_of(graph: Graph) -> dict[str, Node]:
    """The model references that gates compare with, each with its gate."""
    return {
        node.settings["not_worse_than"]: node
        for node in graph.nodes
        if node.kind == "gate" and node.settings.get("not_worse_than")
    }


def with_references(graph: Graph, pinned: dict[str, Argument]) -> Graph:
    """The graph in which each pinned reference is evaluated beside the run's own model.

    The step that gave the gate its scores is called once more, with the referenced model in place of the
    one that is to be registered; the gate gets the result as `reference`.

    Args:
        graph: as it was traced.
        pinned: for each reference that means something, the artifact argument that stands for its model.

    Raises:
        Invalid: it cannot be told which input of the evaluating step is the model.
    """
    nodes = list(graph.nodes)
    for reference, gate in references_of(graph).items():
        if reference not in pinned:
            continue
        if gate.inputs["scores"].kind != "output":
            raise Invalid(
                f"not_worse_than={reference!r} cannot be judged: the scores of the gate come from no step",
                hint="pass the output of the step that evaluates the model",
            )
        evaluate = graph[gate.inputs["scores"].node]
        slot = _model_slot(graph, evaluate, reference)
        twin = replace(
            evaluate,
            name=f"{evaluate.name}[{reference}]",
            inputs={**evaluate.inputs, slot: pinned[reference]},
        )
        scores = replace(gate.inputs["scores"], node=twin.name)
        at = nodes.index(gate)
        nodes[at] = replace(gate, inputs={**gate.inputs, "reference": scores})
        nodes.insert(at, twin)
    return Graph(graph.pipeline, tuple(nodes))


def _model_slot(graph: Graph, evaluate: Node, reference: str) -> str:
    name = reference.partition("@")[0]
    for node in graph.nodes:
        if node.kind == "register" and node.settings["name"] == name:
            for slot, argument in evaluate.inputs.items():
                if argument == node.inputs["model"]:
                    return slot
    raise Invalid(
        f"not_worse_than={reference!r} cannot be judged: step `{evaluate.name}`, which gives the scores,"
        f" does not take the model that register({name!r}, ...) registers",
        hint="pass the same model to both",
    )
