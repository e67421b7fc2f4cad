"""Trials: the project with other packages, in a place aside. Its tests and its pipeline run there, and what
changed is told; the project stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from mlwright.compute import this_machine
from mlwright.compute.process import cause_of_death, start_python
from mlwright.environments import Environment, Lock
from mlwright.kernel.errors import Cancelled, MlwrightError, Unavailable, WorkFailed
from mlwright.kernel.ids import short
from mlwright.storage import check_out
from mlwright.tracking import Run, RunFilter, RunState
from mlwright.workflow.aside import Opener, restore_run, trial_folder
from mlwright.workflow.compare import RunComparison, compared, side_of
from mlwright.workflow.detail import logs
from mlwright.workflow.pipelines import Pipelines
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import Watcher

_WARNING = re.compile(r"^(?:.*:\d+: )?(?P<said>\w*Warning: .*)$", re.MULTILINE)
_TOLD_LINES = 20
_NO_TESTS = 5
"""What pytest ends with when it finds none. Source: pytest, ExitCode.NO_TESTS_COLLECTED."""


_OWN_CODE = frozenset({"pipeline", "script", "notebook"})
_LOOKED_AT = 100


class Tested(Struct, frozen=True):
    """What became of the project's tests.

    Args:
        told: the end of what pytest printed; or why nothing was run.
    """

    verdict: Literal["passed", "failed", "not run"]
    told: str


class Trial(Struct, frozen=True):
    """The project as it is, beside the project with other packages.

    Args:
        folder: where it was tried.
        comparison: of the two runs; None without a pipeline, or when it could not begin there.
        warnings: that the pipeline gives there, and does not give here.
        error: what ended the run there, or did not let it begin.
    """

    folder: Path
    tested: Tested
    comparison: RunComparison | None = None
    warnings: tuple[str, ...] = ()
    error: MlwrightError | None = None

    @property
    def ran(self) -> bool:
        """Whether tests or a pipeline said anything."""
        return self.tested.verdict != "not run" or self.comparison is not None or self.error is not None

    @property
    def passed(self) -> bool:
        """Whether something was run, and nothing broke; results may differ all the same."""
        return self.ran and self.error is None and self.tested.verdict != "failed"


def request_to_try(rooms: Rooms, pipeline: str = "") -> Request | None:
    """What is run on both sides: the newest success, as it was asked for, with today's code.

    Args:
        pipeline: of this one; by default of any.

    Returns:
        None when nothing has succeeded yet, and nothing is named.
    """
    wanted = RunFilter(pipeline=pipeline or None, state=RunState.SUCCEEDED, limit=_LOOKED_AT)
    newest = next((run for run in rooms.runs.list(wanted) if run.kind in _OWN_CODE), None)
    if newest is None:
        return Request(pipeline, {}) if pipeline else None
    return Request(newest.pipeline, rooms.runs.parameters(newest.id), newest.seed)


def run_trial(
    rooms: Rooms,
    request: Request | None,
    files: Mapping[str, bytes],
    lock_of: Callable[[str], Lock],
    opener: Opener,
    watcher: Watcher,
) -> Trial:
    """Run a pipeline here, from the cache where that has it, and with other packages aside; compare the two.

    Args:
        rooms: the project's.
        request: the pipeline, a script or a notebook; None for the project's tests alone.
        files: what stands in place of the project's own files there: `pyproject.toml`, `uv.lock`.
        lock_of: the lock that an environment would have, by its name. A script that says itself what it
            needs keeps its own.
        opener: opens the project aside.

    Raises:
        WorkFailed: the pipeline fails as the project is now: nothing can be compared.
        Unavailable: a package cannot be had.
        Conflict: another trial goes on.
    """
    with trial_folder(rooms, "latest") as folder:
        before = None if request is None else _run_here(rooms, request, watcher)
        if before is None:
            check_out(rooms.objects, rooms.snapshots.tree(rooms.snapshots.take()), folder)
            fresh, again = opener(folder), None
        else:
            fresh, again = restore_run(rooms, before, folder, opener)
        try:
            for name, content in files.items():
                (folder / name).write_bytes(content)
            tested = run_tests(folder, _with_pytest(fresh, rooms, lock_of), watcher)
            if before is None or again is None:
                return Trial(folder, tested)
            own = rooms.environments.of_script(again.pipeline) if again.kind == "script" else None
            locks = {name: lock_of(name) for name in again.locks} if own is None else {"": own}
            return _compared(rooms, before, fresh, replace(again, locks=locks), tested, watcher)
        finally:
            fresh.workspace.close()


def _compared(
    rooms: Rooms, before: Run, fresh: Rooms, request: Request, tested: Tested, watcher: Watcher
) -> Trial:
    """Run the pipeline in the place aside, beside the run that was made here."""
    folder = fresh.project.root
    for lock in request.locks.values():
        fresh.environments.adopt(lock, rooms.objects)
    try:
        after, error = Pipelines(fresh).run(request, watcher)
    except (Cancelled, Unavailable):
        raise  # neither is said by the packages
    except MlwrightError as refused:
        return Trial(folder, tested, error=refused)
    comparison = compared(side_of(rooms, before), side_of(fresh, after))
    new = _warnings(fresh, after) - _warnings(rooms, before)
    return Trial(folder, tested, comparison, tuple(sorted(new)), error)


def _run_here(rooms: Rooms, request: Request, watcher: Watcher) -> Run:
    run, error = Pipelines(rooms).run(replace(request, replay=True), watcher)
    if error is not None:
        raise WorkFailed(
            f"`{request.pipeline}` fails with the packages that the project has: {error.message}",
            hint=f"mend that first: mlwright runs show {short(run.id)}",
        )
    return run


def run_tests(folder: Path, environment: Environment | None, watcher: Watcher) -> Tested:
    """The project's tests, in one of its environments.

    Args:
        folder: of the project.
        environment: one that has pytest; None if none has.
    """
    if environment is None:
        return Tested(
            "not run", 'no environment of the project has pytest: [dependency-groups] dev = ["pytest"]'
        )
    watcher.preparing("running the project's tests")
    words = folder / ".mlwright" / "local" / "tests.log"
    words.parent.mkdir(parents=True, exist_ok=True)
    with words.open("wb") as file:
        process = start_python(
            environment.python,
            "mlwright.sdk.tester",
            [str(folder), "-q", "-p", "no:cacheprovider"],
            cpus=this_machine().cpus,
            words=file,
            pass_fds=[],
        )
        try:
            status = process.wait()
        finally:
            process.kill()
    told = "\n".join(words.read_text(errors="replace").rstrip().splitlines()[-_TOLD_LINES:])
    if status == _NO_TESTS:
        return Tested("not run", "pytest finds no tests in the project")
    if status < 0:
        told = f"{told}\n{cause_of_death(status)}".lstrip()
    return Tested("failed" if status else "passed", told)


def _with_pytest(fresh: Rooms, rooms: Rooms, lock_of: Callable[[str], Lock]) -> Environment | None:
    """The first environment of the project aside that has pytest, built."""
    for name in ("", *fresh.environments.names()):
        lock = lock_of(name)
        if b'name = "pytest"\n' in rooms.environments.text(lock):
            fresh.environments.adopt(lock, rooms.objects)
            return fresh.environments.build(lock)
    return None


def _warnings(rooms: Rooms, run: Run) -> set[str]:
    """What the steps of a run printed that Python's `warnings` begin with; where it was said is left out."""
    return {found["said"] for _, text in logs(rooms, run.id) for found in _WARNING.finditer(text)}
