"""The graph of a pipeline: what tracing found, as values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from mlwright.kernel.errors import Invalid


class Argument(Struct, frozen=True):
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


JUDGEMENTS = frozenset({"gate", "register", "add"})


class Node(Struct, frozen=True, dict=True):
    """One call of a step, all calls of a mapped one, one judgement, or a script as a whole.

    Args:
        step: `module:function`, for a step.
        line: where the function stands in its module.
        outputs: names to annotated types; of a mapped node, of what each element gives.
        accepts: annotated types of the arguments; of a mapped one, of each element.
        mapped: names of the inputs that are gone through element by element; empty for a plain call.
        when: the condition of the call, if it has one.
        fallbacks: what stands in for an input, should the step that gives it be skipped.
        salt: the version that the user gave its cache entries.
        environment: the name of the one it runs in; empty for the project's own.
        env_vars: names of the environment variables it reads, sorted.
        index: of an element of a mapped node, which is a node of its own while it runs.
        settings: of a judgement: the conditions of a gate, the name to register, the dataset to add to.
        reaches: what its code is given by name and runs, each as `module:Class`.
    """

    # Without slots, so that what is derived can be kept.
    name: str
    kind: Literal["step", "gate", "register", "add", "script", "notebook"]
    inputs: dict[str, Argument]
    outputs: dict[str, str]
    step: str = ""
    line: int = 0
    several: bool = False
    accepts: dict[str, str] = field(default_factory=dict)
    mapped: tuple[str, ...] = ()
    when: Argument | None = None
    fallbacks: dict[str, Argument] = field(default_factory=dict)
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
    tags: dict[str, str] = field(default_factory=dict)
    index: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    reaches: tuple[str, ...] = ()

    @cached_property
    def needs(self) -> frozenset[str]:
        """The nodes whose outputs it takes, its condition among them."""
        return frozenset(part.node for part in self.parts() if part.kind == "output")

    def parts(self) -> Iterator[Argument]:
        """What its inputs, its condition and its fallbacks are put together of."""
        for argument in self.inputs.values():
            yield from argument.parts()
        if self.when is not None:
            yield from self.when.parts()
        for argument in self.fallbacks.values():
            yield from argument.parts()


class Graph(Struct, frozen=True, dict=True):
    """The nodes of a pipeline, each behind all that it needs."""

    pipeline: str
    nodes: tuple[Node, ...]

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def behind(self, names: set[str]) -> set[str]:
        """Every node that needs one of these, directly or not."""
        reached = set(names)
        for node in self.nodes:
            if node.needs & reached:
                reached.add(node.name)
        return reached - names


def read_graph(pipeline: str, nodes: list[dict[str, Any]]) -> Graph:
    """The graph a worker traced.

    Raises:
        Invalid: nodes of one name, or one that takes what no node before it gives.
    """
    graph = Graph(pipeline, msgspec.convert(nodes, tuple[Node, ...]))
    before: dict[str, Node] = {}
    for node in graph.nodes:
        if node.name in before:
            raise Invalid(f"pipeline `{pipeline}` has two nodes of the name `{node.name}`")
        for part in node.parts():
            if part.kind == "output":
                _check_taken(graph, node, part, before)
        before[node.name] = node
    return graph


def _check_taken(graph: Graph, node: Node, part: Argument, before: dict[str, Node]) -> None:
    if part.node not in before:
        known = any(each.name == part.node for each in graph.nodes)
        why = "which does not stand before it" if known else "which is no node"
        raise Invalid(f"`{node.name}` of pipeline `{graph.pipeline}` takes an output of `{part.node}`, {why}")
    if part.output not in before[part.node].outputs:
        gives = ", ".join(before[part.node].outputs) or "nothing"
        raise Invalid(
            f"`{node.name}` of pipeline `{graph.pipeline}` takes the output `{part.output}`"
            f" of `{part.node}`, which gives {gives}"
        )


def with_defaults(node: Node, absent: set[str]) -> Node | None:
    """A node with its defaults in place of what was skipped; None when there is none for something.

    Args:
        node: one of the graph.
        absent: the nodes that were skipped, though nothing failed.
    """
    if not node.needs & absent:
        return node
    inputs = dict(node.inputs)
    for name, argument in node.inputs.items():
        if any(part.node in absent for part in argument.parts()):
            if name not in node.fallbacks:
                return None
            inputs[name] = node.fallbacks[name]
    changed = replace(node, inputs=inputs, fallbacks={})
    return None if changed.needs & absent else changed


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
