"""What the arguments of a node stand for, as far as it is known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from mlwright.kernel.digest import Digest
from mlwright.versioning import Artifact

Made = Artifact | tuple["Made", ...]
"""What an output is: one artifact, or one for each element of a list."""

_ELEMENT = re.compile(r"(.+)\[(\d+)\]")


class Known(Struct):
    """What was made so far, by (node, output), and the digest behind each dataset reference.

    The elements of an output that is a list are known as outputs of their own: `parts[0]`.
    """

    datasets: Mapping[str, Digest] = field(default_factory=dict)
    outputs: dict[tuple[str, str], Made] = field(default_factory=dict)

    def learn(self, node: str, outputs: Mapping[str, Artifact]) -> None:
        """A node has made these; what is named `parts[0]`, `parts[1]` is the list `parts` too."""
        for name, artifact in outputs.items():
            self.outputs[node, name] = artifact
        for name, elements in lists_of(outputs).items():
            self.outputs[node, name] = elements

    def copy(self) -> Known:
        """The same, to be learned more of."""
        return Known(self.datasets, dict(self.outputs))


def lists_of(outputs: Mapping[str, Artifact]) -> dict[str, tuple[Artifact, ...]]:
    """The outputs that are kept element by element, put together."""
    found: dict[str, dict[int, Artifact]] = {}
    for name, artifact in outputs.items():
        if name[-1] == "]" and (match := _ELEMENT.fullmatch(name)):
            found.setdefault(match[1], {})[int(match[2])] = artifact
    return {name: tuple(each for _, each in sorted(elements.items())) for name, elements in found.items()}


def artifacts_in(made: Made) -> Iterator[Artifact]:
    """Every artifact of an output."""
    if isinstance(made, tuple):
        for each in made:
            yield from artifacts_in(each)
    else:
        yield made
