"""Warm worker processes on this machine, one for each slot that is used."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mlwright.compute.executor import Place, Report, Task
from mlwright.sdk import worker
from mlwright.sdk.frames import FrameReader

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_KEPT_WORDS = 2000
_LAST_BREATH_S = 2.0


@dataclass(slots=True)
class _Worker:
    place: Place
    process: subprocess.Popen[bytes]
    stream: socket.socket
    words: IO[bytes]
    """What the process itself said on its standard error, outside any attempt."""
    reader: FrameReader = field(default_factory=FrameReader)
    task: Task | None = None
    submitted: float = 0.0
    began: float = 0.0

    @property
    def deadline(self) -> float | None:
        if self.task is None or self.task.timeout_s is None:
            return None
        return self.began + self.task.timeout_s


class LocalExecutor:
    """Runs tasks in processes started by the interpreter of their place, and keeps those for the next task.

    Args:
        slots: how many tasks run at once.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._workers: list[_Worker] = []
        self._waiting: deque[tuple[Task, float]] = deque()
        self._selector = selectors.DefaultSelector()

    def submit(self, task: Task) -> None:
        """Queue the task and start what can start."""
        self._waiting.append((task, time.monotonic()))
        self._start_waiting()

    def wait(self, timeout_s: float | None = None) -> list[Report]:
        """Reports of workers that answered, died or ran out of time."""
        reports: list[Report] = []
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not reports and any(worker.task for worker in self._workers):
            for key, _ in self._selector.select(self._patience(until)):
                reports += self._hear(key.data)
            reports += self._end_overdue()
            if until is not None and time.monotonic() >= until:
                break
        self._start_waiting()
        return reports

    def close(self) -> None:
        """Kill every worker with its process group, and wait until it is gone."""
        self._waiting.clear()
        for each in list(self._workers):
            self._end(each)
        self._selector.close()

    def _patience(self, until: float | None) -> float | None:
        moments = [each.deadline for each in self._workers if each.deadline is not None]
        if until is not None:
            moments.append(until)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _start_waiting(self) -> None:
        while self._waiting:
            task, submitted = self._waiting[0]
            idle = self._free(task.place)
            if idle is None:
                return
            self._waiting.popleft()
            idle.task, idle.submitted, idle.began = task, submitted, time.monotonic()
            try:
                idle.stream.sendall(task.frame.encode())
            except BrokenPipeError:
                continue  # it died before it was asked; the end of its stream says so

    def _free(self, place: Place) -> _Worker | None:
        idle = [each for each in self._workers if each.task is None]
        for each in idle:
            if each.place == place:
                return each
        if len(self._workers) >= self.slots:
            if not idle:
                return None
            self._end(idle[0])
        return self._spawn(place)

    def _spawn(self, place: Place) -> _Worker:
        ours, theirs = socket.socketpair()
        words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        package = str(Path(worker.__file__).parents[1])
        process = subprocess.Popen(
            [str(place.python), "-P", "-s", worker.__file__, package, str(theirs.fileno()), str(place.code)],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            pass_fds=[theirs.fileno()],
            env=_environment(place),
            cwd="/",
            start_new_session=True,
        )
        theirs.close()
        made = _Worker(place, process, ours, words)
        self._workers.append(made)
        self._selector.register(ours, selectors.EVENT_READ, made)
        return made

    def _hear(self, speaker: _Worker) -> list[Report]:
        try:
            data = speaker.stream.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            return self._mourn(speaker)
        reports = []
        for frame in speaker.reader.feed(data):
            assert speaker.task is not None
            task, speaker.task = speaker.task, None
            reports.append(
                Report(
                    task.id,
                    frame.head["state"],
                    frame.head,
                    frame.parts,
                    speaker.began - speaker.submitted,
                    time.monotonic() - speaker.began,
                )
            )
        return reports

    def _mourn(self, dead: _Worker) -> list[Report]:
        """The worker closed its socket: it is gone, or about to be."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # it closed the socket and lives on
            dead.process.wait(timeout=_LAST_BREATH_S)
        dead.words.seek(0)
        said = dead.words.read()[-_KEPT_WORDS:].decode(errors="replace").strip()
        task, status = dead.task, self._end(dead)
        if task is None:
            return []
        head = {"cause": _cause(status), "words": said}
        return [Report(task.id, "died", head, ran_s=time.monotonic() - dead.began)]

    def _end_overdue(self) -> list[Report]:
        now, reports = time.monotonic(), []
        for each in list(self._workers):
            if each.task is not None and each.deadline is not None and now >= each.deadline:
                cause = f"it took longer than {each.task.timeout_s:g} s"
                reports.append(Report(each.task.id, "timed out", {"cause": cause}, ran_s=now - each.began))
                self._end(each)
        return reports

    def _end(self, each: _Worker) -> int:
        """Kill a worker with its process group; its exit status, negative for a signal."""
        self._workers.remove(each)
        self._selector.unregister(each.stream)
        each.stream.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.words.close()
        return each.process.wait()


def _cause(status: int) -> str:
    if status >= 0:
        return f"its process ended itself with status {status}"
    name = signal.Signals(-status).name
    reasons = {"SIGSEGV": " (a crash in native code)", "SIGKILL": " (killed: out of memory, or by hand)"}
    return f"its process was ended by {name}{reasons.get(name, '')}"


def _environment(place: Place) -> dict[str, str]:
    """The caller's variables, less what would change how Python runs, plus what makes runs repeatable."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("PYTHON") and key != "VIRTUAL_ENV"
    }
    return kept | {"PYTHONHASHSEED": "0", **dict.fromkeys(_THREADS, str(place.cpus))}
