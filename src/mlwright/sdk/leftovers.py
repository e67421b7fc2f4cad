"""What a step has left in the process it ran in: the next one shall not find it there."""

from __future__ import annotations

import contextlib
import os
import sys
from types import ModuleType

_STREAMS = ("stdin", "stdout", "stderr")


class Leftovers:
    """Knows what was there at first, and tells what is new. For a process that is ours alone: it reaps."""

    def __init__(self) -> None:
        threading = _threading()
        self._threads = frozenset(threading.enumerate() if threading else ())
        self._streams = tuple(getattr(sys, name) for name in _STREAMS)

    def found(self) -> str:
        """What is there beyond what was, as `2 threads and 1 child process`; empty for nothing.

        Children that have ended are reaped and do not count. Threads of native libraries (OpenMP, BLAS) do
        not count either: they wait for work, and do none of their own.
        """
        told = []
        if threads := self._new_threads():
            told.append("1 thread" if threads == 1 else f"{threads} threads")
        if children := _living_children():
            told.append("1 child process" if children == 1 else f"{children} child processes")
        for name, stream in zip(_STREAMS, self._streams, strict=True):
            if stream is None:
                continue
            if stream.closed:
                told.append(f"a closed sys.{name}")
            elif getattr(sys, name, None) is not stream:
                told.append(f"another sys.{name}")
        return " and ".join(told)

    def _new_threads(self) -> int:
        threading = _threading()
        if threading is None:
            return 0
        new = set(threading.enumerate()) - self._threads - {threading.main_thread()}
        # A dummy stands for a native thread that once called into Python, and may have ended long ago.
        return sum(not isinstance(each, threading._DummyThread) for each in new)


def _threading() -> ModuleType | None:
    """The module, if somebody has imported it: without it there are no threads."""
    return sys.modules.get("threading")


def _living_children() -> int:
    """How many there are: ours, and those whose own parent has ended (`mlwright.sdk.graft`)."""
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if not ended:
            return max(1, _counted())


def _counted() -> int:
    """Source: proc(5), /proc/PID/stat: behind the program's name stand its state and its parent."""
    mine, found = str(os.getpid()).encode(), 0
    with contextlib.suppress(FileNotFoundError), os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                with contextlib.suppress(OSError), open(f"{entry.path}/stat", "rb") as file:  # noqa: PTH123
                    found += file.read().rpartition(b")")[2].split()[1] == mine
    return found
