"""Time as the rooms use it: microseconds since the epoch, UTC; and the boot the machine is in."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

_CALENDAR_US = 62_000_000_000_000_000
"""Years 5 to 3934: far enough from both ends of the calendar for every time zone."""


def now_us() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def show(at_us: int) -> str:
    """`2026-11-23 04:05:06` in the reader's time zone; a moment of no calendar as its number."""
    at = _at(at_us)
    return f"{at_us} us" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso(at_us: int) -> str:
    """RFC 3339 in UTC, for machines."""
    return datetime.fromtimestamp(at_us / 1e6, tz=UTC).isoformat().replace("+00:00", "Z")


def _at(at_us: int) -> datetime | None:
    """The moment, if it lies in a year that calendars have: whoever reports from outside may send any."""
    try:
        return datetime.fromtimestamp(at_us / 1e6, tz=UTC) if abs(at_us) < _CALENDAR_US else None
    except (OverflowError, ValueError, OSError):
        return None


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
