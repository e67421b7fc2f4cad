"""A run in full: what it was given, what it was made with, what each step did and cost."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct

from mlwright.environments import Lock
from mlwright.kernel import edges
from mlwright.kernel.edges import End
from mlwright.kernel.errors import NotFound
from mlwright.kernel.ids import short
from mlwright.tracking import Input, Metric, Run, RunState, data_of
from mlwright.versioning import Artifact, artifact
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.group import attempts_at
from mlwright.workflow.history import made_in, reused_in
from mlwright.workflow.printed import printed_so_far
from mlwright.workflow.rooms import Rooms


class AttemptDetail(Struct, frozen=True):
    """An attempt and what it made; `reuses` is the attempt whose outputs these are.

    Args:
        outputs: by name.
        logged: the artifacts it logged beside, by name.
    """

    attempt: Attempt
    outputs: dict[str, Artifact]
    reuses: str | None
    logged: dict[str, Artifact]


class RunDetail(Struct, frozen=True):
    """A run and what stands behind it.

    Args:
        made_with: by role: code, environment, data:NAME, ...
        tags, inputs: keys and values, and datasets, that a client told of it.
        labels: how what it was made with is named to people, by role.
    """

    run: Run
    parameters: dict[str, object]
    logged_parameters: dict[str, object]
    metrics: tuple[Metric, ...]
    attempts: tuple[AttemptDetail, ...]
    made_with: dict[str, End]
    tags: dict[str, str]
    inputs: tuple[Input, ...]
    labels: dict[str, str] = {}


def run_detail(rooms: Rooms, reference: str) -> RunDetail:
    """Everything that is known of a run.

    Raises:
        NotFound: there is no such run.
    """
    run = rooms.runs.get(reference)
    reused = reused_in(rooms.database, run.id)
    details = []
    for attempt in rooms.attempts.of_run(run.id):
        source = reused.get(attempt.id)
        details.append(AttemptDetail(attempt, {}, source.source if source else None, {}))
    by_attempt = {each.attempt.id: each for each in details}
    for made in made_in(rooms.database, run.id):
        # An attempt that was recorded between the two reads is left out of both.
        if (detail := by_attempt.get(made.attempt)) is not None:
            what, _, name = made.role.partition(":")
            kept = detail.outputs if what == "output" else detail.logged
            kept[name] = artifact(rooms.database, made.artifact)
    told = data_of(rooms.database, [run.id])[run.id]
    return RunDetail(
        run,
        rooms.runs.parameters(run.id),
        rooms.runs.logged_parameters(run.id),
        tuple(rooms.runs.metrics(run.id)),
        tuple(details),
        {edge.role: edge.earlier for edge in edges.made_from(rooms.database, run.end)},
        told.tags,
        tuple(told.inputs),
    )


def environment_of(rooms: Rooms, reference: str) -> Lock:
    """What a run was made with (`RUN`), or one of its steps (`RUN/STEP`), which may have another environment.

    Raises:
        NotFound: no such run, no such step, or nothing was recorded, as of a run that never began.
    """
    text, slash, step = reference.partition("/")
    run = rooms.runs.get(text)
    name = ""
    if slash:
        tries = attempts_at(rooms.attempts.of_run(run.id), step, short(run.id))
        name = tries[-1].detail.get("environment", "")
    found = edges.made_from(rooms.database, run.end, f"environment:{name}" if name else "environment")
    if not found:
        raise NotFound(f"run {short(run.id)} has no recorded environment")
    return rooms.environments.get(found[0].earlier.id)


def logs(
    rooms: Rooms, reference: str, step: str | None = None, pause: Callable[[float], object] = time.sleep
) -> list[tuple[Attempt, str]]:
    """What the steps of a run printed, attempt by attempt; of one that still runs, so far.

    A reused step's is that of the run it ran in.

    Args:
        rooms: where it is recorded.
        reference: the run.
        step: only of this one; of a mapped one all elements (`fit`), or one of them (`fit[3]`).
        pause: waits a moment, to be sure whose it is what running ones have printed.

    Raises:
        NotFound: no such run, or the run has no such step.
    """
    run = rooms.runs.get(reference)
    goes_on = run.state is RunState.RUNNING

    def asked() -> list[Attempt]:
        attempts = rooms.attempts.of_run(run.id)
        return attempts if step is None else attempts_at(attempts, step, short(run.id), running=goes_on)

    attempts = asked()
    so_far = printed_so_far(rooms, run.id, attempts, pause) if goes_on else {}
    # One that has ended meanwhile has all of its log.
    told = (
        (attempt, so_far.get(attempt.id) if attempt.state is AttemptState.RUNNING else log_of(rooms, attempt))
        for attempt in (asked() if goes_on else attempts)
    )
    return [(attempt, text.decode(errors="replace")) for attempt, text in told if text is not None]


def log_of(rooms: Rooms, attempt: Attempt) -> bytes | None:
    """What an attempt that has ended printed, or the one it reuses; None when that is nothing."""
    source: Attempt | None = attempt
    if attempt.state is AttemptState.REUSED:
        found = edges.made_from(rooms.database, attempt.end, "reuses")
        source = rooms.attempts.find(found[0].earlier.id) if found else None
    return None if source is None or source.log is None else rooms.objects.get(source.log)
