"""What is drawn of a graph, whatever it is drawn with: boxes, the lines between them, and their words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from mlwright.workflow.graph import Argument, Graph, Node

Kind = Literal["step", "gate", "register", "dataset", "model"]

TIMES = "\N{MULTIPLICATION SIGN}"

_SECONDS = (("h", 3600), ("min", 60))
_BYTES = (("GiB", 2**30), ("MiB", 2**20), ("GB", 10**9), ("MB", 10**6), ("KiB", 2**10), ("KB", 10**3))


class Box(Struct, frozen=True):
    """A node, or a source that is none: a dataset, a model that a gate compares with.

    Args:
        count: of a mapped node: how many items it has, `"n"` when only a run can tell; else empty.
        condition: of a conditional node: what must hold.
        about: what it stands for: a step's address, a gate's conditions, a model's name.
        options: those that are not as usual, in words.
    """

    name: str
    kind: Kind
    count: str = ""
    condition: str = ""
    about: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name, and how often it is done: `fit [3 times]`, with the sign instead of the word."""
        return f"{self.name} [{TIMES}{self.count}]" if self.count else self.name


class Line(Struct, frozen=True):
    """All that one box passes to another, conditions apart.

    Args:
        source: the place of a box in its picture.
        target: the place of a later box.
        labels: the argument it becomes, before it the output if the source has several; one for each.
        conditional: the target takes it as its `when`.
    """

    source: int
    target: int
    labels: tuple[str, ...]
    conditional: bool = False


class Picture(Struct, frozen=True):
    """The boxes of a pipeline, each behind all that it needs, and a source right before its first use."""

    pipeline: str
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def picture_of(graph: Graph) -> Picture:
    """What is to be drawn of a graph."""
    nodes = {node.name: node for node in graph.nodes}
    counts: dict[str, str] = {}
    boxes: list[Box] = []
    places: dict[tuple[str, str], int] = {}
    lines: list[Line] = []
    for node in graph.nodes:
        taken: dict[tuple[int, bool], list[str]] = {}
        for role, part, conditional in _taken(node):
            source = _source(part, nodes)
            if source not in places:
                places[source] = len(boxes)
                boxes.append(Box(visible(source[1]), "dataset" if source[0] == "dataset" else "model"))
            label = _label(part, role, nodes)
            labels = taken.setdefault((places[source], conditional), [])
            if label not in labels:
                labels.append(label)
        counts[node.name] = _count(node, counts)
        places["node", node.name] = len(boxes)
        boxes.append(_box(node, counts[node.name], nodes))
        lines += [
            Line(source, len(boxes) - 1, tuple(labels), conditional)
            for (source, conditional), labels in sorted(taken.items())
        ]
    return Picture(visible(graph.pipeline), tuple(boxes), tuple(lines))


def visible(text: str) -> str:
    """A text in which nothing moves the cursor, turns the writing round or is no XML."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def _taken(node: Node) -> Iterator[tuple[str, Argument, bool]]:
    """What comes to a node from elsewhere: its role, what it is, whether it is a condition."""
    passed = [(role, argument, _judges(node, role)) for role, argument in node.inputs.items()]
    if node.when is not None:
        passed.append(("when", node.when, True))
    passed += [(f"{role} (fallback)", argument, False) for role, argument in node.fallbacks.items()]
    for role, argument, conditional in passed:
        for part in argument.parts():
            if part.kind in {"output", "dataset"}:
                yield role, part, conditional


def _source(part: Argument, nodes: dict[str, Node]) -> tuple[str, str]:
    if part.kind == "dataset":
        return "dataset", str(part.value)
    if part.node in nodes:
        return "node", part.node
    return "model", part.node.removeprefix("@")


def _label(part: Argument, role: str, nodes: dict[str, Node]) -> str:
    several = part.kind == "output" and part.node in nodes and len(nodes[part.node].outputs) > 1
    return visible(f"{part.output} → {role}" if several and part.output != role else role)


def _box(node: Node, count: str, nodes: dict[str, Node]) -> Box:
    conditions = [argument for role, argument in node.inputs.items() if _judges(node, role)]
    if node.when is not None:
        conditions.append(node.when)
    judges = node.kind in {"gate", "register"}
    return Box(
        visible(node.name),
        # A script and a notebook are steps that somebody wrote in another form.
        "gate" if node.kind == "gate" else "register" if node.kind == "register" else "step",
        count,
        " and ".join(visible(_condition(argument, nodes)) for argument in conditions),
        tuple(map(visible, _about(node))),
        () if judges else tuple(map(visible, _options(node))),
    )


def _judges(node: Node, role: str) -> bool:
    """Whether an input is a condition: a register has its own among its inputs."""
    return node.kind == "register" and role == "when"


def _condition(argument: Argument, nodes: dict[str, Node]) -> str:
    if argument.kind != "output":
        return str(argument.value)
    several = argument.node in nodes and len(nodes[argument.node].outputs) > 1
    return f"{argument.node}.{argument.output}" if several else argument.node


def _count(node: Node, counts: dict[str, str]) -> str:
    """How many items a mapped node has, as far as can be told before a run."""
    if not node.mapped:
        return ""
    known = "n"
    for role in node.mapped:
        argument = node.inputs[role]
        if argument.kind == "list":
            return str(len(argument.items))
        if argument.kind == "value" and isinstance(argument.value, list):
            return str(len(argument.value))
        if argument.kind == "output" and counts.get(argument.node):
            known = counts[argument.node] if known == "n" else known
    return known


def _about(node: Node) -> Iterator[str]:
    if node.kind == "register":
        yield f"model {node.settings.get('name', '')}"
    elif node.kind == "gate":
        yield from node.settings.get("conditions", ())
        if reference := node.settings.get("not_worse_than"):
            tolerance = node.settings.get("tolerance")
            yield f"not worse than {reference}" + (f" by {tolerance:g}" if tolerance else "")
    elif node.step:
        yield node.step


def _options(node: Node) -> Iterator[str]:
    if node.cpus != 1:
        yield f"{node.cpus} cpus"
    if node.gpus:
        yield f"{node.gpus} gpu{'s' if node.gpus > 1 else ''}"
    if node.memory_bytes is not None:
        yield _in_units(node.memory_bytes, _BYTES, "bytes")
    if node.timeout_s is not None:
        yield "at most " + _in_units(node.timeout_s, _SECONDS, "s")
    if node.retries:
        yield f"{node.retries} {'retries' if node.retries > 1 else 'retry'}"
    if node.environment:
        yield f"environment {node.environment}"
    if not node.cache:
        yield "not cached"
    for key, value in node.tags.items():
        yield f"{key}={value}"


def _in_units(amount: float, units: tuple[tuple[str, int], ...], smallest: str) -> str:
    """As it was probably written: in the first unit of which it is a whole number."""
    for unit, size in units:
        if amount >= size and amount % size == 0:
            return f"{amount // size:.0f} {unit}"
    return f"{amount:g} {smallest}"
