"""The port behind which tasks run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from mlwright.sdk.frames import Frame

State = Literal["done", "failed", "died", "timed out"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task runs: an interpreter with its packages, a folder of code, how many processors."""

    python: Path
    code: Path
    cpus: int = 1


@dataclass(frozen=True, slots=True)
class Task:
    """One request for a worker. `frame.head` holds what is asked; `id` comes back in the report."""

    id: str
    place: Place
    frame: Frame
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a task.

    Args:
        task: its id.
        state: `done` and `failed` are the worker's own word; `died` and `timed out` are ours.
        head: the worker's answer; for `died`, `{"cause": ...}` in words.
        parts: its binary parts.
        waited_s: from `submit` until a worker began.
        ran_s: from then until now.
    """

    task: str
    state: State
    head: dict[str, Any] = field(default_factory=dict)
    parts: tuple[bytes, ...] = ()
    waited_s: float = 0.0
    ran_s: float = 0.0


class Executor(Protocol):
    """Runs tasks, at most `slots` at once.

    Laws, examined for every implementation by `tests/exams/executor.py`:
        1. every task that was submitted and not cancelled is reported exactly once
        2. what a task raises is reported as `failed`, with its type, message and place
        3. tasks beyond `slots` wait; none starves
        4. a worker that dies or outlasts its time takes only its own task with it
        5. after `close` no process of ours is left
    """

    slots: int

    def submit(self, task: Task) -> None:
        """Take a task; it begins as soon as a slot is free.

        Raises:
            Unavailable: its interpreter is not there; the task was not taken.
        """

    def wait(self, timeout_s: float | None = None) -> list[Report]:
        """Reports that came in; waits for the first one, at most `timeout_s`."""

    def close(self) -> None:
        """End every worker at once, and what runs in it."""
