"""Time as the rooms use it: microseconds since the epoch, UTC; and the boot the machine is in."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path


def now_us() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def show(at_us: int) -> str:
    """`2026-11-23 04:05:06` in the reader's time zone."""
    return datetime.fromtimestamp(at_us / 1e6, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso(at_us: int) -> str:
    """RFC 3339 in UTC, for machines."""
    return datetime.fromtimestamp(at_us / 1e6, tz=UTC).isoformat().replace("+00:00", "Z")


def show_seconds(seconds: float) -> str:
    """A duration a person reads at a glance: `0.04 s`, `12.3 s`, `4 min 05 s`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


@cache
def boot_id() -> str:
    """Names this boot of this machine: a process of another boot cannot be alive."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown-boot"
