"""What each step of a run cost, beside what it cost before. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from mlwright.kernel.ids import AttemptId
from mlwright.workflow.attempts import AttemptState
from mlwright.workflow.group import Group
from mlwright.workflow.history import Earlier, Reuse
from mlwright.workflow.timeline import Span


class StepCost(Struct, frozen=True):
    """A step of a run, all elements and tries together.

    Args:
        label: `fit`, or `fit[1000]` for a mapped one.
        elements: how many; 1 for a step as a whole.
        ran: how many tries ran.
        reused: how many elements were not run again.
        failed_s: how long tries ran that failed.
        ready_s: when the first could have begun, since the run's begin; None when none ran.
        began_s: when the first began.
        ended_s: when the last ended.
        wall_s: of all tries together.
        mean_s: of one that succeeded; None when none did.
        waited_s: for room, likewise.
        cpu_s: processor time, of those whose end was told by their worker.
        cpus: processors that each had.
        used_cpus: processors that were busy while it ran, on the mean; None when it is not known.
        peak_bytes: the most memory that one held.
        memory_bytes: the limit of its memory; None when it has none.
        gpus: whether it had any.
        saved_s: what the reused ones took when they were made.
        cached: whether it has a fingerprint.
        earlier_runs: how many earlier runs it is compared with.
        earlier_mean_s: how long a success took in those; None when there are none.
        ratio: how many times as long as that it took now; None when it cannot be said.
    """

    name: str
    label: str
    elements: int
    ran: int
    reused: int
    failed_s: float
    ready_s: float | None
    began_s: float | None
    ended_s: float | None
    wall_s: float
    mean_s: float | None
    waited_s: float
    cpu_s: float
    cpus: int
    used_cpus: float | None
    peak_bytes: int | None
    memory_bytes: int | None
    gpus: bool
    saved_s: float
    cached: bool
    earlier_runs: int
    earlier_mean_s: float | None
    ratio: float | None


def cost_of(
    group: Group,
    spans: Sequence[Span],
    reused: Mapping[AttemptId, Reuse],
    earlier: Sequence[Earlier] = (),
) -> StepCost:
    """What a step cost.

    Args:
        group: its attempts.
        spans: of those that ran.
        reused: what those that were reused stand for.
        earlier: what it cost in earlier runs.
    """
    told = [attempt for attempt in group.attempts if attempt.cpu_s is not None and attempt.wall_s]
    told_s = sum(attempt.wall_s or 0.0 for attempt in told)
    cpu_s = sum((attempt.cpu_s or 0.0 for attempt in told), 0.0)
    wall_s = sum((span.wall_s for span in spans), 0.0)
    good = [span.wall_s for span in spans if span.state is AttemptState.SUCCEEDED]
    mean_s = sum(good) / len(good) if good else None
    before = sum(each.attempts for each in earlier)
    earlier_mean_s = sum(each.wall_s for each in earlier) / before if before else None
    return StepCost(
        name=group.name,
        label=group.label,
        elements=len(group.latest),
        ran=len(spans),
        reused=group.counts.get(AttemptState.REUSED, 0),
        failed_s=sum((span.wall_s for span in spans if span.state is AttemptState.FAILED), 0.0),
        ready_s=min((span.ready_s for span in spans), default=None),
        began_s=min((span.began_s for span in spans), default=None),
        ended_s=max((span.ended_s for span in spans), default=None),
        wall_s=wall_s,
        mean_s=mean_s,
        waited_s=sum((attempt.waited_s or 0.0 for attempt in group.attempts), 0.0),
        cpu_s=cpu_s,
        cpus=max(attempt.cpus for attempt in group.attempts),
        used_cpus=cpu_s / told_s if told_s else None,
        peak_bytes=max((attempt.peak_bytes or 0 for attempt in group.attempts), default=0) or None,
        memory_bytes=max((attempt.detail.get("memory_bytes", 0) for attempt in group.attempts), default=0)
        or None,
        gpus=any(attempt.gpus for attempt in group.attempts),
        saved_s=sum((reused[each.id].wall_s for each in group.attempts if each.id in reused), 0.0),
        cached=any(attempt.fingerprint for attempt in group.attempts),
        earlier_runs=len(earlier),
        earlier_mean_s=earlier_mean_s,
        ratio=mean_s / earlier_mean_s if mean_s is not None and earlier_mean_s else None,
    )
