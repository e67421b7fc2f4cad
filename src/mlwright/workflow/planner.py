"""What a run would do, before it does anything: reuse, run, wait, skip or check, and why. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, field

from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import WorkFailed
from mlwright.kernel.plan import Change, Plan
from mlwright.versioning import Artifact
from mlwright.workflow.fan import Reader, elements_of, item_of, learn_items
from mlwright.workflow.fingerprint import Fingerprint
from mlwright.workflow.graph import JUDGEMENTS, Node, with_defaults
from mlwright.workflow.known import Known
from mlwright.workflow.orders import Orders

Lookup = Callable[[Digest], Mapping[str, Artifact] | None]
"""The outputs of the newest success with a fingerprint, if there is one."""

Explain = Callable[[Fingerprint], str]
"""What differs from the closest earlier success, in words; empty when there was none."""

_SAME = "same code, packages, parameters and inputs"


def plan_run(orders: Orders, lookup: Lookup, read: Reader, explain: Explain, *, seed: int) -> Plan:
    """The plan of a run.

    A step behind one that must run waits: whether it can be reused shows when its inputs are there.
    """
    planner = _Planner(orders, lookup, read, explain, seed, orders.known())
    changes = tuple(planner.change(node) for node in orders.graph.nodes)
    return Plan(f"run of {orders.graph.pipeline}", changes)


class _Planner(Struct):
    orders: Orders
    lookup: Lookup
    read: Reader
    explain: Explain
    seed: int
    known: Known
    unknown: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)

    def change(self, node: Node) -> Change:
        """What becomes of the next node of the graph."""
        if node.kind in JUDGEMENTS:
            self.unknown.add(node.name)
            return Change("check", node.name, "a judgement: made every time")
        if missing := sorted(node.needs & self.unknown):
            self.unknown.add(node.name)
            return Change("wait", node.name, f"for {', '.join(missing)}")
        complete = with_defaults(node, self.absent)
        if complete is None or not self._holds(complete):
            self.absent.add(node.name)
            why = "what it needs is skipped" if complete is None else "its condition is false"
            return Change("skip", node.name, why)
        try:
            return self._mapped(complete) if node.mapped else self._plain(complete)
        except WorkFailed as error:
            self.unknown.add(node.name)
            return Change("fail", node.name, error.message)

    def _plain(self, node: Node) -> Change:
        why = self._why_run(node)
        if not why:
            return Change("reuse", node.name, _SAME)
        self.unknown.add(node.name)
        return Change("run", node.name, why)

    def _mapped(self, node: Node) -> Change:
        elements = elements_of(node, self.known, self.read)
        count = len(next(iter(elements.values())))
        reasons = [self._why_run(item_of(node, elements, index)) for index in range(count)]
        to_run = [why for why in reasons if why]
        if not to_run:
            learn_items(self.known, node, count)
            return Change("reuse", f"{node.name}[{count}]", _SAME if count else "nothing to map over")
        self.unknown.add(node.name)
        why = (
            to_run[0] if len(to_run) == count else f"{count - len(to_run)} of {count} are reused; {to_run[0]}"
        )
        return Change("run", f"{node.name}[{count}]", why)

    def _why_run(self, node: Node) -> str:
        """Why a step has to run; empty when it is reused, and then its outputs are known."""
        if not self.orders.cache:
            return "the cache is off"
        key = self.orders.fingerprint(node, self.known, self.seed)
        if key is None:
            return "never cached"
        found = self.lookup(key.digest)
        if found is None:
            return self.explain(key) or "it has not succeeded before"
        self.known.learn(node.name, found)
        return ""

    def _holds(self, node: Node) -> bool:
        if node.when is None:
            return True
        if node.when.kind != "output":
            return bool(node.when.value)
        made = self.known.outputs[node.when.node, node.when.output]
        return not isinstance(made, tuple) and self.read(made, f"the condition of `{node.name}`") is True
