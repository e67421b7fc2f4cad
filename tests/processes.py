"""Other processes in tests: run them, start them, wait for what they do."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"


def command(code: str, *arguments: object) -> list[str]:
    """The command line that runs Python text."""
    return [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """This process's variables and these; without what makes each import compile anew."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(SOURCE)} | dict(variables)


def run_python(code: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python text in a process of its own."""
    return subprocess.run(
        command(code, *arguments), env=environment(variables), capture_output=True, text=True, timeout=120
    )


def start_python(code: str, *arguments: object, **variables: str) -> subprocess.Popen[str]:
    """Start Python text in a process of its own; its output is a pipe."""
    return subprocess.Popen(
        command(code, *arguments),
        env=environment(variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(condition: Callable[[], object], within_s: float = 30.0, *, every_s: float = 0.002) -> None:
    """Wait until something holds; fails after a deadline.

    Args:
        every_s: the pause before it is looked at again: a long one where looking is work.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {within_s:g} s"
        time.sleep(every_s)


def alive(pid: int) -> bool:
    """Whether a process runs: neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False
