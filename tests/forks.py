"""Commands without their start: each runs in a fork of a process that has imported mlwright, and did nothing.

A command takes 0.2 s of CPU until it has imported what it needs, and the tests of all rooms run a thousand.
What runs here is a process as any other: folder, variables, files, exit status, signals are its own. Tests of
how the installed command starts, and stories, run that.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

_READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "COLUMNS", "TERM", "NO_COLOR", "FORCE_COLOR", "MALLOC_", "LD_")
"""What a fork would not see: variables that a process reads before, or while, it imports."""


def run(
    argv: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run the command of an argument list; in a process of its own where a fork would be another thing.

    Raises:
        subprocess.TimeoutExpired: it takes longer than `timeout_s`.
    """
    parent = _parent()
    if not parent.fits(environment) or not parent.lock.acquire(blocking=False):
        return subprocess.run(
            argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    try:
        with tempfile.TemporaryDirectory(prefix="mlwright-said-") as folder:
            said = [Path(folder) / "out", Path(folder) / "err"]
            told = {
                "argv": argv,
                "cwd": str(cwd),
                "environment": dict(environment),
                "said": list(map(str, said)),
            }
            status = parent.ask({**told, "umask": _umask()}, timeout_s)
            return subprocess.CompletedProcess(argv, status, *(each.read_text() for each in said))
    finally:
        parent.lock.release()


class _Parent:
    """The process that is forked."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._environment = dict(os.environ)
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        atexit.register(self.end)

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether it began with what these variables say of the beginning."""
        names = {*environment, *self._environment}
        return all(
            environment.get(name) == self._environment.get(name)
            for name in names
            if name.startswith(_READ_AT_THE_START)
        )

    def ask(self, told: Mapping[str, object], timeout_s: float) -> int:
        """Let a fork do something; its exit status, negative for the signal that ended it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            self.end()
            raise subprocess.TimeoutExpired(str(told["argv"]), timeout_s)
        status = self._process.stdout.readline()
        assert status, "the process that is forked is gone"
        return int(status)

    def end(self) -> None:
        """Kill it, and what it has forked."""
        _parent.cache_clear()
        if self._process.poll() is None:
            os.killpg(self._process.pid, 9)
        self._process.communicate()


@cache
def _parent() -> _Parent:
    return _Parent()


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _serve() -> None:
    import mlwright
    from mlwright.cli import main

    for each in pkgutil.walk_packages(mlwright.__path__, "mlwright."):
        if each.name.endswith(("cli", "app", "project")):
            importlib.import_module(each.name)
    gc.freeze()
    for line in sys.stdin:
        told = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(told)
            main()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _become(told: Mapping[str, object]) -> None:
    """Be the process that was asked for."""
    for descriptor, path in enumerate([os.devnull, *told["said"]]):  # type: ignore[misc]
        opened = os.open(path, (os.O_WRONLY | os.O_CREAT | os.O_APPEND) if descriptor else os.O_RDONLY, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.umask(told["umask"])  # type: ignore[call-overload]
    os.chdir(told["cwd"])  # type: ignore[call-overload]
    os.environ.clear()
    os.environ.update(told["environment"])  # type: ignore[call-overload]
    time.tzset()
    sys.argv[:] = told["argv"]  # type: ignore[call-overload]


if __name__ == "__main__":
    _serve()
