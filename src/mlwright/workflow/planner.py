"""What a run would do, before it does anything: reuse, run, wait or check, and why. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlwright.kernel.digest import Digest
from mlwright.kernel.plan import Change, Plan
from mlwright.versioning import Artifact
from mlwright.workflow.fingerprint import Fingerprints, Known
from mlwright.workflow.graph import Graph

Lookup = Callable[[Digest], Mapping[str, Artifact] | None]
"""The outputs of the newest success with a fingerprint, if there is one."""


def plan_run(
    graph: Graph,
    fingerprints: Fingerprints,
    known: Known,
    lookup: Lookup,
    *,
    seed: int,
    cache: bool = True,
) -> Plan:
    """The plan of a run.

    A step behind one that must run waits: whether it can be reused shows when its inputs are there.
    """
    outputs = dict(known.outputs)
    unknown: set[str] = set()
    changes = []
    for node in graph.nodes:
        if node.kind != "step":
            changes.append(Change("check", node.name, "a judgement: made every time"))
            unknown.add(node.name)
        elif missing := sorted(node.needs & unknown):
            changes.append(Change("wait", node.name, f"for {', '.join(missing)}"))
            unknown.add(node.name)
        else:
            key = fingerprints.of(node, Known(outputs, known.datasets), seed) if cache else None
            found = lookup(key.digest) if key is not None else None
            if found is None:
                changes.append(Change("run", node.name, _why(node.cache, cache)))
                unknown.add(node.name)
            else:
                changes.append(Change("reuse", node.name, "same code, packages, parameters and inputs"))
                outputs |= {(node.name, name): each for name, each in found.items()}
    return Plan(f"run of {graph.pipeline}", tuple(changes))


def _why(cached_step: bool, cache: bool) -> str:
    if not cache:
        return "the cache is off"
    return (
        "no earlier success with this code, packages, parameters and inputs"
        if cached_step
        else "never cached"
    )
