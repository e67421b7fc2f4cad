"""Reproducing a run: the recorded code, data and environment in a fresh place, and every digest compared."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from mlwright.compute import Place
from mlwright.kernel import edges
from mlwright.kernel.digest import composite
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, Invalid, MlwrightError
from mlwright.kernel.files import locked
from mlwright.kernel.ids import AttemptId, short
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import counted
from mlwright.tracking import Run, RunState
from mlwright.versioning import artifact
from mlwright.workflow.attempts import Attempt
from mlwright.workflow.elsewhere import Opener, restore_run
from mlwright.workflow.history import Made, made_in
from mlwright.workflow.pipelines import Pipelines
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.verdicts import Side, Verdict, verdicts
from mlwright.workflow.watch import Unwatched, Watcher

ELSEWHERE = "elsewhere"
"""Where the detail of an imported attempt tells of what it made, if the bytes did not come with it."""


class Comparison(Struct, frozen=True):
    """One output of one step, then and now; the digest is empty where there is none."""

    node: str
    output: str
    then: str
    now: str

    @property
    def verdict(self) -> Literal["identical", "different", "missing"]:
        """What the two digests say."""
        if not self.then or not self.now:
            return "missing"
        return "identical" if self.then == self.now else "different"


class Reproduction(Struct, frozen=True):
    """A run made again, and how every output compares.

    Args:
        original: as it was recorded.
        again: the run made from that.
        folder: the project it was made in.
        comparisons: in the order of the steps.
        error: what the run made again failed of.
        causes: what differs between the two beside their results: threads, processor, variables.
    """

    original: Run
    again: Run
    folder: Path
    comparisons: tuple[Verdict, ...]
    error: MlwrightError | None
    causes: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether each output is the same to the bit, and there is one."""
        return (
            self.error is None
            and bool(self.comparisons)
            and all(each.verdict == "identical" for each in self.comparisons)
        )

    @property
    def first_different(self) -> Verdict | None:
        """Where the two part, in the order of the graph."""
        return next((each for each in self.comparisons if each.verdict != "identical"), None)


def reproduce(
    rooms: Rooms, reference: str, folder: Path | None, opener: Opener, watcher: Watcher | None = None
) -> Reproduction:
    """Make a run again, from what was recorded of it and from nothing else.

    Args:
        rooms: where the run is recorded.
        reference: the run.
        folder: where to; it must be empty. By default a place in the local state, emptied first.
        opener: opens the fresh project.

    Raises:
        Conflict: the folder is not empty.
        Invalid: the run did not succeed.
        Incompatible: this machine cannot have the run's environment.
        Corrupt: recorded bytes are damaged.
    """
    run = _reproducible(rooms, reference)
    if folder is None:
        folder = rooms.workspace.local / "reproductions" / short(run.id)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with locked(folder.with_suffix(".lock"), fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(folder, ignore_errors=True)
                return _reproduced(rooms, run, folder, opener, watcher)
        except BlockingIOError as error:
            raise Conflict(
                f"run {short(run.id)} is being made again there by another process",
                where=str(folder),
                hint="wait for it, or name another folder: --in DIR",
            ) from error
    if folder.exists() and not folder.is_dir():
        raise Conflict(f"{folder} is a file", hint="name a new folder: --in DIR")
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty", hint="name a new folder: --in DIR")
    return _reproduced(rooms, run, folder, opener, watcher)


def _reproduced(
    rooms: Rooms, run: Run, folder: Path, opener: Opener, watcher: Watcher | None
) -> Reproduction:
    fresh, request = restore_run(rooms, run, folder, opener)
    try:
        again, error = Pipelines(fresh).run(request, watcher)
        sides = _side(rooms, run), _side(fresh, again)
        if different := sum(each.then != each.now for each in compare(sides[0].digests, sides[1].digests)):
            (watcher or Unwatched()).preparing(f"looking at {counted(different, 'output')} that differ")
        comparisons = verdicts(*sides, _places(fresh, request))
        machines = (*_machines(run, again), *_variables(run, again), *_threads(rooms, run, fresh, again))
        if run.kind == "pipeline":
            machines = (*machines, *_metrics(rooms, run, fresh, again))
        causes = (*machines, *(f"{name} was not in its code" for name in run.about.get("left_out", ())))
    finally:
        fresh.workspace.close()
    return Reproduction(run, again, folder, comparisons, error, causes)


def plan_reproduction(rooms: Rooms, reference: str) -> Plan:
    """What reproducing a run would do: what is restored, which outputs are compared."""
    run = _reproducible(rooms, reference)
    restored = [
        Change("write", edge.role, f"{edge.earlier.kind} {edge.earlier.id[:12]}")
        for edge in edges.made_from(rooms.database, run.end)
    ]
    compared = [
        Change("run", node, f"{output} must be b3:{digest[:12]}")
        for (node, output), digest in _side(rooms, run).digests.items()
    ]
    return Plan(f"reproduction of run {short(run.id)}", (*restored, *compared))


def outputs_of(
    rooms: Rooms, run: Run, attempts: Iterable[Attempt] | None = None
) -> dict[tuple[str, str], str]:
    """The digest of all that a run gave by (node, output), in the order of the attempts; verdicts too.

    What a step logged is called `logged:NAME`. Of several tries the last one counts.

    Args:
        rooms: where it is recorded.
        run: whose.
        attempts: all of the run's, if they are known.
    """
    made: dict[AttemptId, list[Made]] = {}
    for each in made_in(rooms.database, run.id):
        made.setdefault(each.attempt, []).append(each)
    found: dict[str, dict[str, str]] = {}
    for attempt in rooms.attempts.of_run(run.id) if attempts is None else attempts:
        mine = sorted(made.get(attempt.id, ()), key=lambda each: each.role.startswith("logged:"))
        found[attempt.node] = {each.role.removeprefix("output:"): each.digest for each in mine}
        found[attempt.node] |= {name: told["digest"] for name, told in elsewhere(attempt).items()}
        if "passed" in attempt.detail:
            found[attempt.node]["verdict"] = composite("verdict", attempt.detail)
    return {(node, name): digest for node, each in found.items() for name, digest in each.items()}


def elsewhere(attempt: Attempt) -> dict[str, dict[str, Any]]:
    """What an attempt made whose bytes did not come with it, by name: digest, codec, type, size."""
    found: dict[str, dict[str, Any]] = attempt.detail.get(ELSEWHERE, {})
    return {role.removeprefix("output:"): told for role, told in found.items()}


def _side(rooms: Rooms, run: Run) -> Side:
    """What must come out again; of a script also its metrics, since it promises no outputs."""
    attempts = {attempt.id: attempt for attempt in rooms.attempts.of_run(run.id)}
    digests = outputs_of(rooms, run, attempts.values())
    artifacts = {
        (attempts[made.attempt].node, made.role.removeprefix("output:")): artifact(
            rooms.database, made.artifact
        )
        for made in made_in(rooms.database, run.id)
        if made.attempt in attempts
    }
    codecs = {
        (attempt.node, name): told["codec"]
        for attempt in attempts.values()
        for name, told in elsewhere(attempt).items()
    }
    values: dict[tuple[str, str], Any] = {
        (attempt.node, "verdict"): attempt.detail
        for attempt in attempts.values()
        if "passed" in attempt.detail
    }
    if run.kind != "pipeline":
        for metric in rooms.runs.metrics(run.id):
            digests["metric", metric.name] = composite("metric", repr(metric.value))
            values["metric", metric.name] = metric.value
    return Side(rooms, run, digests, artifacts, values, codecs)


def _places(fresh: Rooms, request: Request) -> list[Place]:
    """Where values of the run can be read: with its code, in each of its environments."""
    assert request.snapshot is not None
    code = fresh.materialise(request.snapshot)
    locks = request.locks
    return [Place(fresh.environments.build(locks[name]).python, code) for name in sorted(locks)]


def compare(then: dict[tuple[str, str], str], now: dict[tuple[str, str], str]) -> tuple[Comparison, ...]:
    """Each output of either side, beside the other."""
    return tuple(
        Comparison(*key, then.get(key, ""), now.get(key, "")) for key in [*then, *(now.keys() - then)]
    )


def _machines(then: Run, now: Run) -> list[str]:
    """Whether two runs had processors that choose other code for the same numbers."""
    found = []
    for name, what in (("processor", "the processor"), ("features", "its instruction sets")):
        before, after = then.machine.get(name), now.machine.get(name)
        if before != after:
            found.append(f"{what}: {before or 'unknown'} -> {after or 'unknown'}")
    return found


def _metrics(rooms: Rooms, then: Run, fresh: Rooms, now: Run) -> list[str]:
    """What a pipeline's steps logged otherwise: no output, and told all the same."""
    before, after = (
        {metric.name: metric.value for metric in each.runs.metrics(run.id)}
        for each, run in ((rooms, then), (fresh, now))
    )
    return [
        f"the metric {name}: {before.get(name, 'none')} -> {after.get(name, 'none')}"
        for name in sorted({*before, *after})
        if repr(before.get(name)) != repr(after.get(name))
    ]


def _variables(then: Run, now: Run) -> list[str]:
    """The recorded environment variables that differ; nothing is known of runs of earlier versions."""
    if "variables" not in then.about:
        return []
    before, after = then.about["variables"], now.about.get("variables", {})
    return [
        f"the environment variable {name}: {before.get(name, 'not set')} -> {after.get(name, 'not set')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _threads(rooms: Rooms, then: Run, fresh: Rooms, now: Run) -> list[str]:
    """The steps that had another number of threads: a reused result keeps those it was made with."""
    again = {attempt.node: attempt.cpus for attempt in fresh.attempts.of_run(now.id)}
    found = []
    for attempt in rooms.attempts.of_run(then.id):
        made = rooms.attempts.find(_maker(rooms, attempt).id)
        cpus = again.get(attempt.node)
        if made is not None and cpus is not None and made.cpus != cpus:
            found.append(f"the threads of `{attempt.node}`: {made.cpus} -> {cpus}")
    return found


def _reproducible(rooms: Rooms, reference: str) -> Run:
    run = rooms.runs.get(reference)
    run.refuse_reported("made again")
    if run.kind == "comparison":
        raise Invalid(
            f"run {short(run.id)} compared models: it has no pipeline that could be run again", hint=run.go_on
        )
    if run.state is not RunState.SUCCEEDED:
        raise Invalid(
            f"run {short(run.id)} {run.state}: only a run that succeeded can be reproduced",
            hint="mlwright runs list --state succeeded",
        )
    return run


def _maker(rooms: Rooms, attempt: Attempt) -> End:
    """The attempt that made the outputs: itself, or the one it reuses."""
    reused = edges.made_from(rooms.database, attempt.end, "reuses")
    return reused[0].earlier if reused else attempt.end
