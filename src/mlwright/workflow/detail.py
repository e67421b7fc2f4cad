"""A run in full: what it was given, what it was made with, what each step did and cost."""

from __future__ import annotations

from dataclasses import dataclass

from mlwright.kernel import edges
from mlwright.kernel.edges import End
from mlwright.kernel.errors import NotFound, nearest
from mlwright.tracking import Metric, Run
from mlwright.versioning import Artifact, artifacts_of
from mlwright.workflow.attempts import Attempt
from mlwright.workflow.rooms import Rooms


@dataclass(frozen=True, slots=True)
class AttemptDetail:
    """An attempt and its outputs; `reuses` is the attempt whose outputs these are."""

    attempt: Attempt
    outputs: dict[str, Artifact]
    reuses: str | None


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run and what stands behind it; `made_with` is by role: code, environment, data:NAME, ..."""

    run: Run
    parameters: dict[str, object]
    metrics: tuple[Metric, ...]
    attempts: tuple[AttemptDetail, ...]
    made_with: dict[str, End]


def run_detail(rooms: Rooms, reference: str) -> RunDetail:
    """Everything that is known of a run.

    Raises:
        NotFound: there is no such run.
    """
    run = rooms.runs.get(reference)
    return RunDetail(
        run,
        rooms.runs.parameters(run.id),
        tuple(rooms.runs.metrics(run.id)),
        tuple(_attempt_detail(rooms, attempt) for attempt in rooms.attempts.of_run(run.id)),
        {edge.role: edge.earlier for edge in edges.made_from(rooms.database, run.end)},
    )


def logs(rooms: Rooms, reference: str, step: str | None = None) -> list[tuple[Attempt, str]]:
    """What the steps of a run printed, attempt by attempt; a reused step's is that of the run it ran in.

    Raises:
        NotFound: no such run, or the run has no such step.
    """
    run = rooms.runs.get(reference)
    attempts = rooms.attempts.of_run(run.id)
    if step is not None and step not in {attempt.node for attempt in attempts}:
        known = sorted({attempt.node for attempt in attempts})
        raise NotFound(f"run {reference} has no step `{step}`", hint=nearest(step, known))
    told = []
    for attempt in attempts:
        if step not in {None, attempt.node}:
            continue
        reused = _reuses(rooms, attempt)
        source = rooms.attempts.find(reused) if reused else attempt
        if source is not None and source.log is not None:
            told.append((attempt, rooms.objects.get(source.log).decode(errors="replace")))
    return told


def _attempt_detail(rooms: Rooms, attempt: Attempt) -> AttemptDetail:
    reused = _reuses(rooms, attempt)
    return AttemptDetail(attempt, artifacts_of(rooms.database, reused or attempt.id), reused)


def _reuses(rooms: Rooms, attempt: Attempt) -> str | None:
    found = edges.made_from(rooms.database, attempt.end, "reuses")
    return found[0].earlier.id if found else None
