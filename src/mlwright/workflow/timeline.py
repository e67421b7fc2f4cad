"""When each attempt of a run ran, how much ran at once, and the way through that took longest. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel.clock import now_us
from mlwright.kernel.ids import AttemptId
from mlwright.tracking import Run, RunState
from mlwright.workflow.attempts import Attempt, AttemptState

_DONE = {AttemptState.SUCCEEDED, AttemptState.REUSED, AttemptState.CHECKED}


class Span(Struct, frozen=True):
    """An attempt that ran, in seconds since the run began.

    Args:
        ready_s: when it could have begun.
        cpus: processors it had.
        worker: that it ran in.
    """

    attempt: AttemptId
    node: str
    number: int
    state: AttemptState
    ready_s: float
    began_s: float
    ended_s: float
    cpus: int
    worker: str

    @property
    def wall_s(self) -> float:
        """How long it ran."""
        return self.ended_s - self.began_s


def spans_of(run: Run, attempts: Iterable[Attempt]) -> list[Span]:
    """The attempts that ran, in the order in which they began.

    What is brief is heard of in bursts; since a worker does one thing at a time, what it ended together is
    laid one behind the other. An attempt whose end nobody saw is left out.
    """
    spans = [span for attempt in attempts if (span := _span(run, attempt)) is not None]
    spans.sort(key=lambda span: span.ended_s, reverse=True)
    next_began: dict[str, float] = {}
    laid = []
    for span in spans:
        late = max(0.0, span.ended_s - next_began.get(span.worker, span.ended_s))
        began_s = span.began_s - late
        if span.worker:
            next_began[span.worker] = began_s
        ready_s = min(span.ready_s, began_s)
        laid.append(replace(span, ready_s=ready_s, began_s=began_s, ended_s=span.ended_s - late))
    return sorted(laid, key=lambda span: (span.began_s, span.ended_s))


def slots_of(spans: Iterable[Span]) -> int:
    """How many processors were taken at once, at most."""
    turns = sorted(turn for span in spans for turn in ((span.began_s, span.cpus), (span.ended_s, -span.cpus)))
    taken = most = 0
    # Of two at the same moment the end comes first: it is the smaller number.
    for _, cpus in turns:
        taken += cpus
        most = max(most, taken)
    return most


def critical_path(
    attempts: Sequence[Attempt], spans: Iterable[Span], needed: Mapping[AttemptId, Iterable[str]]
) -> list[Span]:
    """The attempts behind each other that took longest together; with any number of workers it takes as long.

    Args:
        attempts: of the run, in the order they were recorded: each behind all that it needs.
        spans: of those that ran.
        needed: the nodes that made what each attempt took.
    """
    ran = {span.attempt: span for span in spans}
    total: dict[AttemptId, float] = {}
    before: dict[AttemptId, AttemptId | None] = {}
    newest: dict[str, AttemptId] = {}
    made: dict[str, AttemptId] = {}
    for attempt in attempts:
        ways = [made[node] for node in needed.get(attempt.id, ()) if node in made]
        if attempt.node in newest:
            ways.append(newest[attempt.node])  # a try comes behind the one before it
        longest = max(ways, key=lambda way: total[way], default=None)
        before[attempt.id] = longest
        total[attempt.id] = (total[longest] if longest else 0.0) + (
            ran[attempt.id].wall_s if attempt.id in ran else 0.0
        )
        newest[attempt.node] = attempt.id
        if attempt.state in _DONE:
            made[attempt.node] = attempt.id
    way = max(total, key=lambda each: total[each], default=None)
    path = []
    while way is not None:
        if way in ran:
            path.append(ran[way])
        way = before[way]
    return path[::-1]


def _span(run: Run, attempt: Attempt) -> Span | None:
    running = attempt.state is AttemptState.RUNNING
    ended_us = now_us() if running and run.state is RunState.RUNNING else attempt.finished_us
    if ended_us is None or attempt.state is AttemptState.LOST:
        return None
    if attempt.wall_s is not None:
        wall_s = attempt.wall_s
    elif running or attempt.state is AttemptState.CANCELLED:
        wall_s = (ended_us - attempt.created_us) / 1e6
    else:
        return None
    ended_s = (ended_us - run.began_us) / 1e6
    began_s = ended_s - wall_s
    return Span(
        attempt.id,
        attempt.node,
        attempt.number,
        attempt.state,
        began_s - (attempt.waited_s or 0.0),
        began_s,
        ended_s,
        attempt.cpus,
        attempt.worker,
    )
