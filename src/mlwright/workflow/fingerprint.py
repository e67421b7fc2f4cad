"""Fingerprints: the cache key of a step, complete, so that equal keys mean equal results.

It covers the step's code and all first-party code that reaches, the distributions it imports and all that
these require (by version and file hash), the interpreter and platform, the seed, and what is passed in:
values as they are, artifacts and datasets by digest. What changes only how a step is run (retries,
time-out, processors) does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlwright.environments import Environment
from mlwright.kernel.digest import Digest, composite, digest_of_file
from mlwright.sdk import signature
from mlwright.sdk.codecs import distributions_for
from mlwright.versioning import Artifact
from mlwright.workflow.code import ANYTHING, CodeIndex, Reach
from mlwright.workflow.graph import Argument, Node

_ENGINE_STEP = "mlwright."


@dataclass(frozen=True, slots=True)
class Known:
    """What the arguments of a node stand for: artifacts by (node, output), dataset digests by reference."""

    outputs: dict[tuple[str, str], Artifact]
    datasets: Mapping[str, Digest]


@dataclass(frozen=True, slots=True)
class Basis:
    """What is the same for every call of a step: its address, code, packages, interpreter and platform."""

    digest: Digest
    step: str
    parts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A cache key, and what it was computed from: the step's basis, and what is passed in with the seed."""

    digest: Digest
    basis: Basis
    inputs: dict[str, Any]


class Fingerprints:
    """Computes fingerprints for one snapshot of the code and one environment."""

    def __init__(self, code: CodeIndex, environment: Environment) -> None:
        self._code = code
        self._environment = environment
        self._bases: dict[str, Basis] = {}

    def of(self, node: Node, known: Known, seed: int) -> Fingerprint | None:
        """The fingerprint of a step, or None when it is not to be cached.

        Args:
            node: a step all of whose inputs are in `known`.
            known: what its arguments stand for.
            seed: the run's.
        """
        if not node.cache:
            return None
        inputs = {
            "arguments": {name: _told(argument, known) for name, argument in node.inputs.items()},
            "seed": [seed, base_name(node.name)] if node.seeded else None,
        }
        basis = self._basis(node)
        return Fingerprint(composite("fingerprint", [basis.digest, inputs]), basis, inputs)

    def _basis(self, node: Node) -> Basis:
        if node.step not in self._bases:
            reach = self._reach(node.step)
            names = [*node.accepts.values(), *node.outputs.values()]
            codecs = {need for name in names for need in distributions_for(name)}
            parts = {
                "code": reach.units,
                "packages": self._packages(reach, codecs),
                "python": self._environment.lock.python,
                "platform": self._environment.lock.platform,
            }
            self._bases[node.step] = Basis(composite("basis", [node.step, parts]), node.step, parts)
        return self._bases[node.step]

    def _reach(self, step: str) -> Reach:
        if step.startswith(_ENGINE_STEP):
            return Reach({step: digest_of_file(Path(signature.__file__))}, frozenset({ANYTHING}))
        return self._code.reach(step)

    def _packages(self, reach: Reach, codecs: set[str]) -> dict[str, str]:
        inventory = self._environment.inventory
        if ANYTHING in reach.libraries:
            return dict(sorted(inventory.pins.items()))
        wanted = {name for library in reach.libraries for name in inventory.modules.get(library, ())}
        absent = {library: "absent" for library in reach.libraries if library not in inventory.modules}
        return inventory.closure(wanted | codecs) | dict(sorted(absent.items()))


def base_name(name: str) -> str:
    """The name that seeds a node: re-evaluating a referenced model (`evaluate[...]`) is the same work."""
    return name.partition("[")[0]


def seed_of(node: Node, seed: int) -> int | None:
    """The seed of a step: from the run's seed and the step's name, never from what may be upgraded."""
    if not node.seeded:
        return None
    return int(composite("seed", [seed, base_name(node.name)])[:15], 16)


def _told(argument: Argument, known: Known) -> Any:
    match argument.kind:
        case "value":
            return {"value": argument.value}
        case "dataset":
            return {"dataset": known.datasets[argument.value]}
        case "output":
            artifact = known.outputs[argument.node, argument.output]
            return {"artifact": artifact.digest, "codec": artifact.codec, "type": artifact.type}
        case "list":
            return {"list": [_told(item, known) for item in argument.items]}
        case "dict":
            return {"dict": {name: _told(item, known) for name, item in argument.fields.items()}}
