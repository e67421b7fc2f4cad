"""How much memory a worker may have, and what became of one that wanted more.

Where control groups (version 2) are ours to make, a worker and all it starts get one: what is over the limit
is killed. Elsewhere each process is refused what is over the limit (`mlwright.sdk.graft`, by `memory_bytes`
of `start_python`): Python raises MemoryError there.

Source: cgroup v2, docs.kernel.org/admin-guide/cgroup-v2.html; setrlimit(2), RLIMIT_DATA.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from msgspec import Struct

from mlwright.compute import cgroups


class MemoryGroup(Struct, frozen=True):
    """A control group for one worker and all it starts."""

    folder: Path

    def take(self, pid: int) -> bool:
        """Put a worker in that has started nothing yet; whether that was allowed."""
        return _written(self.folder / "cgroup.procs", pid)

    def kill(self) -> bool:
        """Kill all that is in it; whether the kernel can (Linux 5.14)."""
        return _written(self.folder / "cgroup.kill", 1)

    def peak_bytes(self) -> int | None:
        """The most that it held; None where the kernel does not say (before Linux 5.19)."""
        return cgroups.number(self.folder / "memory.peak")

    def was_killed(self) -> bool:
        """Whether the kernel has killed in it for memory."""
        return bool(cgroups.count(self.folder / "memory.events", "oom_kill"))

    def remove(self) -> None:
        """Give it back; all that was in it has ended."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def open_group(name: str, memory_bytes: int, within: list[Path] | None = None) -> MemoryGroup | None:
    """A new control group with a limit; None where this process may not make one.

    Args:
        name: of its folder.
        memory_bytes: the limit of all that is in it together; no swap.
        within: the group this process is in and those above it.
    """
    within = cgroups.folders("memory") if within is None else within
    for parent in within[:2]:
        if "memory" in _words(parent / "cgroup.subtree_control"):
            return _made(parent / f"mlwright-{name}", memory_bytes)
        if cgroups.number(parent / "memory.max") is not None:
            return None  # beside a group that has a limit, a new one would not be under it
    return None


def _made(folder: Path, memory_bytes: int) -> MemoryGroup | None:
    try:
        folder.mkdir()
    except OSError:
        return None
    limits = {"memory.max": memory_bytes, "memory.oom.group": 1}
    group = MemoryGroup(folder)
    if not all(_written(folder / name, value) for name, value in limits.items()):
        group.remove()
        return None
    _written(folder / "memory.swap.max", 0)  # not there in a kernel without swap
    return group


def memory_words(limit_bytes: int, peak_bytes: int | None) -> str:
    """What is said of one that wanted more memory than it may have, as `it asked for more than ...`."""
    peak = "" if peak_bytes is None else f" (peak {_mebibytes(peak_bytes)})"
    return f"it asked for more than its limit of {_mebibytes(limit_bytes)}{peak}"


class KillCounts(Struct, frozen=True):
    """How often the kernel has killed for memory, as far as it says; None where it does not.

    Args:
        container: in the control groups that this process is in.
        machine: anywhere.
    """

    container: int | None
    machine: int | None


def kill_counts() -> KillCounts:
    """As it is now: ask when a worker starts, and hand it to `killer` when that has died."""
    container = None
    for name in ("memory.events", "memory.oom_control"):
        counts = (cgroups.count(group / name, "oom_kill") for group in cgroups.folders("memory"))
        container = next((each for each in counts if each is not None), container)
    return KillCounts(container, cgroups.count(Path("/proc/vmstat"), "oom_kill"))


def killer(before: KillCounts, now: KillCounts, group: MemoryGroup | None = None) -> str:
    """Who has sent SIGKILL, for `cause_of_death`; empty where that cannot be known.

    Args:
        before: when the worker started.
        now: when it had died.
        group: its own, if it has one.
    """
    if group is not None and group.was_killed():
        return "by the kernel, for more memory than its limit"
    if before.container is not None and now.container is not None and now.container > before.container:
        return "by the kernel: the container is at its limit of memory"
    if before.machine is not None and now.machine is not None:
        if now.machine > before.machine:
            return "by the kernel, it seems: the machine was out of memory meanwhile"
        return "by hand or by another program: the kernel was not out of memory"
    return ""


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _written(path: Path, value: int) -> bool:
    try:
        path.write_text(str(value))
    except OSError:
        return False
    return True
