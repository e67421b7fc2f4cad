"""What the steps of a run print, while they print it.

What a running attempt has printed so far stands in its worker's file; when it has ended it is an object. The
records lag a little behind: what stands in the file may already be the next attempt's. So what was read is
told one look later, if the attempt is still recorded as running then; and if it turns out to have been
another's after all, it counts as told for the attempt that goes on with the same file.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator

from msgspec import Struct, field

from mlwright.kernel.clock import now_us
from mlwright.kernel.ids import AttemptId, short
from mlwright.sdk.workplace import LOG
from mlwright.tracking import Run
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.detail import log_of
from mlwright.workflow.group import attempts_at, element_of
from mlwright.workflow.rooms import Rooms

_PAUSE_S = 0.25
_SLACK_US = 10_000_000
"""Attempts are looked at again that ended so long ago: clocks are set, and records lag behind."""
_READ_BYTES = 1 << 20
_LEFT_OUT = re.compile(rb"\n\.\.\. ([0-9,]+) bytes are left out: a log keeps [0-9]+ MiB \.\.\.\n")


def follow(
    rooms: Rooms, reference: str, step: str | None = None, pause: Callable[[float], object] = time.sleep
) -> Iterator[tuple[Attempt, str]]:
    """The lines that the steps of a run print, each once, until the run has ended and all is told.

    Args:
        rooms: where it is recorded.
        reference: the run.
        step: only of this one; of a mapped one all elements (`fit`), or one of them (`fit[3]`).
        pause: waits between two looks.

    Raises:
        NotFound: no such run, or the run has ended and had no such step.
    """
    run = rooms.runs.get(reference)
    with Follower(rooms, run, step) as follower:
        while True:
            # Asked before the attempts are looked at: what has ended has recorded them all.
            over = rooms.runs.get(run.id).state.ended
            yield from follower.look()
            if over:
                break
            pause(_PAUSE_S)
    if step is not None:
        attempts_at(rooms.attempts.of_run(run.id), step, short(run.id))


class LineSplitter(Struct):
    """Takes bytes as they come and gives whole lines, as `str.splitlines` would of all together."""

    _rest: bytes = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are whole now."""
        data = self._rest + data
        # Behind a line feed, or a carriage return without one: no letter and no line end lies across.
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1
        self._rest = data[cut:]
        return data[:cut].decode(errors="replace").splitlines()

    def end(self) -> list[str]:
        """What is left, whole or not."""
        rest, self._rest = self._rest, b""
        return rest.decode(errors="replace").splitlines()


class _Tail(Struct):
    """The file of a running attempt, as far as it was read, and what of that was told.

    The file stays open: it can still be read when it was moved or taken away.
    """

    worker: str
    descriptor: int
    told_bytes: int = 0
    told: hashlib.blake2b = field(default_factory=hashlib.blake2b)
    unsure: bytes = b""
    lines: LineSplitter = field(default_factory=LineSplitter)

    def read(self) -> None:
        """Read on from what was told; what comes is not told before it is sure whose it is."""
        self.unsure = os.pread(self.descriptor, _READ_BYTES, self.told_bytes)

    def tell(self) -> list[str]:
        """The lines of what was read before."""
        data, self.unsure = self.unsure, b""
        self.told.update(data)
        self.told_bytes += len(data)
        return self.lines.feed(data)

    def tell_rest(self, log: bytes) -> list[str]:
        """The lines of a whole log that were not told."""
        return self.lines.feed(rest_of(log, self.told_bytes)) + self.lines.end()

    def began(self, log: bytes) -> bool:
        """Whether what was told is the beginning of a log."""
        gap = _gap_in(log)
        if gap is not None and gap.start() < self.told_bytes:
            return True  # what is left out cannot be compared
        return hashlib.blake2b(log[: self.told_bytes]).digest() == self.told.digest()

    def tell_file(self) -> list[str]:
        """All that the file still has: nobody writes to it any more."""
        self.unsure = b""
        told = []
        while data := os.pread(self.descriptor, _READ_BYTES, self.told_bytes):
            self.told_bytes += len(data)
            told += self.lines.feed(data)
        return told + self.lines.end()


class Follower:
    """Follows the steps of one run. Use it as a context manager: it keeps files open.

    Args:
        step: as `follow` takes it.
    """

    def __init__(self, rooms: Rooms, run: Run, step: str | None = None) -> None:
        self._rooms = rooms
        self._run = run
        self._step = step
        self._scratch = rooms.workspace.scratch / run.id
        self._tails: dict[AttemptId, _Tail] = {}
        self._strays: dict[str, _Tail] = {}
        self._over: set[AttemptId] = set()
        self._since_us = 0

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        for tail in [*self._tails.values(), *self._strays.values()]:
            os.close(tail.descriptor)

    def look(self) -> Iterator[tuple[Attempt, str]]:
        """What is new since the last look, line by line."""
        attempts = self._rooms.attempts.since(self._run.id, self._since_us)
        self._since_us = now_us() - _SLACK_US
        if self._step is not None:
            attempts = [each for each in attempts if self._step in {each.node, element_of(each.node)[0]}]
        # Those that ended first: what they did not print belongs to who runs in their worker now.
        for attempt in attempts:
            if attempt.state is not AttemptState.RUNNING and attempt.id not in self._over:
                self._over.add(attempt.id)
                yield from ((attempt, line) for line in self._ended(attempt))
        for attempt in attempts:
            if attempt.state is AttemptState.RUNNING:
                yield from ((attempt, line) for line in self._running(attempt))

    def _running(self, attempt: Attempt) -> list[str]:
        tail = self._tails.get(attempt.id) or self._open(attempt)
        if tail is None:
            return []
        self._tails[attempt.id] = tail
        told = tail.tell()
        tail.read()
        return told

    def _ended(self, attempt: Attempt) -> list[str]:
        tail = self._tails.pop(attempt.id, None)
        log = log_of(self._rooms, attempt)
        if log is None and attempt.state is AttemptState.LOST:
            # Nobody was there to keep what it printed.
            tail = tail or self._open(attempt)
            told = [] if tail is None else tail.tell_file()
        else:
            log = log or b""
            if tail is not None and not tail.began(log):
                self._put_aside(tail)
                tail = None
            if tail is None and (stray := self._strays.get(attempt.worker)) and stray.began(log):
                tail = self._strays.pop(attempt.worker)
            told = log.decode(errors="replace").splitlines() if tail is None else tail.tell_rest(log)
        if tail is not None:
            os.close(tail.descriptor)
        return told

    def _put_aside(self, tail: _Tail) -> None:
        """What was told of it was another's, who will be found to have the same worker."""
        tail.unsure = b""
        if (other := self._strays.pop(tail.worker, None)) is not None:
            os.close(other.descriptor)
        self._strays[tail.worker] = tail

    def _open(self, attempt: Attempt) -> _Tail | None:
        """The file of an attempt's worker; None while it is not there."""
        if not attempt.worker:
            return None
        try:
            descriptor = os.open(self._scratch / attempt.worker / LOG, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        stray = self._strays.get(attempt.worker)
        if stray is not None and os.path.sameopenfile(stray.descriptor, descriptor):
            os.close(descriptor)
            return self._strays.pop(attempt.worker)
        return _Tail(attempt.worker, descriptor)


def rest_of(log: bytes, told_bytes: int) -> bytes:
    """What of a log comes behind its first bytes, which were told; they are counted as they were printed.

    A log that grew too long keeps its beginning and its end, and says how much is left out between.
    """
    gap = _gap_in(log)
    if gap is None or told_bytes <= gap.start():
        return log[told_bytes:]
    told_behind = told_bytes - gap.start() - int(gap[1].replace(b",", b""))
    return log[gap.end() + told_behind :] if told_behind >= 0 else log[gap.start() :]


def _gap_in(log: bytes) -> re.Match[bytes] | None:
    """Where a log says that it was shortened: as much of it stands behind as before."""
    found = _LEFT_OUT.finditer(log)
    return next((each for each in found if each.start() == len(log) - each.end()), None)
