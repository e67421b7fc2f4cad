"""Fingerprints: the cache key of a step, complete, so that equal keys mean equal results.

It covers the step's code and all first-party code that reaches, the distributions it imports and all that
these require (by version and file hash), the interpreter and platform, the seed, and what is passed in:
values as they are, artifacts and datasets by digest. What changes only how a step is run (retries,
time-out, processors) does not count. What the user adds counts: a version salt, and the values of the
environment variables that a step says it reads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mlwright.environments import Environment
from mlwright.kernel.digest import Digest, canonical, composite, digest_of, digest_of_file
from mlwright.sdk import by_name, kinds, predictors, signature, values
from mlwright.sdk.codecs import distributions_for
from mlwright.workflow.graph import Argument, Node
from mlwright.workflow.known import Known, Made
from mlwright.workflow.memory import Memory
from mlwright.workflow.reach import ANYTHING, Reach, joined

if TYPE_CHECKING:
    from mlwright.workflow.code import CodeIndex

_ENGINE_STEP = "mlwright."
_SERVING_STEPS = ("mlwright.serving.", "mlwright.sdk.predicting_apart:")


class Basis(Struct, frozen=True, dict=True):
    """What is the same for every call of a step: its address, code, packages, interpreter and platform."""

    digest: Digest
    step: str
    parts: dict[str, Any]

    @cached_property
    def text(self) -> str:
        """The parts as they are recorded."""
        return json.dumps(self.parts, ensure_ascii=False)


class Fingerprint(Struct, frozen=True):
    """A cache key, and what it was computed from: the step's basis, and what is passed in with the seed.

    Args:
        text: what is passed in, as canonical JSON: so it is recorded.
    """

    digest: Digest
    basis: Basis
    text: str

    @property
    def inputs(self) -> dict[str, Any]:
        """What is passed in: `arguments` and `seed`, and `salt` and `variables` where the step has them."""
        made: dict[str, Any] = json.loads(self.text)
        return made


class Fingerprints:
    """Computes fingerprints for one snapshot of the code and one environment."""

    def __init__(self, code: Callable[[], CodeIndex], environment: Environment, memory: Memory) -> None:
        self._code = code
        self._environment = environment
        self._memory = memory
        self._bases: dict[tuple[str, ...], Basis] = {}

    def of(self, node: Node, known: Known, seed: int) -> Fingerprint | None:
        """The fingerprint of a step, or None when it is not to be cached.

        Args:
            node: a step all of whose inputs are in `known`.
            known: what its arguments stand for.
            seed: the run's.
        """
        if not node.cache:
            return None
        inputs: dict[str, Any] = {
            "arguments": {name: _told(argument, known) for name, argument in node.inputs.items()},
            "seed": _seeded_by(node, seed),
        }
        if node.salt:
            inputs["salt"] = node.salt
        if node.env_vars:
            inputs["variables"] = {name: _variable(name) for name in node.env_vars}
        basis, text = self._basis(node), canonical(inputs).decode()
        # The composite of both, with the JSON of one of them put together once.
        return Fingerprint(digest_of(f'["{basis.digest}",{text}]'.encode(), "fingerprint"), basis, text)

    def _basis(self, node: Node) -> Basis:
        addresses = (node.step, *node.reaches)
        if addresses not in self._bases:
            types = sorted({*node.accepts.values(), *node.outputs.values()})
            question = {"basis": node.step, "types": types, "lock": self._environment.lock.digest}
            question |= {"reaches": node.reaches} if node.reaches else {}
            parts = self._memory.recall(question, lambda: self._parts(addresses, types))
            self._bases[addresses] = Basis(composite("basis", [node.step, parts]), node.step, parts)
        return self._bases[addresses]

    def _parts(self, addresses: Iterable[str], types: list[str]) -> dict[str, Any]:
        reach = joined(map(self._reach, addresses))
        codecs = {need for name in types for need in distributions_for(name)}
        return {
            "code": reach.units,
            "packages": self._packages(reach, codecs),
            "python": self._environment.lock.python,
            "platform": self._environment.lock.platform,
        }

    def _reach(self, step: str) -> Reach:
        if step.startswith(_SERVING_STEPS):
            return Reach({step: _code_that_predicts()}, frozenset({ANYTHING}))
        if step.startswith(_ENGINE_STEP):
            files = [Path(str(module.__file__)) for module in (signature, by_name, predictors, values, kinds)]
            return Reach({step: composite("basis", [*map(digest_of_file, files)])}, frozenset({ANYTHING}))
        return self._code().reach(step)

    def _packages(self, reach: Reach, codecs: set[str]) -> dict[str, str]:
        inventory = self._environment.inventory
        if ANYTHING in reach.libraries:
            return dict(sorted(inventory.pins.items()))
        wanted = {name for library in reach.libraries for name in inventory.modules.get(library, ())}
        absent = {library: "absent" for library in reach.libraries if library not in inventory.modules}
        return inventory.closure(wanted | codecs) | dict(sorted(absent.items()))


@cache
def _code_that_predicts() -> Digest:
    """Of all code of ours that a prediction over a dataset may depend on: too much rather than too little."""
    package = Path(signature.__file__).parents[1]
    files = sorted(each for room in ("sdk", "serving") for each in (package / room).rglob("*.py"))
    return composite("basis", [digest_of_file(each) for each in files])


def base_name(name: str) -> str:
    """The name that seeds a node: re-evaluating a referenced model (`evaluate[...]`) is the same work."""
    return name.partition("[")[0]


def seed_of(node: Node, seed: int) -> int | None:
    """The seed of a step: from the run's seed, its name and map index, never from what may be upgraded."""
    by = _seeded_by(node, seed)
    return None if by is None else int(composite("seed", by)[:15], 16)


def _seeded_by(node: Node, seed: int) -> list[Any] | None:
    if not node.seeded:
        return None
    by: list[Any] = [seed, base_name(node.name)]
    return by if node.index is None else [*by, node.index]


def _variable(name: str) -> Digest | None:
    """A variable's value by its digest: what it says may be a secret."""
    value = os.environ.get(name)
    return None if value is None else composite("variable", [name, value])


def _told(argument: Argument, known: Known) -> Any:
    match argument.kind:
        case "value":
            return {"value": argument.value, **_order(argument.value)}
        case "dataset":
            return {"dataset": known.datasets[argument.value]}
        case "output":
            return _told_made(known.outputs[argument.node, argument.output])
        case "list":
            return {"list": [_told(item, known) for item in argument.items]}
        case "dict":
            names = list(argument.fields)
            order = {} if names == sorted(names) else {"order": names}
            return {"dict": {name: _told(item, known) for name, item in argument.fields.items()}, **order}


def _order(value: Any) -> dict[str, str]:
    """The order of a dictionary's keys, unless that is by name: a step that goes through them sees it."""
    if not isinstance(value, dict | list):
        return {}
    text = json.dumps(value)
    return {} if text == json.dumps(value, sort_keys=True) else {"order": digest_of(text.encode())}


def _told_made(made: Made) -> dict[str, Any]:
    """An artifact by its digest; a list by how many it has and the digest of all: it may be long."""
    if isinstance(made, tuple):
        return {"elements": len(made), "digest": composite("elements", [_told_made(each) for each in made])}
    told = {"artifact": made.digest, "codec": made.codec, "type": made.type}
    if made.unsafe:
        # A pickle names classes and functions, whose code its receiver may run and no reader of source sees:
        # that of the step which made it counts for who takes it.
        told["made_with"] = made.about.get("basis") or made.id
    return told
