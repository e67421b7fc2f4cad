"""What would make a run faster, in words with numbers; each suggestion names the rule that gave it. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from mlwright.kernel.clock import show_seconds
from mlwright.kernel.words import counted
from mlwright.workflow.costs import StepCost

_LEAST_S = 1.0
_LEAST_SHARE = 0.05
_IDLE_SHARE = 0.6
_BUSY_SHARE = 1.3
_SLOWER = 1.5
_FULL = 0.8
_TINY_S = 0.002
_MANY = 100


class Suggestion(Struct, frozen=True):
    """Something to do about a step.

    Args:
        rule: that gave it.
        text: what was seen, and what to do.
        saves_s: at most, where that can be said.
    """

    rule: str
    step: str
    text: str
    saves_s: float | None = None


class Seen(Struct, frozen=True):
    """What the rules look at.

    Args:
        wall_s: of the run.
        slots: processors that were taken at once, at most.
        machine_cpus: those there are; 0 when that was not recorded.
        machine_bytes: its memory; 0 likewise.
        critical_s: by step, how long it is on the critical path.
        repeated: by step that is not cached, in how many earlier runs it made the same of the same.
    """

    costs: Sequence[StepCost]
    wall_s: float
    slots: int
    machine_cpus: int
    machine_bytes: int
    critical_s: Mapping[str, float]
    repeated: Mapping[str, int]

    def much(self, seconds: float) -> bool:
        """Whether that is worth a word."""
        return seconds >= max(_LEAST_S, _LEAST_SHARE * self.wall_s)

    @property
    def taken(self) -> bool:
        """Whether every processor was in use at once."""
        return self.slots >= self.machine_cpus > 0

    @property
    def room(self) -> str:
        """How there would be more room."""
        if not self.taken:
            known = f"{self.slots} of {self.machine_cpus} processors" if self.machine_cpus else ""
            taken = (
                f"{known or counted(self.slots, 'processor')} {'was' if self.slots == 1 else 'were'} taken"
            )
            return f"{taken} at once: raise `workers`"
        have = f"all {self.slots} processors were" if self.slots > 1 else "the one processor was"
        greedy = [each.name for each in self.costs if each.cpus > 1]
        fewer = f"lower `cpus` of `{greedy[0]}`, or take" if greedy else "take"
        return f"{have} taken: {fewer} a machine with more"


def suggest(seen: Seen) -> tuple[Suggestion, ...]:
    """All that can be suggested, what saves most first."""
    found = [each for rule in _RULES for each in rule(seen)]
    return tuple(sorted(found, key=lambda each: -(each.saves_s or 0.0)))


def _serial(seen: Seen) -> list[Suggestion]:
    """Two steps that could have run at once ran one after the other."""
    found = []
    for later in seen.costs:
        for earlier in seen.costs:
            both_s = _kept_waiting_s(earlier, later)
            if earlier is not later and seen.much(both_s):
                text = (
                    f"`{earlier.name}` and `{later.name}` do not depend on each other but ran one after the"
                    f" other: `{later.name}` waited {show_seconds(both_s)}; {seen.room}"
                )
                found.append(Suggestion("serial", later.name, text, both_s))
    return found


def _waiting(seen: Seen) -> list[Suggestion]:
    """A step waited for room; that elements wait for each other is as it should be."""
    found = []
    serial = {each.step for each in _serial(seen)}
    for each in seen.costs:
        if not seen.much(each.waited_s) or each.name in serial or (each.elements > 1 and seen.taken):
            continue
        room = f"processors: {seen.room}"
        if each.gpus:
            room = "a GPU: a machine with more of them would help"
        text = f"`{each.name}` waited {show_seconds(each.waited_s)} for {room}"
        found.append(Suggestion("waiting", each.name, text))
    return found


def _repeated(seen: Seen) -> list[Suggestion]:
    """A step that is never reused makes the same again and again."""
    return [
        Suggestion(
            "repeated",
            each.name,
            f"`{each.name}` took {show_seconds(each.wall_s)} and was run again in each of {count + 1} runs"
            " with the same inputs, to the same bytes: it has cache=False",
            each.wall_s,
        )
        for each in seen.costs
        if (count := seen.repeated.get(each.name, 0))
    ]


def _idle(seen: Seen) -> list[Suggestion]:
    """A step has more processors than it uses."""
    found = []
    for each in seen.costs:
        used = each.used_cpus
        if used is not None and seen.much(each.wall_s) and each.cpus > 1 and used < _IDLE_SHARE * each.cpus:
            enough = max(1, math.ceil(used))
            if enough < each.cpus:
                text = f"`{each.name}` uses {used:.1f} of {each.cpus} processors: lower `cpus` to {enough}"
                found.append(Suggestion("idle", each.name, text))
    return found


def _crowded(seen: Seen) -> list[Suggestion]:
    """A step uses more processors than it asked for."""
    return [
        Suggestion(
            "crowded",
            each.name,
            f"`{each.name}` uses {each.used_cpus:.1f} processors and asked for {each.cpus}:"
            f" raise `cpus` to {math.ceil(each.used_cpus)}, so that it does not take them from others",
        )
        for each in seen.costs
        if each.used_cpus is not None
        and seen.much(each.wall_s)
        and each.used_cpus > _BUSY_SHARE * each.cpus
        and each.cpus < (seen.machine_cpus or math.inf)
    ]


def _slower(seen: Seen) -> list[Suggestion]:
    """A step took longer than it used to."""
    found = []
    for each in seen.costs:
        if each.ratio is None or each.mean_s is None or each.earlier_mean_s is None:
            continue
        lost_s = (each.mean_s - each.earlier_mean_s) * each.ran
        if each.ratio >= _SLOWER and seen.much(lost_s) and each.earlier_runs > 1:
            text = (
                f"`{each.name}` took {show_seconds(each.mean_s)}, {each.ratio:.1f} times its mean of"
                f" {show_seconds(each.earlier_mean_s)} in {each.earlier_runs} earlier runs: see what differs"
                " with runs diff"
            )
            found.append(Suggestion("slower", each.name, text, lost_s))
    return found


def _failing(seen: Seen) -> list[Suggestion]:
    """Time went into tries that failed."""
    return [
        Suggestion(
            "failing",
            each.name,
            f"`{each.name}` ran for {show_seconds(each.failed_s)} in tries that failed: see runs logs",
            each.failed_s,
        )
        for each in seen.costs
        if seen.much(each.failed_s)
    ]


def _full(seen: Seen) -> list[Suggestion]:
    """A step comes near the end of the memory: of what it may have, or of the machine's."""
    found = []
    for each in seen.costs:
        held, most = each.peak_bytes or 0, each.memory_bytes or seen.machine_bytes
        if not most or held <= _FULL * most:
            continue
        text = (
            f"`{each.name}` held {held / 2**30:.2f} of the {most / 2**30:.2f} GiB of its `memory`:"
            " raise it before an attempt fails"
            if each.memory_bytes
            else f"`{each.name}` held {held / 2**30:.1f} GiB of the machine's {most / 2**30:.1f} GiB:"
            " two at once would not fit; give it a `memory` limit"
        )
        found.append(Suggestion("full", each.name, text))
    return found


def _heavy(seen: Seen) -> list[Suggestion]:
    """One step is most of what the run has to wait for."""
    total_s = sum(seen.critical_s.values())
    return [
        Suggestion(
            "heavy",
            name,
            f"`{name}` is {seconds / total_s:.0%} of the critical path: make it faster, all else together can"
            f" save {show_seconds(total_s - seconds)} at most",
        )
        for name, seconds in seen.critical_s.items()
        if seen.much(seconds) and seconds > 0.8 * total_s and len(seen.critical_s) > 1
    ]


def _tiny(seen: Seen) -> list[Suggestion]:
    """A mapped step has elements that are too small."""
    return [
        Suggestion(
            "tiny",
            each.name,
            f"`{each.name}` has {each.elements} elements of {each.mean_s * 1000:.1f} ms each, about what it"
            " costs to record one: map over fewer, larger pieces",
        )
        for each in seen.costs
        if each.elements >= _MANY and each.mean_s is not None and each.mean_s < _TINY_S
    ]


_RULES: tuple[Callable[[Seen], list[Suggestion]], ...] = (
    *(_serial, _waiting, _repeated, _idle, _crowded),
    *(_slower, _failing, _full, _heavy, _tiny),
)


def _kept_waiting_s(earlier: StepCost, later: StepCost) -> float:
    """How long one step ran while another could have begun, and began only behind it."""
    if earlier.began_s is None or earlier.ended_s is None or later.ready_s is None or later.began_s is None:
        return 0.0
    if later.began_s < earlier.ended_s:
        return 0.0
    return earlier.ended_s - max(later.ready_s, earlier.began_s)
