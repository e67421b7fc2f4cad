"""Which package's upgrade changed a result: a run is made again with locks between those of two runs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from msgspec import Struct
from msgspec.structs import replace

from mlwright.environments import Lock, PackageDifference, differing, packages_of
from mlwright.environments.locks import make_lock
from mlwright.environments.mixing import mixed
from mlwright.kernel.errors import Cancelled, Incompatible, Invalid, MlwrightError, Unavailable, WorkFailed
from mlwright.kernel.ids import short
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import counted
from mlwright.tracking import Run, RunState
from mlwright.workflow.aside import Opener, locks_of, restore_run, trial_folder
from mlwright.workflow.bisection import Outcome, Tried, bisect, in_order
from mlwright.workflow.outputs import outputs_of
from mlwright.workflow.pipelines import Pipelines
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import Watcher

_FAILED = re.compile(r"step `(?P<step>[^`\[]+).*?` of run \S+ failed: (?P<what>[\w.]+(?=:|\n|$)|[^\n]*)")
"""A step that failed, and the type of what it raised. Source: `failures.in_words`."""


class Culprit(Struct, frozen=True):
    """What a bisection between two runs found.

    Args:
        output: the first output that is another with the packages of the bad run, as `STEP/NAME`; or the
            error that ends it. Empty: with those packages all is the same, and the cause is elsewhere.
        differing: how many packages differ.
        suspects: one package, or several that could not be told apart.
        alone: what comes out when nothing but the suspects is changed; it may take others, changed before.
        tried: what was tried on the way.
    """

    good: Run
    bad: Run
    output: str
    differing: int
    suspects: tuple[PackageDifference, ...] = ()
    alone: Outcome | None = None
    tried: tuple[Tried, ...] = ()


def find_culprit(rooms: Rooms, good: str, bad: str, opener: Opener, watcher: Watcher) -> Culprit:
    """Find the package that made the result of one run another in a later one.

    The good run is made again, aside, with its own code, data and parameters: only packages change.

    Args:
        rooms: where both are recorded.
        good: a run that succeeded.
        bad: another of the same pipeline.

    Raises:
        Invalid: they cannot be compared, or have the same packages.
        Incompatible: their interpreters or platforms differ.
        WorkFailed: the good run does not come out again with its own packages.
        Unavailable: the packages of one of them cannot be had now.
        Conflict: another search of this run goes on.
    """
    compared = _compared(rooms, good, bad)
    with trial_folder(rooms, short(compared.good.id)) as folder:
        fresh, request = restore_run(rooms, compared.good, folder, opener)
        try:
            for lock in compared.locks.values():
                fresh.environments.adopt(lock, rooms.objects)
            wanted = outputs_of(rooms, compared.good)
            return _Search(fresh, replace(request, cache=True), compared, wanted, watcher).culprit()
        finally:
            fresh.workspace.close()


def plan_bisection(rooms: Rooms, good: str, bad: str) -> Plan:
    """Which packages a bisection would change.

    Raises:
        Invalid, Incompatible: as `find_culprit`.
    """
    compared = _compared(rooms, good, bad)
    changes = [Change("try", name, each.shown) for name, each in compared.changed.items()]
    return Plan(f"bisection of {counted(len(changes), 'package')}", tuple(changes))


class _Compared(Struct, frozen=True):
    """Two runs that are worth a search.

    Args:
        locks: of the bad run.
        texts: of each environment the interpreter, and the pylocks of the good run and of the bad one.
        changed: the packages that differ, by name.
    """

    good: Run
    bad: Run
    locks: dict[str, Lock]
    texts: dict[str, tuple[str, bytes, bytes]]
    changed: dict[str, PackageDifference]


class _Search(Struct):
    """The search in the place aside.

    Args:
        wanted: what the good run gave.
        target: the output that is looked at; None for whether there is an error,
        failure: which is like this one.
    """

    rooms: Rooms
    request: Request
    compared: _Compared
    wanted: dict[tuple[str, str], str]
    watcher: Watcher
    target: tuple[str, str] | None = None
    failure: MlwrightError | None = None

    def culprit(self) -> Culprit:
        good, bad, changed = self.compared.good, self.compared.bad, self.compared.changed
        outputs, error = self._run_whole(())
        if error is not None or self._first_other(outputs) is not None:
            raise WorkFailed(
                f"run {short(good.id)} does not come out again with its own packages",
                hint=f"look where it differs: mlwright runs reproduce {short(good.id)}",
            ) from error
        outputs, self.failure = self._run_whole(changed)
        self.target = None if self.failure is not None else self._first_other(outputs)
        if self.failure is None and self.target is None:
            return Culprit(good, bad, "", len(changed))
        names = in_order(list(changed), self._requires())
        found = bisect(names, lambda count: self._judge(names[:count]))
        alone = self._judge(found.suspects)[0]
        return Culprit(
            good,
            bad,
            "/".join(self.target) if self.target else str(self.failure),
            len(changed),
            tuple(changed[name] for name in found.suspects),
            alone,
            found.tried,
        )

    def _judge(self, names: Collection[str]) -> tuple[Outcome, str]:
        self.watcher.preparing(f"trying with {counted(len(names), 'package')} changed")
        outputs, error = self._run(names)
        if error is not None:
            alike = self.failure is not None and _likeness(error) == _likeness(self.failure)
            return ("different", "") if alike else ("cannot be had", error.message)
        if self.target is None:
            return "same", ""
        now = outputs.get(self.target, "")
        return ("same" if now == self.wanted[self.target] else "different"), ""

    def _run_whole(self, names: Collection[str]) -> tuple[dict[tuple[str, str], str], MlwrightError | None]:
        """As `_run`, with the packages that one of the two runs had: they were to be had once.

        Raises:
            Unavailable: they cannot be had.
        """
        outputs, error = self._run(names)
        if isinstance(error, Unavailable):
            raise error
        return outputs, error

    def _run(self, names: Collection[str]) -> tuple[dict[tuple[str, str], str], MlwrightError | None]:
        """What comes out with these packages changed, or the error that ends it."""
        try:
            locks = {name: self._lock(*texts, names) for name, texts in self.compared.texts.items()}
            run, error = Pipelines(self.rooms).run(replace(self.request, locks=locks), self.watcher)
        except Cancelled:
            raise
        except MlwrightError as refused:
            return {}, refused
        return outputs_of(self.rooms, run), error

    def _lock(self, python: str, good: bytes, bad: bytes, names: Collection[str]) -> Lock:
        text = mixed(good, bad, names) if names else good
        return make_lock(text, self.rooms.objects.put(text).digest, python)

    def _first_other(self, outputs: Mapping[tuple[str, str], str]) -> tuple[str, str] | None:
        """Where the outputs part from those of the good run, in the order of the graph."""
        return next((key for key, digest in self.wanted.items() if outputs.get(key) != digest), None)

    def _requires(self) -> dict[str, tuple[str, ...]]:
        """What the packages of the bad run require, in any of its environments."""
        found: dict[str, tuple[str, ...]] = {}
        for python, _, bad in self.compared.texts.values():
            lock = make_lock(bad, self.rooms.objects.put(bad).digest, python)
            for name, required in self.rooms.environments.build(lock).inventory.requires.items():
                found[name] = (*found.get(name, ()), *required)
        return found


def _likeness(error: MlwrightError) -> tuple[type[MlwrightError], str, str]:
    """What two errors have in common that have one cause: their class, the step, and what it raised."""
    failed = _FAILED.match(error.message)
    return type(error), *((failed["step"], failed["what"]) if failed else ("", error.message))


def _compared(rooms: Rooms, good: str, bad: str) -> _Compared:
    first, second = rooms.runs.get(good), rooms.runs.get(bad)
    before, after = locks_of(rooms, first), locks_of(rooms, second)
    _refuse_unlike(first, second, before, after)
    texts = {
        name: (lock.python, rooms.environments.text(lock), rooms.environments.text(after.get(name, lock)))
        for name, lock in before.items()
    }
    changed = {
        each.name: each
        for _, good_text, bad_text in texts.values()
        for each in differing(packages_of(good_text), packages_of(bad_text))
    }
    if not changed:
        raise Invalid(
            f"runs {short(first.id)} and {short(second.id)} have the same packages",
            hint=f"look what else differs: mlwright runs diff {short(first.id)} {short(second.id)}",
        )
    return _Compared(first, second, after, texts, changed)


def _refuse_unlike(good: Run, bad: Run, before: Mapping[str, Lock], after: Mapping[str, Lock]) -> None:
    if good.state is not RunState.SUCCEEDED:
        raise Invalid(
            f"run {short(good.id)} {good.state}: the good one must have succeeded",
            hint="mlwright runs list --state succeeded",
        )
    if good.pipeline != bad.pipeline:
        raise Invalid(
            f"run {short(good.id)} is of `{good.pipeline}`, run {short(bad.id)} of `{bad.pipeline}`",
            hint=f"mlwright runs list --pipeline {good.pipeline}",
        )
    for name in sorted(before.keys() | after.keys()):
        # A step of one run that has no environment of its own in the other had the project's there.
        then, now = (each.get(name, each[""]) for each in (before, after))
        if (then.python, then.platform) != (now.python, now.platform):
            raise Incompatible(
                f"the runs had different interpreters: Python {then.python} on {then.platform},"
                f" and Python {now.python} on {now.platform}",
                hint="only packages can be told apart: make the later run again with the earlier interpreter",
            )
