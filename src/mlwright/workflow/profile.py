"""Where the time of a run went: what took longest, how busy the workers were, what the cache saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel.ids import AttemptId, RunId
from mlwright.tracking import Run
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.costs import StepCost, cost_of
from mlwright.workflow.group import Group, element_of, groups_of
from mlwright.workflow.history import (
    Earlier,
    Reuse,
    bytes_around,
    earlier_of,
    needed_in,
    reused_in,
    success_of,
)
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.suggestions import Seen, Suggestion, suggest
from mlwright.workflow.timeline import Span, critical_path, slots_of, spans_of

_EARLIER_RUNS = 20
_COMPARED_STEPS = 20
_LEAST_S = 0.5
"""A step that took less is not worth to be looked at for what it could be spared."""


class Profile(Struct, frozen=True):
    """Where the time of a run went.

    Args:
        wall_s: how long the run took.
        critical_path: the attempts behind each other that took longest together.
        critical_s: how long those took.
        busy_s: processor slots were taken for so long, all together.
        slots: processors that were taken at once, at most.
        efficiency: `busy_s` of what those could have given; None when nothing ran.
        waited_s: how long attempts could have begun and had no room.
        saved_s: what was reused took so long when it was made.
        steps: in the order in which each first began.
        spans: of the attempts that ran.
    """

    run: Run
    wall_s: float
    critical_path: tuple[Span, ...]
    critical_s: float
    busy_s: float
    slots: int
    efficiency: float | None
    waited_s: float
    saved_s: float
    steps: tuple[StepCost, ...]
    spans: tuple[Span, ...]
    suggestions: tuple[Suggestion, ...]

    @property
    def critical_steps(self) -> dict[str, float]:
        """How long each step is on the critical path, in its order."""
        found: dict[str, float] = {}
        for span in self.critical_path:
            name = element_of(span.node)[0]
            found[name] = found.get(name, 0.0) + span.wall_s
        return found

    @property
    def slowest(self) -> list[StepCost]:
        """The steps that ran, those that took longest first."""
        return sorted((step for step in self.steps if step.ran), key=lambda step: -step.wall_s)


def profile(rooms: Rooms, reference: str) -> Profile:
    """Where the time of a run went, beside what its steps took in earlier runs of the pipeline.

    Raises:
        NotFound: there is no such run.
        Invalid: it was reported from outside.
    """
    database = rooms.database
    run = rooms.runs.get(reference)
    run.refuse_reported("profiled")
    attempts = rooms.attempts.of_run(run.id)
    groups = groups_of(attempts)
    before = _runs_before(rooms, run)
    heaviest = sorted(groups, key=_wall_s, reverse=True)[:_COMPARED_STEPS]
    return profile_of(
        run,
        attempts,
        needed_in(database, run.id),
        reused_in(database, run.id),
        {each.name: earlier_of(database, each.name, before, mapped=each.mapped) for each in heaviest},
        {each.name: _times_repeated(rooms, each, before) for each in heaviest if run.kind == "pipeline"},
    )


def profile_of(
    run: Run,
    attempts: Sequence[Attempt],
    needed: Mapping[AttemptId, Iterable[str]],
    reused: Mapping[AttemptId, Reuse],
    earlier: Mapping[str, Sequence[Earlier]],
    repeated: Mapping[str, int],
) -> Profile:
    """The profile of a run.

    Args:
        run: whose.
        attempts: all of its, in the order they were recorded.
        needed: the nodes that made what each attempt took.
        reused: what those that were reused stand for.
        earlier: by step, what it took in earlier runs.
        repeated: by step that is not cached, in how many earlier runs it made the same of the same.
    """
    spans = spans_of(run, attempts)
    path = critical_path(attempts, spans, needed)
    by_step: dict[str, list[Span]] = {}
    for span in spans:
        by_step.setdefault(element_of(span.node)[0], []).append(span)
    costs = tuple(
        cost_of(group, by_step.get(group.name, []), reused, earlier.get(group.name, ()))
        for group in groups_of(attempts)
    )
    wall_s, slots = run.seconds, slots_of(spans)
    busy_s = sum(span.wall_s * span.cpus for span in spans)
    made = Profile(
        run=run,
        wall_s=wall_s,
        critical_path=tuple(path),
        critical_s=sum(span.wall_s for span in path),
        busy_s=busy_s,
        slots=slots,
        efficiency=min(1.0, busy_s / (wall_s * slots)) if wall_s and slots else None,
        waited_s=sum(cost.waited_s for cost in costs),
        saved_s=sum((cost.saved_s for cost in costs), 0.0),
        steps=costs,
        spans=tuple(spans),
        suggestions=(),
    )
    seen = Seen(
        costs,
        wall_s,
        slots,
        run.machine.get("cpus", 0),
        run.machine.get("memory_bytes", 0),
        made.critical_steps,
        repeated,
    )
    return replace(made, suggestions=suggest(seen))


def _wall_s(group: Group) -> float:
    return sum(attempt.wall_s or 0.0 for attempt in group.attempts)


def _runs_before(rooms: Rooms, run: Run) -> list[RunId]:
    """The newest earlier runs of the same pipeline."""
    began = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=run.created_us)
    found = rooms.runs.list(pipeline=run.pipeline, until=began, limit=_EARLIER_RUNS)
    return [each.id for each in found if each.project == run.project]


def _times_repeated(rooms: Rooms, group: Group, before: Iterable[RunId]) -> int:
    """In how many of the runs right before a step that is not cached made the same of the same."""
    attempt = group.latest[-1]
    cached = group.mapped or attempt.fingerprint is not None
    if cached or attempt.state is not AttemptState.SUCCEEDED or _wall_s(group) < _LEAST_S:
        return 0
    now = bytes_around(rooms.database, attempt.id)
    count = 0
    for run in before:
        earlier = success_of(rooms.database, attempt.node, run)
        if earlier is None or bytes_around(rooms.database, earlier) != now:
            break
        count += 1
    return count
