"""Warm worker processes on this machine."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import selectors
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from msgspec import Struct, field
from msgspec.structs import replace

from mlwright.compute.executor import Place, Report, State, Task
from mlwright.compute.limits import KillCounts, MemoryGroup, kill_counts, killer, open_group
from mlwright.compute.process import cause_of_death, start_python
from mlwright.compute.tree import end_tree, engine_mark, has_ended
from mlwright.kernel.errors import Unavailable
from mlwright.kernel.leases import process_start
from mlwright.sdk.frames import CUT_OFF, Frame, FrameReader

_KEPT_WORDS = 2000
_LAST_BREATH_S = 2.0
_CUT_OFF = "it closed the connection to mlwright, a file descriptor that it had not opened"
_NOWHERE = Path()
_AHEAD = 8
"""How many brief tasks a worker may have: enough that it never waits for the engine between two."""


class _Worker(Struct):
    name: str
    token: str
    place: Place
    gpus: tuple[str, ...]
    process: subprocess.Popen[bytes]
    stream: socket.socket
    words: IO[bytes]
    """What the process itself said on its standard error, outside any attempt."""
    group: MemoryGroup | None
    kills: KillCounts
    """As they were when it began."""
    reader: FrameReader = field(default_factory=FrameReader)
    outbox: bytearray = field(default_factory=bytearray)
    tasks: deque[Task] = field(default_factory=deque)
    """The first is the one that runs."""
    began: float = 0.0
    entered: bool = False
    """Whether it has been told where the code lies."""

    def serves(self, place: Place) -> bool:
        return self.place == place or self.place == replace(place, code=_NOWHERE)

    def enter(self, place: Place) -> None:
        if not self.entered:
            self.place, self.entered = place, True
            self.outbox += Frame({"op": "enter", "root": str(place.code)}).encode()

    @property
    def deadline(self) -> float | None:
        if not self.tasks or self.tasks[0].timeout_s is None:
            return None
        return self.began + self.tasks[0].timeout_s

    def report(self, state: State, head: dict[str, Any], parts: tuple[bytes, ...] = ()) -> Report:
        """What became of the task that runs; the next one begins."""
        task, now = self.tasks.popleft(), time.monotonic()
        ran_s, self.began = now - self.began, now
        return Report(task.id, state, head, parts, ran_s, self.name, self.gpus)


class LocalExecutor:
    """Runs tasks in processes started by the interpreter of their place, and keeps those for the next task.

    Args:
        slots: processors that tasks may take together; one that asks for more runs alone.
        memory_bytes: what tasks with a limit may take together; likewise.
        gpus: the GPUs there are, by the names that CUDA_VISIBLE_DEVICES takes.
    """

    isolates = True

    def __init__(self, slots: int, *, memory_bytes: int | None = None, gpus: Sequence[str] = ()) -> None:
        assert slots >= 1
        self.slots = slots
        self._memory_bytes = memory_bytes
        self._gpus = tuple(gpus)
        self._mark = engine_mark(os.getpid(), process_start(os.getpid()))
        self._names = itertools.count(1)
        self._workers: list[_Worker] = []
        """Those that were idle longest stand first."""
        self._found: set[Place] = set()
        self._waiting: deque[Task] = deque()
        self._stillborn: list[Report] = []
        self._selector = selectors.DefaultSelector()

    def warm(self, python: Path) -> None:
        """Start a worker, unless there is one, or none can be started: that is said when a task needs it."""
        if self._workers or not os.access(python, os.X_OK):
            return
        with contextlib.suppress(Unavailable):
            self._spawn(Place(python, _NOWHERE))

    def has_room(self, place: Place, *, brief: bool = False) -> bool:
        """Whether a task would begin at once, or be sent ahead behind brief ones."""
        return not self._waiting and (
            self._fits(place) or (brief and self._behind_brief_ones(place) is not None)
        )

    def submit(self, task: Task) -> None:
        """Queue the task and start what can start."""
        if task.place not in self._found and not os.access(task.place.python, os.X_OK):
            raise Unavailable(
                "the interpreter of an environment is missing, or may not be executed",
                where=str(task.place.python),
                hint="make the environment again: mlwright environments sync",
            )
        self._found.add(task.place)
        self._waiting.append(task)
        self._start_waiting()

    def wait(self, timeout_s: float | None = None) -> list[Report]:
        """Reports of workers that answered, died or ran out of time."""
        reports, self._stillborn = self._stillborn, []
        until = None if timeout_s is None else time.monotonic() + timeout_s
        for each in self._workers:
            if each.outbox:
                self._send(each)
        while not reports and any(worker.tasks for worker in self._workers):
            for key, events in self._selector.select(self._patience(until)):
                if events & selectors.EVENT_WRITE:
                    self._send(key.data)
                if events & selectors.EVENT_READ:
                    reports += self._hear(key.data)
            reports += self._end_overdue()
            if until is not None and time.monotonic() >= until:
                break
        self._start_waiting()
        return reports

    def worker_of(self, task: str) -> str:
        """The name of the worker that runs a task now; empty when none does yet."""
        return next((each.name for each in self._workers if each.tasks and each.tasks[0].id == task), "")

    def close(self) -> None:
        """Kill every worker with all it has started, and wait until it is gone."""
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
            task = self._waiting[0]
            try:
                found = self._worker_for(task)
            except Unavailable as error:
                self._waiting.popleft()
                self._stillborn.append(Report(task.id, "died", {"cause": error.message, "words": ""}))
                continue
            if found is None:
                return
            self._waiting.popleft()
            if not found.tasks:
                found.began = time.monotonic()
                self._workers.remove(found)
                self._workers.append(found)
            found.tasks.append(task)
            found.outbox += task.frame.encode()
            if len(found.tasks) == 1 and not task.brief:
                self._send(found)

    def _worker_for(self, task: Task) -> _Worker | None:
        if self._fits(task.place):
            idle = next((each for each in self._workers if not each.tasks and each.serves(task.place)), None)
            found = idle or self._spawn(task.place)
            found.enter(task.place)
            return found
        return self._behind_brief_ones(task.place) if task.brief else None

    def _fits(self, place: Place) -> bool:
        busy = [each for each in self._workers if each.tasks]
        if not busy:
            return True
        cpus = place.cpus
        for each in busy:
            cpus += each.place.cpus
        if cpus > self.slots:
            return False
        if place.gpus and sum(each.place.gpus for each in busy) + place.gpus > len(self._gpus):
            return False
        if place.memory_bytes is None or self._memory_bytes is None:
            return True
        taken = sum(each.place.memory_bytes or 0 for each in busy)
        return taken + place.memory_bytes <= self._memory_bytes

    def _behind_brief_ones(self, place: Place) -> _Worker | None:
        """The worker with the fewest tasks among those that have only brief ones, and not too many."""
        found = [
            each
            for each in self._workers
            if 0 < len(each.tasks) < _AHEAD and each.place == place and each.tasks[-1].brief
        ]
        return min(found, key=lambda each: len(each.tasks), default=None)

    def _spawn(self, place: Place) -> _Worker:
        idle = [each for each in self._workers if not each.tasks]
        gpus = self._assign(place.gpus)
        for each in idle:
            # What an idle process has on a GPU stays there as long as it lives.
            if set(each.gpus) & set(gpus) or len(self._workers) >= 2 * self.slots:
                self._end(each)
        name, token = f"w{next(self._names)}", secrets.token_hex(8)
        ours, theirs = socket.socketpair()
        words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        try:
            process = start_python(
                place.python,
                "mlwright.sdk.session",
                [str(theirs.fileno()), name],
                cpus=place.cpus,
                words=words,
                pass_fds=[theirs.fileno()],
                memory_bytes=place.memory_bytes,
                gpus=gpus,
                token=f"{self._mark}:{token}",
            )
        except Unavailable:
            ours.close()
            words.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        group = None if place.memory_bytes is None else open_group(token, place.memory_bytes)
        if group is not None and not group.take(process.pid):
            group.remove()
            group = None
        made = _Worker(name, token, place, gpus, process, ours, words, group, kill_counts())
        self._workers.append(made)
        self._selector.register(ours, selectors.EVENT_READ, made)
        return made

    def _assign(self, count: int) -> tuple[str, ...]:
        """GPUs that no busy worker has; those that no idle one has either come first."""
        taken = {gpu for each in self._workers if each.tasks for gpu in each.gpus}
        warm = {gpu for each in self._workers for gpu in each.gpus}
        free = sorted((gpu for gpu in self._gpus if gpu not in taken), key=lambda gpu: gpu in warm)
        return tuple(free[:count])

    def _send(self, each: _Worker) -> None:
        """Send what the worker takes now; the rest when it has read that: neither waits for the other."""
        try:
            sent = each.stream.send(each.outbox)
        except BlockingIOError:
            sent = 0
        except (BrokenPipeError, ConnectionResetError):
            sent = len(each.outbox)  # one that died before it was asked is told by the end of its stream
        del each.outbox[:sent]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if each.outbox else 0)
        if self._selector.get_key(each.stream).events != wanted:
            self._selector.modify(each.stream, wanted, each)

    def _hear(self, speaker: _Worker) -> list[Report]:
        try:
            data = speaker.stream.recv(1 << 16)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            data = b""
        if not data:
            return self._mourn(speaker)
        reports = []
        for frame in speaker.reader.feed(data):
            reports.append(speaker.report(frame.head["state"], frame.head, frame.parts))
            if "retire" in frame.head:
                self._end(speaker)
                break
        return reports

    def _mourn(self, dead: _Worker) -> list[Report]:
        """The worker closed its socket: it is gone, or about to be."""
        ended = has_ended(dead.process.pid, _LAST_BREATH_S)  # or it closed the socket and lives on
        dead.words.seek(0)
        said = dead.words.read()[-_KEPT_WORDS:].decode(errors="replace").strip()
        reports = [dead.report("died", {"words": said})] if dead.tasks else []
        peak = None if dead.group is None else dead.group.peak_bytes()
        killed_by = killer(dead.kills, kill_counts(), dead.group)
        status = self._end(dead)
        cause = cause_of_death(status, killed_by) if ended and status != CUT_OFF else _CUT_OFF
        told: dict[str, Any] = {"cause": cause}
        if peak is not None:
            told["usage"] = {"peak_bytes": peak}
        return [replace(report, head={**report.head, **told}) for report in reports]

    def _end_overdue(self) -> list[Report]:
        now, reports = time.monotonic(), []
        for each in list(self._workers):
            if each.deadline is not None and now >= each.deadline:
                cause = f"it took longer than {each.tasks[0].timeout_s:g} s"
                reports.append(each.report("timed out", {"cause": cause}))
                self._end(each)
        return reports

    def _end(self, each: _Worker) -> int:
        """Kill a worker with all it has started; its exit status, negative for a signal.

        What waited behind its task waits again, in front.
        """
        self._workers.remove(each)
        self._selector.unregister(each.stream)
        each.stream.close()
        end_tree(each.process.pid, each.token)
        each.words.close()
        self._waiting.extendleft(reversed(each.tasks))
        each.tasks.clear()
        status = each.process.wait()
        if each.group is not None:
            each.group.kill()
            each.group.remove()
        return status
