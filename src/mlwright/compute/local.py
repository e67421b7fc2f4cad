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
from typing import IO, Any

from mlwright.compute.executor import Place, Report, State, Task
from mlwright.compute.process import cause_of_death, start_python
from mlwright.kernel.errors import Unavailable
from mlwright.sdk.frames import FrameReader

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

    def report(self, state: State, head: dict[str, Any], parts: tuple[bytes, ...] = ()) -> Report:
        """What became of the task it has."""
        assert self.task is not None
        waited_s, ran_s = self.began - self.submitted, time.monotonic() - self.began
        return Report(self.task.id, state, head, parts, waited_s, ran_s)


class LocalExecutor:
    """Runs tasks in processes started by the interpreter of their place, and keeps those for the next task.

    Args:
        slots: how many tasks run at once.
    """

    def __init__(self, slots: int) -> None:
        assert slots >= 1
        self.slots = slots
        self._workers: list[_Worker] = []
        self._waiting: deque[tuple[Task, float]] = deque()
        self._stillborn: list[Report] = []
        self._selector = selectors.DefaultSelector()

    def submit(self, task: Task) -> None:
        """Queue the task and start what can start."""
        if not os.access(task.place.python, os.X_OK):
            raise Unavailable(
                "the interpreter of an environment is missing, or may not be executed",
                where=str(task.place.python),
                hint="make the environment again: mlwright environments sync",
            )
        self._waiting.append((task, time.monotonic()))
        self._start_waiting()

    def wait(self, timeout_s: float | None = None) -> list[Report]:
        """Reports of workers that answered, died or ran out of time."""
        reports, self._stillborn = self._stillborn, []
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
            try:
                idle = self._free(task.place)
            except Unavailable as error:
                self._waiting.popleft()
                self._stillborn.append(Report(task.id, "died", {"cause": error.message, "words": ""}))
                continue
            if idle is None:
                return
            self._waiting.popleft()
            idle.task, idle.submitted, idle.began = task, submitted, time.monotonic()
            # One that died before it was asked is told by the end of its stream.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                idle.stream.sendall(task.frame.encode())

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
        try:
            process = start_python(
                place.python,
                "mlwright.sdk.session",
                [str(theirs.fileno()), str(place.code)],
                cpus=place.cpus,
                words=words,
                pass_fds=[theirs.fileno()],
            )
        except Unavailable:
            ours.close()
            words.close()
            raise
        finally:
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
            reports.append(speaker.report(frame.head["state"], frame.head, frame.parts))
            speaker.task = None
        return reports

    def _mourn(self, dead: _Worker) -> list[Report]:
        """The worker closed its socket: it is gone, or about to be."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # it closed the socket and lives on
            dead.process.wait(timeout=_LAST_BREATH_S)
        dead.words.seek(0)
        said = dead.words.read()[-_KEPT_WORDS:].decode(errors="replace").strip()
        status = self._end(dead)
        return [dead.report("died", {"cause": cause_of_death(status), "words": said})] if dead.task else []

    def _end_overdue(self) -> list[Report]:
        now, reports = time.monotonic(), []
        for each in list(self._workers):
            if each.task is not None and each.deadline is not None and now >= each.deadline:
                cause = f"it took longer than {each.task.timeout_s:g} s"
                reports.append(each.report("timed out", {"cause": cause}))
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
