"""Reproducing a run: the recorded code, data and environment in a fresh place, and every digest compared."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlwright.compute import Place
from mlwright.kernel import edges
from mlwright.kernel.digest import composite
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, Invalid, MlwrightError
from mlwright.kernel.ids import short
from mlwright.kernel.marks import left_over, marked
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import counted
from mlwright.tracking import Run, RunState
from mlwright.versioning import artifact
from mlwright.workflow.aside import Opener, folder_aside, restore_run
from mlwright.workflow.attempts import Attempt
from mlwright.workflow.history import made_in
from mlwright.workflow.outputs import absent_outputs, compare, outputs_of
from mlwright.workflow.pipelines import Pipelines
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.verdicts import Side, Verdict, verdicts
from mlwright.workflow.watch import Unwatched, Watcher

_MARK = ".mlwright-reproducing"
"""Lies in a folder of the user's while a run is made again there."""


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
        folder: where to; it must be empty, but for what a reproduction that was killed has left. By default
            a place in the local state, emptied first.
        opener: opens the fresh project.

    Raises:
        Conflict: the folder is not empty, or another process makes a run again there.
        Invalid: the run did not succeed.
        Incompatible: this machine cannot have the run's environment.
        Corrupt: recorded bytes are damaged.
    """
    run = _reproducible(rooms, reference)
    if folder is None:
        folder = rooms.workspace.local / "reproductions" / short(run.id)
        busy = f"run {short(run.id)} is being made again there by another process"
        with folder_aside(folder, busy, "wait for it, or name another folder: --in DIR"):
            return _reproduced(rooms, run, folder, opener, watcher)
    if folder.exists() and not folder.is_dir():
        raise Conflict(f"{folder} is a file", hint="name a new folder: --in DIR")
    if not left_over(folder / _MARK):
        _refuse_full(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with marked(folder / _MARK) as mark:
        if mark.left_over:
            _empty(folder)
        _refuse_full(folder)
        return _reproduced(rooms, run, folder, opener, watcher)


def _empty(folder: Path) -> None:
    """Take away what a reproduction that was killed has left."""
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each, ignore_errors=True)
        elif each.name != _MARK:
            each.unlink()


def _refuse_full(folder: Path) -> None:
    if folder.exists() and {each.name for each in folder.iterdir()} - {_MARK}:
        raise Conflict(f"{folder} is not empty", hint="name a new folder: --in DIR")


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
        for name, told in absent_outputs(attempt).items()
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
