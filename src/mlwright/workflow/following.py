"""Following a run that a server executes to its end, as if it were executed here."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mlwright.kernel.errors import Cancelled, MlwrightError, WorkFailed
from mlwright.kernel.ids import short
from mlwright.tracking import Run, RunState
from mlwright.workflow.attempts import AttemptState
from mlwright.workflow.cancel import until_ended
from mlwright.workflow.detail import RunDetail
from mlwright.workflow.group import Group, groups_of
from mlwright.workflow.runs_api import cancel_run, show_run
from mlwright.workflow.watch import NodeView, RunView, Watcher

if TYPE_CHECKING:
    from mlwright.app import Project

_PAUSE_S = 0.3
_SHARE = 10
"""Looking takes at most this part of the time."""


def follow_to_end(
    project: Project, run: Run, watcher: Watcher, pause: Callable[[float], object] = time.sleep
) -> tuple[RunDetail, MlwrightError | None]:
    """Show how a run goes until it has ended. Ctrl-C, or a signal, cancels it there.

    Args:
        project: of the server.
        pause: waits between two looks.

    Returns:
        The run in its terminal state, and what failed.

    Raises:
        Cancelled: by Ctrl-C or a signal.
        TimedOut: it did not end then.
        Unavailable: the server answers no more; the run goes on there.
    """
    view: RunView | None = None
    try:
        while True:
            began = time.monotonic()
            detail = show_run(project, run.id)
            if view is None and detail.run.state is RunState.SCHEDULED:
                watcher.preparing(f"run {short(run.id)} of {run.pipeline} is scheduled")
            elif view is None:
                view = RunView(detail.run)
                watcher.began(view)
            if view is not None:
                _tell(view, detail, watcher)
            if detail.run.state.ended:
                return detail, error_of_end(detail.run)
            pause(max(_PAUSE_S, _SHARE * (time.monotonic() - began)))
    except (KeyboardInterrupt, Cancelled) as interrupt:
        with suppress(MlwrightError):  # it may have ended by itself
            cancel_run(project, run.id)
        ended = until_ended(lambda: show_run(project, run.id).run, pause=pause)
        number = interrupt.exit_code - 128 if isinstance(interrupt, Cancelled) else 2
        said = "was cancelled" if ended.state is RunState.CANCELLED else f"{ended.state} before that"
        hint = ended.go_on if ended.state is not RunState.SUCCEEDED else None
        raise Cancelled(f"run {short(run.id)} {said}", signal_number=number, hint=hint) from interrupt


def error_of_end(run: Run) -> MlwrightError | None:
    """What a command that followed a run to its end fails with; nothing if the run succeeded."""
    if run.state is RunState.SUCCEEDED:
        return None
    if run.state is RunState.CANCELLED:
        return Cancelled(f"run {short(run.id)} was cancelled", signal_number=15, hint=run.go_on)
    told = run.error or {"message": f"run {short(run.id)} {run.state}"}
    error = WorkFailed(told["message"], where=told.get("where"), hint=told.get("hint"))
    error.exit_code = told.get("exit_code", error.exit_code)
    return error


def _tell(view: RunView, detail: RunDetail, watcher: Watcher) -> None:
    """Tell a watcher what has changed since the last look."""
    view.run = detail.run
    for group in groups_of(each.attempt for each in detail.attempts):
        known = view.nodes.get(group.name)
        now = _mapped(group) if group.mapped else _node(group)
        now.began = time.monotonic() if known is None else known.began
        if known is None or known != now:
            view.nodes[group.name] = now
            watcher.changed(view, now)


def _node(group: Group) -> NodeView:
    (latest,) = group.latest
    note = latest.detail.get("note", "")
    return NodeView(
        group.name, latest.state, seconds=latest.wall_s, note=note, number=latest.number, worker=latest.worker
    )


def _mapped(group: Group) -> NodeView:
    counts = group.counts
    reused = counts.get(AttemptState.REUSED, 0)
    failed = counts.get(AttemptState.FAILED, 0)
    done = counts.get(AttemptState.SUCCEEDED, 0) + reused
    view = NodeView(group.name, AttemptState.RUNNING, items=group.elements, done=done, reused=reused)
    if group.waiting or counts.get(AttemptState.RUNNING, 0):
        return replace(view, failed=failed)
    state = AttemptState.FAILED if failed else AttemptState.SUCCEEDED
    return replace(view, failed=failed, state=AttemptState.REUSED if done == reused and done else state)
