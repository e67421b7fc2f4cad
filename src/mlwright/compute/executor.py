"""The port behind which tasks run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct, field

from mlwright.sdk.frames import Frame

State = Literal["done", "failed", "died", "timed out"]


class Place(Struct, frozen=True):
    """Where a task runs: an interpreter with its packages, a folder of code, and what it may use.

    Args:
        cpus: processors, and threads of BLAS and OpenMP.
        gpus: how many, for itself alone.
        memory_bytes: more than this it does not get; None for no limit.
    """

    python: Path
    code: Path
    cpus: int = 1
    gpus: int = 0
    memory_bytes: int | None = None


class Task(Struct, frozen=True):
    """One request for a worker. `frame.head` holds what is asked; `id` comes back in the report.

    Args:
        brief: it is expected to take so little that it may wait behind others of its kind in one worker.
    """

    id: str
    place: Place
    frame: Frame
    timeout_s: float | None = None
    brief: bool = False


class Report(Struct, frozen=True):
    """What became of a task.

    Args:
        task: its id.
        state: `done` and `failed` are the worker's own word; `died` and `timed out` are ours.
        head: the worker's answer; for `died` and `timed out`, `{"cause": ..., "words": ...}`.
        parts: its binary parts.
        ran_s: since a worker had nothing else to do.
        worker: the name of the process that had it, and of its folder in the scratch.
        gpus: which ones it had for itself.
    """

    task: str
    state: State
    head: dict[str, Any] = field(default_factory=dict)
    parts: tuple[bytes, ...] = ()
    ran_s: float = 0.0
    worker: str = ""
    gpus: tuple[str, ...] = ()


class Executor(Protocol):
    """Runs tasks, as many at once as it has processors, memory and GPUs for.

    Laws, examined for every implementation by `tests/exams/executor.py`:
        1. every task that was submitted is reported exactly once
        2. what a task raises is reported as `failed`, with its type, message and place
        3. tasks beyond what there is room for wait; none starves
        4. a worker that dies or outlasts its time takes only its own task with it
        5. after `close` no process of ours is left
    """

    isolates: bool
    """Whether tasks run in processes of their own, started the same way each time."""

    def warm(self, python: Path) -> None:
        """Begin to make ready what a first task will need, before it is known where its code lies."""

    def has_room(self, place: Place, *, brief: bool = False) -> bool:
        """Whether a task would begin at once, or be sent ahead behind brief ones."""

    def submit(self, task: Task) -> None:
        """Take a task; it begins as soon as there is room.

        Raises:
            Unavailable: its interpreter is not there; the task was not taken.
        """

    def wait(self, timeout_s: float | None = None) -> list[Report]:
        """Reports that came in; waits for the first one, at most `timeout_s`."""

    def worker_of(self, task: str) -> str:
        """The name of the worker that runs a task now; empty when none does yet."""

    def close(self) -> None:
        """End every worker at once, and what runs in it."""
