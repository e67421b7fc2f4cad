"""Where the kernel keeps the limits of the control groups this process is in."""

from __future__ import annotations

from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60
"""cgroup v1 says "no limit" with a number near 2**63."""


def folders(controller: str, *, mount: Path = MOUNT, own: Path = Path("/proc/self/cgroup")) -> list[Path]:
    """The group this process is in and those above it, as far as they can be seen; innermost first.

    Args:
        controller: `memory` or `cpu`.
        mount: where control groups are mounted.
        own: the groups of this process, as in cgroups(7), /proc/PID/cgroup.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, names, path = line.split(":", 2)
        if controller in names.split(","):  # version 1: one tree for each controller
            return _upwards(mount / controller, path)
        if not names and (mount / "cgroup.controllers").exists():
            return _upwards(mount, path)
    return []


def _upwards(root: Path, path: str) -> list[Path]:
    inner = root / path.strip("/")
    if not inner.is_dir():  # in a container the path may be the host's; mounted is what is the container's
        inner = root
    found = [inner, *inner.parents]
    return found[: found.index(root) + 1]


def number(path: Path) -> int | None:
    """The number in a file; None if there is none, it is `max`, or it stands for no limit."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    value = int(text) if text.lstrip("-").isdigit() else -1
    return value if 0 <= value < _UNLIMITED else None


def count(path: Path, name: str) -> int | None:
    """The number behind a name in a file of lines `name number`."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), None)
