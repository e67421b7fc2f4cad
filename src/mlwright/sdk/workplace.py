"""A worker's place in the scratch folder of a run: where its attempts work, write and are heard.

Folders are kept from one attempt to the next as long as they stay empty: making one costs more than most
small steps.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

LOG = "log.txt"
"""The name of the file that holds what the running attempt has printed so far."""

_LOG_BYTES = 16 * 2**20


class Workplace:
    """One worker's folder. In `kept` may be written what stays until the engine has taken it.

    Args:
        home: made when it is missing.
        capture: send everything that is written to standard output and error, by any library, to the log.
    """

    def __init__(self, home: Path, *, capture: bool) -> None:
        self._work = home / "work"
        self._files = home / "files"
        self.kept = home / "kept"
        self._log = home / LOG
        self._capture = capture
        self._heard = -1
        self._lent = True
        self._make()

    def begin(self) -> None:
        """Make the working directory empty and the attempt's own."""
        self._empty(self._work)
        if self._lent:
            self._empty(self._files)
            self._lent = False
        os.chdir(self._work)
        if self._heard >= 0:  # the one before may have closed or redirected them
            self._redirect()

    def files(self) -> Path:
        """A folder for copies of inputs, empty when the attempt began."""
        self._lent = True
        self._files.mkdir(exist_ok=True)  # the one before may have taken it away
        return self._files

    def say(self, text: str) -> None:
        """Put words of ours behind what was printed, whatever has become of the streams."""
        self._flush()
        with contextlib.suppress(ValueError, OSError, AttributeError):
            if self._heard >= 0:
                os.write(self._heard, text.encode(errors="backslashreplace"))
            else:
                sys.stderr.write(text)

    def end(self, name: str) -> Path | None:
        """Put what was printed aside; returns the file, or None when nothing was."""
        if self._heard < 0:
            return None
        self._flush()
        if not os.fstat(self._heard).st_size:
            return None
        kept = self.kept / f"{name}.log"
        try:
            self._log.rename(kept)
        except FileNotFoundError:  # the step has taken it away, and what it said with it
            self._make()
            return None
        self._listen()
        shorten(kept)
        return kept

    def _empty(self, folder: Path) -> None:
        try:
            used = bool(os.listdir(folder))  # noqa: PTH208 - a tenth of what a Path's iterdir costs
        except OSError:  # the one before has taken it away, and perhaps the whole of this place
            self._make()
            return
        if used:
            import shutil  # 4 ms, for steps that leave files in their folder

            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(exist_ok=True)

    def _make(self) -> None:
        for folder in (self._work, self._files, self.kept):
            folder.mkdir(parents=True, exist_ok=True)
        if self._capture:
            self._listen()

    def _listen(self) -> None:
        if self._heard >= 0:
            os.close(self._heard)
        self._heard = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._redirect()

    def _redirect(self) -> None:
        os.dup2(self._heard, 1)
        os.dup2(self._heard, 2)

    @staticmethod
    def _flush() -> None:
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            with contextlib.suppress(ValueError, OSError, AttributeError):  # theirs to close, or to replace
                stream.flush()  # type: ignore[union-attr]


def shorten(log: Path) -> None:
    """Keep a long log's beginning and its end."""
    size, half = log.stat().st_size, _LOG_BYTES // 2
    if size <= _LOG_BYTES:
        return
    with log.open("r+b") as file:
        file.seek(size - half)
        tail = file.read()
        file.seek(half)
        left_out = size - 2 * half
        file.write(
            f"\n... {left_out:,} bytes are left out: a log keeps {_LOG_BYTES >> 20} MiB ...\n".encode()
        )
        file.write(tail)
        file.truncate()
