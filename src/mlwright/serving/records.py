"""The record of predictions: a sample of them, written beside the work, never waited for, and bounded.

A replica keeps what it answered in memory, and a thread of its own writes it once a second to a file of the
spool. A file that is full or old is *sealed*: it gets its last name, and is taken from there into the
workspace. What does not fit is dropped; what was written survives the replica's death.
"""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct, field

from mlwright.serving.spec import Recording
from mlwright.serving.walk import Columns
from mlwright.versioning.predictions import PredictionRecord

OPEN, SEALED = ".open", ".jsonl"
EVERY_VALUE = "*"
PREDICTION = "prediction"
"""Stands for what was answered, among the columns whose values may be kept."""
_EVERY_S = 1.0
_SEAL_BYTES, _SEAL_S = 4 << 20, 60.0


class Shadowing(Struct, frozen=True, gc=False):
    """What somebody else had answered before, of what was only asked again.

    Args:
        of: the id of that answer.
        predictions: what it was, plain values, one for each row.
        agreed: how many rows were answered alike.
    """

    of: str
    predictions: Sequence[Any]
    agreed: int


class Answered(Struct, frozen=True, gc=False):
    """What the request's side leaves for the thread: nothing of it is copied.

    Args:
        names: of the columns.
        columns: that were asked about, as they may be recorded.
        predictions: plain values, one for each row.
        began: when the request did, by `time.perf_counter`.
        warnings: how many columns lay outside of what training saw.
        ended: when it was answered, by the same clock.
        asked: the columns as the model was given them, where they are not recorded so.
        shadowing: of what no client was answered: whom it was asked in the shadow of.
    """

    id: str
    model: str
    names: Sequence[str]
    columns: Columns
    predictions: Sequence[Any]
    began: float
    warnings: int
    ended: float = field(default_factory=time.perf_counter)
    asked: Columns | None = None
    shadowing: Shadowing | None = None


class Noting(Protocol):
    """Is told of answers."""

    def note(self, answered: Answered) -> None:
        """This was answered."""


class Recorder:
    """Keeps a sample of what a replica answers.

    Args:
        recording: what is kept.

    Source: of each second's answers the sample is Algorithm R of Vitter, Random Sampling with a Reservoir
    (1985).
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._chance = random.Random()  # noqa: S311 - a sample is no secret
        self._sample: list[Answered] = []
        self._seen = 0
        self.dropped = 0
        self._spool = _Spool(Path(recording.folder), recording.spool_bytes)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="record", daemon=True)
        self._thread.start()

    def place(self) -> int | None:
        """Where in the sample an answer would stand that is given now; None if it is not in it."""
        self._seen += 1
        if len(self._sample) < self._recording.per_second:
            return len(self._sample)
        place = int(self._chance.random() * self._seen)
        return place if place < len(self._sample) else None

    def keep(self, place: int, answered: Answered) -> None:
        """Keep the answer for which `place` was found just now."""
        self._sample[place : place + 1] = [answered]

    def close(self) -> None:
        """Write what waits, and seal it."""
        self._ends.set()
        self._thread.join()

    def _write_on(self) -> None:
        while not self._ends.wait(_EVERY_S):
            self._write()
        self._write()
        self._spool.seal()

    def _write(self) -> None:
        # A request that is answered in this moment is in either sample, or in none.
        sample, seen = self._sample, self._seen
        self._sample, self._seen = [], 0
        weight = max(seen / len(sample), 1.0) if sample else 1.0
        self.dropped += self._spool.append(
            [msgspec.json.encode(record_of(each, weight, self._recording)) for each in sample]
        )


class _Spool:
    """The file of one replica in the spool; it is locked as long as the replica writes to it."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._file: BufferedWriter | None = None
        self._began = 0.0

    def append(self, lines: Sequence[bytes]) -> int:
        """Write lines; says how many there was no room for."""
        if self._file is not None and time.monotonic() - self._began > _SEAL_S:
            self.seal()
        if not lines:
            return 0
        try:
            file = self._file or self._begun()
            if _held_bytes(self._folder) > self._most_bytes:
                return len(lines)
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            if file.tell() > _SEAL_BYTES:
                self.seal()
        except OSError:  # the disk is full, the folder is gone: predictions are answered all the same
            return len(lines)
        return 0

    def _begun(self) -> BufferedWriter:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{time.time_ns():020d}-{os.getpid()}{OPEN}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._file = os.fdopen(descriptor, "ab")
        self._began = time.monotonic()
        self._path = path
        return self._file

    def seal(self) -> None:
        """Give the file its last name."""
        if self._file is not None:
            with suppress(OSError):
                self._path.rename(self._path.with_suffix(SEALED))
                self._file.close()
            self._file = None


def record_of(answered: Answered, weight: float, recording: Recording) -> PredictionRecord:
    """What may be kept of an answer.

    Args:
        weight: how many answers it stands for.
    """
    kept, rows = frozenset(recording.values), recording.rows
    every = EVERY_VALUE in kept
    inputs: dict[str, list[Any]] = {}
    missing: dict[str, int] = {}
    for name, values in zip(answered.names, answered.columns, strict=True):
        listed = values.tolist() if hasattr(values, "tolist") else values
        if holes := sum(value is None or value != value for value in listed):  # noqa: PLR0124 - NaN
            missing[name] = holes
        if every or name in kept:
            inputs[name] = list(listed[:rows])
    told = every or PREDICTION in kept
    before = answered.shadowing
    return PredictionRecord(
        answered.id,
        answered.model,
        time.time_ns() // 1000 - int((time.perf_counter() - answered.ended) * 1e6),
        int((answered.ended - answered.began) * 1e6),
        len(answered.columns[0]) if answered.columns else 0,
        weight,
        inputs,
        missing,
        list(answered.predictions[:rows]) if told else [],
        answered.warnings,
        before.of if before else "",
        before.agreed if before else 0,
        list(before.predictions[:rows]) if before and told else [],
    )


def _held_bytes(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(entry.stat().st_size for entry in entries)


def sealed(folder: Path) -> Iterator[Path]:
    """The files of the spool that nobody writes to any more, the oldest first; none if there is no spool."""
    for path in sorted([*folder.glob(f"*{OPEN}"), *folder.glob(f"*{SEALED}")]):
        if path.suffix == SEALED:
            yield path
            continue
        with suppress(FileNotFoundError), path.open("rb") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path  # who wrote it is dead


def read_records(path: Path) -> Iterator[PredictionRecord]:
    """What a file of the spool holds; of a replica that died, without the line that it did not finish."""
    with path.open("rb") as file:
        for line in file:
            with suppress(msgspec.DecodeError):
                yield msgspec.json.decode(line, type=PredictionRecord)
