"""Tasks in the process that asks for them, one after the other: for a debugger, which must be there."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from pathlib import Path

from mlwright.compute.executor import Place, Report, Task
from mlwright.kernel.errors import Unavailable
from mlwright.sdk.session import Worker

NAME = "inline"


class InlineExecutor:
    """Runs each task when it is waited for. No time-out, no limit, and no other process is involved.

    Packages come from the environment of the task's place, which must be one of this Python version.
    """

    isolates = False

    def __init__(self) -> None:
        self._waiting: deque[Task] = deque()
        self._workers: dict[Place, Worker] = {}
        self._path = list(sys.path)
        self._folder = Path.cwd()

    def warm(self, python: Path) -> None:
        """Nothing: the process is there."""

    def has_room(self, place: Place, *, brief: bool = False) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def submit(self, task: Task) -> None:
        """Take a task."""
        if task.place not in self._workers:
            packages = _packages(task.place.python)
            sys.path.insert(0, str(packages))
            self._workers[task.place] = Worker(NAME, alone=False)
            self._workers[task.place].enter(str(task.place.code))
        self._waiting.append(task)

    def wait(self, timeout_s: float | None = None) -> list[Report]:
        """Run the next task, however long that takes.

        Raises:
            KeyboardInterrupt: Ctrl-C in a task is for who waits.
        """
        if not self._waiting:
            return []
        task = self._waiting.popleft()
        began = time.monotonic()
        answer = self._workers[task.place].answer(task.frame)
        if answer.head.get("error", {}).get("type") == "KeyboardInterrupt":
            raise KeyboardInterrupt
        ran_s = time.monotonic() - began
        return [Report(task.id, answer.head["state"], answer.head, answer.parts, ran_s, NAME)]

    def worker_of(self, task: str) -> str:
        """This process, for every task."""
        return NAME

    def close(self) -> None:
        """Forget the modules of the user's code, so that a later run imports them as they are then."""
        self._waiting.clear()
        roots = tuple(f"{place.code}{os.sep}" for place in self._workers)
        for name, module in list(sys.modules.items()):
            if roots and str(getattr(module, "__file__", None)).startswith(roots):
                del sys.modules[name]
        sys.path[:] = self._path
        with contextlib.suppress(OSError):  # it may be gone by now
            os.chdir(self._folder)


def _packages(python: Path) -> Path:
    """Where an environment keeps its packages.

    Raises:
        Unavailable: it has none for this version of Python.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = python.parent.parent / "lib" / version / "site-packages"
    if not packages.is_dir():
        raise Unavailable(
            f"the environment has no packages for this process, which is {version}",
            where=str(python),
            hint="run mlwright with the environment's Python version, or use the local executor",
        )
    return packages
