"""Ending a worker process with all that it has started.

While a worker lives, every process it has started is below it, also one that made a session of its own or
whose parent has ended: the worker is their subreaper (`mlwright.sdk.graft`). It is stopped, then what is
below it, until nothing new turns up: what is stopped starts nothing. Then all of them are killed.

Of a worker that has died, the orphans are found by the mark in their environment, or by its session.

Source: proc(5), /proc/PID/stat; prctl(2), PR_SET_CHILD_SUBREAPER.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MARK = "MLWRIGHT_WORKER"
"""The variable that names a worker to what it starts: tokens, those of the workers it is nested in first."""

_PATIENCE_S = 2.0
_PAUSE_S = 0.0005
_DEAD = frozenset("ZX")
_STOPPED = frozenset("Tt")
_PROC = "/proc"


class _Process(NamedTuple):
    pid: int
    state: str
    parent: int
    session: int
    began: int


def end_tree(pid: int, token: str) -> None:
    """Kill a worker and every process it has started; returns when they are gone.

    The worker itself is left to be waited for. Call this before that: later its number may be another's, so
    only what bears its mark is ended then.

    Args:
        pid: a child of this process, started by `start_python`.
        token: what it was marked with.
    """
    tree = _stopped(pid)
    for each in tree:
        _send(each, signal.SIGKILL)
    _await(tree)
    alone = len(tree) == 1 and tree[0].state in _STOPPED
    if not alone:
        tree += _end_orphans(token, pid if tree else 0)
    for each in tree:
        if each.pid != pid:  # ours now if we are what orphans go to, as the first process of a container is
            with contextlib.suppress(ChildProcessError):
                os.waitpid(each.pid, os.WNOHANG)


def engine_mark(pid: int, began: str) -> str:
    """The token that the workers of an engine bear beside their own; `began` is its `process_start`."""
    return f"engine-{pid}-{began}"


def end_marked(token: str) -> None:
    """Kill what bears a worker's mark, the worker included: for one whose engine is gone."""
    _end_orphans(token, 0)


def has_ended(pid: int, within_s: float = 0.0) -> bool:
    """Whether a child of ours has ended, or does so in time; it is still to be waited for."""
    until = time.monotonic() + within_s
    while True:
        try:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
        except ChildProcessError:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE_S)


def _stopped(pid: int) -> list[_Process]:
    """A child and all below it, stopped, parents first; alone if it is dead, empty if it is none of ours."""
    until = time.monotonic() + _PATIENCE_S
    seen_still: set[tuple[int, int]] = set()
    while True:
        # The first look is at the worker alone: where it has started nothing, all processes are read once.
        tree = list(_below(pid)) if seen_still else [each for each in (_look(pid),) if each is not None]
        if not tree or tree[0].parent != os.getpid():
            return []
        if tree[0].state in _DEAD:
            return tree[:1]
        moving = [each for each in tree if each.state not in _DEAD | _STOPPED]
        still = {(each.pid, each.began) for each in tree if each not in moving}
        # Who was still only when it was looked at may have started another after the list was made.
        if (not moving and still <= seen_still) or time.monotonic() > until:
            return tree
        for each in moving:
            _send(each, signal.SIGSTOP)
        if moving:
            time.sleep(_PAUSE_S if seen_still else 0)
        seen_still = still


def _below(pid: int) -> Iterator[_Process]:
    """A process and its descendants, parents first."""
    root = _look(pid)
    if root is None:
        return
    yield root
    listed = os.access(f"{_PROC}/{pid}/task/{pid}/children", os.R_OK)
    by_parent: dict[int, list[_Process]] = {}
    for each in () if listed else _everyone():  # this kernel keeps no lists (CONFIG_PROC_CHILDREN)
        by_parent.setdefault(each.parent, []).append(each)
    known = [root]
    while known:
        parent = known.pop().pid
        found = list(_children(parent)) if listed else by_parent.get(parent, [])
        yield from found
        known += found


def _children(parent: int) -> Iterator[_Process]:
    for thread in _listed(f"{_PROC}/{parent}/task"):
        for number in _read(f"{_PROC}/{parent}/task/{thread}/children").split():
            if (each := _look(int(number))) is not None:
                yield each


def _end_orphans(token: str, session: int) -> list[_Process]:
    """Kill what bears the mark or is of the session, until there is nothing left; what that was."""
    until = time.monotonic() + _PATIENCE_S
    killed: list[_Process] = []
    while True:
        orphans = [each for each in _everyone() if each.state not in _DEAD and _belongs(each, token, session)]
        for each in orphans:
            _send(each, signal.SIGKILL)
        _await(orphans)  # one that is dying has no environment any more, and is still there
        killed += orphans
        if not orphans or time.monotonic() > until:
            return killed


def _belongs(each: _Process, token: str, session: int) -> bool:
    if session and each.session == session:
        return True
    if not token or each.pid == os.getpid():
        return False
    mark = f"\0{MARK}=".encode()
    _, found, rest = (b"\0" + _read(f"{_PROC}/{each.pid}/environ")).partition(mark)
    return bool(found) and token.encode() in rest.partition(b"\0")[0].split(b":")


def _await(processes: Iterable[_Process]) -> None:
    """Until they are gone, or zombies: their memory and their devices are free then."""
    until = time.monotonic() + _PATIENCE_S
    for each in processes:
        while (now := _look(each.pid)) is not None and now.began == each.began and now.state not in _DEAD:
            if time.monotonic() > until:
                return
            time.sleep(_PAUSE_S)


def _send(each: _Process, number: int) -> None:
    """The number of one that has ended may be another's by now; that of one that is stopped is not."""
    now = _look(each.pid)
    if now is not None and now.began == each.began:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(each.pid, number)


def _everyone() -> Iterator[_Process]:
    for name in _listed(_PROC):
        if name.isdigit() and (each := _look(int(name))) is not None:
            yield each


def _look(pid: int) -> _Process | None:
    # The name of a program may hold spaces and brackets: fields are counted from the last one on.
    fields = _read(f"{_PROC}/{pid}/stat").rpartition(b")")[2].split()
    if not fields:
        return None
    return _Process(pid, fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


def _listed(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def _read(path: str) -> bytes:
    """What a file of /proc says; nothing if its process is gone or another user's."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path for each would double the time
            return file.readall()
    except OSError:
        return b""
