"""Whole processes, as a shell would start them, and what each of them cost."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PYTHON = sys.executable
MLWRIGHT = str(Path(PYTHON).with_name("mlwright"))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process cost, with those that it started and waited for.

    Args:
        wall_s: from before it was started until it was gone.
        cpu_s: in user and in system mode.
        output: what it printed.
    """

    wall_s: float
    cpu_s: float
    output: str


def cost_of(command: Sequence[str | Path], folder: Path, **variables: str) -> Cost:
    """Run a command in a folder and wait for its end.

    Raises:
        RuntimeError: it failed; the message is the end of what it said.
    """
    inherited: Mapping[str, str] = {
        # Nobody who works sets this one, and it doubles the time of every import.
        key: value
        for key, value in os.environ.items()
        if key != "PYTHONDONTWRITEBYTECODE"
    }
    cpu_s, began = _cpu_s(), time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**inherited, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    wall_s = time.perf_counter() - began
    if done.returncode:
        told = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        raise RuntimeError(f"{' '.join(map(str, command))} ended with status {done.returncode}:\n{told}")
    return Cost(wall_s, _cpu_s() - cpu_s, done.stdout)


def _cpu_s() -> float:
    """Of all children that were waited for, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
