"""What an attempt measures: records of one size, in files that are mapped into memory.

Each process of an attempt has a file of its own, made at its first metric. A record is put into memory that
the system keeps for us: it is there for every other process at once, and stays when this one is killed. No
call of the system is made for it, which would give the interpreter to another thread, and wait until that
one has had its turn.

A slot has 32 bytes, in the byte order of the machine, which is the only one that reads them: the CRC-32 of
what follows, begun with the slot's place in the file; a key; and either step, moment and value of a point,
or, where the key's highest bit is set, a piece of the name that the key stands for. A slot of zeros is empty.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from operator import length_hint
from pathlib import Path
from struct import Struct, error
from threading import RLock
from time import time_ns
from typing import Any
from zlib import crc32

from mlwright.kernel.errors import disk_full, is_disk_full
from mlwright.sdk.measures import named, number, whole

SLOT_BYTES = 32
POINT = Struct("=Iqqd")
"""Key, step, moment in microseconds, value."""

NAME = Struct("=IHH20s")
"""Key with its highest bit, which piece of the name it is, the bytes of the whole name, the piece."""

PIECE_BYTES = 20
OF_A_NAME = 1 << 31
_pack_point = POINT.pack
_pack_slot = Struct("=I28s").pack_into
_NOT_PLAIN = LookupError, TypeError, ValueError, OverflowError, RuntimeError, error
_FIRST_BYTES = max(16 << 10, mmap.ALLOCATIONGRANULARITY)
_MOST_BYTES = max(256 << 10, mmap.ALLOCATIONGRANULARITY)
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE of Linux 5.14

_Segment = tuple[Iterator[int], Any, int]
"""Free places, of which each thread is given others; the memory they are in; its place in the file."""

_NONE: _Segment = iter(()), None, 0


def points_path(journal: Path | str, number: int) -> str:
    """Where the points of one process of an attempt lie; the first that measures anything is number 0."""
    return f"{str(journal).removesuffix('.jsonl')}.{number}.points"


class PointLog:
    """The points of one attempt, as far as this process logs them. Any thread may, at any time.

    Args:
        journal: the attempt's; the points lie beside it.
    """

    __slots__ = ("_closed", "_file", "_growing", "_journal", "_keys", "_numbers", "_segment", "_size")

    def __init__(self, journal: Path | str) -> None:
        self._journal = journal
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._keys: dict[str, int] = {}
        self._numbers = count(1)
        self._file: int | None = None
        self._size = 0
        self._segment = _NONE
        self._growing = RLock()

    def point(self, name: str, value: float, step: int) -> bytes:
        """A point of this moment, to be `put`; see `log_metric`.

        Raises:
            Invalid: it cannot be kept.
            Unavailable: the disk is full.
        """
        try:
            return _pack_point(self._keys[name], step, time_ns() // 1000, value)
        except _NOT_PLAIN:
            name = named(name, "a metric")
            value = number(value, name)
            step = whole(step, f"the step of the metric {name!r}")
        return _pack_point(self._key(name), step, time_ns() // 1000, value)

    def put(self, body: bytes) -> None:
        """Write into the next free slot; nothing happens when the attempt has ended.

        A thread that is stopped half-way leaves a slot that does not count.

        Raises:
            Unavailable: the disk is full.
        """
        while True:
            segment = self._segment
            free, memory, begin = segment
            try:
                at = next(free)
            except StopIteration:
                if not self._grow(segment):
                    return
            else:
                break
        try:
            _pack_slot(memory, at, crc32(body, begin + at), body)
        except (TypeError, ValueError):  # the attempt has ended this moment, and its memory is gone
            if not self._closed:
                raise

    def forked(self) -> None:
        """This is a child of the process that logged before: what it logs goes to a file of its own."""
        if self._file is not None:
            os.close(self._file)
        self._begin()

    def close(self) -> bool:
        """Let no thread that outlives the attempt log, and give back what was set aside.

        Returns:
            Whether this process, or a child of it, has logged anything.
        """
        with self._growing:
            self._closed = True
            (free, memory, begin), self._segment = self._segment, _NONE
            file, self._file = self._file, None
            if file is None:
                return os.access(points_path(self._journal, 0), os.F_OK)
            if memory is not None:
                used = len(memory) - length_hint(free) * SLOT_BYTES
                memory.close()
                with suppress(OSError):
                    os.truncate(file, begin + used)
            os.close(file)
        return True

    def _key(self, name: str) -> int:
        """What stands for a name, once the name is written. Two threads may give it two."""
        if name in self._keys:
            return self._keys[name]
        key, text = next(self._numbers), name.encode()
        for piece, at in enumerate(range(0, len(text), PIECE_BYTES)):
            self.put(NAME.pack(key | OF_A_NAME, piece, len(text), text[at : at + PIECE_BYTES]))
        self._keys[name] = key
        return key

    def _grow(self, full: _Segment) -> bool:
        """Set a next segment aside; False when the attempt has ended.

        What is set aside has its place on the disk: a full one is told here, and does not kill who writes. A
        signal's handler may run at each call in here and do all of it first; none runs between an `if` and
        what follows without one.
        """
        with self._growing:
            if self._closed:
                return False
            if self._segment is not full:
                return True
            if self._file is None:
                file = self._open()
                if self._file is None:
                    self._file = file
                else:
                    os.close(file)
            begin = self._size
            size = min(max(begin, _FIRST_BYTES), _MOST_BYTES)
            segment = iter(range(0, size, SLOT_BYTES)), self._set_aside(begin, size), begin
            if self._size == begin:
                self._size = begin + size
                self._segment = segment
            return True

    def _set_aside(self, begin: int, size: int) -> mmap.mmap:
        assert self._file is not None
        try:
            os.posix_fallocate(self._file, begin, size)
            memory = mmap.mmap(self._file, size, offset=begin)
            _populate(memory)
        except OSError as refused:
            if is_disk_full(refused) or refused.errno == errno.EFAULT:
                raise disk_full(Path(self._journal)) from refused
            raise
        return memory

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        Path(self._journal).parent.mkdir(parents=True, exist_ok=True)
        for taken in count():
            with suppress(FileExistsError):  # another process of this attempt has it
                return os.open(points_path(self._journal, taken), flags, 0o644)
        raise AssertionError


def _populate(memory: mmap.mmap) -> None:
    """Have the pages there before they are written to: what fails, fails now; and no point waits for one."""
    try:
        memory.madvise(_POPULATE_WRITE)
    except OSError as refused:
        if refused.errno not in {errno.EINVAL, errno.ENOSYS}:  # an older Linux makes them one by one
            raise
