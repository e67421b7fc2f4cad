"""Time as the rooms use it: microseconds since the epoch, UTC; and the boot the machine is in."""

from __future__ import annotations

import re
import socket
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from mlwright.kernel.errors import Invalid

Moment = str | datetime | None

_LENGTH = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?(s|min|m|h|d|w)")
_UNITS_S = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
        return f"unknown-boot of {socket.gethostname()}"


def awake_us() -> int:
    """Microseconds since this machine was started, without those in which it slept.

    Nobody can set this clock; and who slept when all did is not thought to be late.
    """
    return time.monotonic_ns() // 1000


def parse_moment(moment: Moment, now_us: int) -> int | None:
    """A point in time in microseconds since the epoch; without an offset it is the reader's own time.

    Args:
        moment: how long ago (`2h`), or when (`2026-11-20`, `2026-11-20T15:30`); a date is its beginning.
        now_us: the present.

    Raises:
        Invalid: it is none.
    """
    if moment is None:
        return None
    try:
        if isinstance(moment, str):
            if ago := _LENGTH.fullmatch(moment.strip()):
                return max(0, now_us - _length_us(ago))
            at = datetime.fromisoformat(moment.strip())
        else:
            at = moment
        return (at.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError, OSError) as error:
        raise Invalid(
            f"{moment!r} is no point in time",
            hint="write how long ago (30m, 2h, 3d) or when (2026-11-20, 2026-11-20T15:30)",
        ) from error


def parse_duration(text: str) -> int:
    """A length of time, `90s`, `15m`, `2h`, `3d`, in microseconds.

    Raises:
        Invalid: it is none.
    """
    found = _LENGTH.fullmatch(text.strip())
    if found is None:
        raise Invalid(f"{text!r} is no length of time", hint="write 90s, 15m, 2h or 3d")
    return min(_length_us(found), 2**63 - 1)


def _length_us(found: re.Match[str]) -> int:
    return int(float(found[1]) * _UNITS_S[found[2]] * 1e6)
