"""One error tree: each class knows its exit code and its HTTP status."""

from __future__ import annotations

import errno
from pathlib import Path


class MlwrightError(Exception):
    """Something went wrong that the user can be told in one message.

    Args:
        message: what happened, in one sentence without a full stop.
        where: the place: a file and line, a path, a reference.
        hint: what to type or do next.
    """

    exit_code = 1
    http_status = 500
    title = "Failed"

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def render(self) -> str:
        """The message as the terminal shows it, without colour."""
        lines = [f"error: {self.message}"]
        if self.where:
            lines.append(f"  at {self.where}")
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class WorkFailed(MlwrightError):
    """A step raised, or a gate judged against the result."""

    exit_code = 1
    http_status = 422
    title = "The work failed"


class Invalid(MlwrightError):
    """The caller's input cannot be used."""

    exit_code = 2
    http_status = 422
    title = "Invalid input"


class NotFound(MlwrightError):
    """What was named is not there."""

    exit_code = 3
    http_status = 404
    title = "Not found"


class Conflict(MlwrightError):
    """Something else has it, or it is there already with other content."""

    exit_code = 4
    http_status = 409
    title = "Conflict"


class Busy(Conflict):
    """Others have been writing for as long as is waited: the same again may well succeed."""

    title = "Busy"


class Corrupt(MlwrightError):
    """Bytes are not what their digest says."""

    exit_code = 5
    http_status = 500
    title = "Corrupt"


class Incompatible(MlwrightError):
    """Written by another version, interpreter or platform than can be served here."""

    exit_code = 5
    http_status = 409
    title = "Incompatible"


class Unavailable(MlwrightError):
    """The environment does not give what is needed: disk, network, engine."""

    exit_code = 6
    http_status = 503
    title = "Unavailable"


class DiskFull(Unavailable):
    """There is no room left on a disk."""

    http_status = 507
    title = "Disk full"


class FateUnknown(Unavailable):
    """Nobody knows whether it was done: who does it again may do it twice."""

    title = "Fate unknown"


class TimedOut(MlwrightError):
    """The work took longer than it was allowed."""

    exit_code = 124
    http_status = 504
    title = "Timed out"


class Cancelled(MlwrightError):
    """The user, or a signal, ended the work."""

    http_status = 409
    title = "Cancelled"

    def __init__(self, message: str, *, signal_number: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signal_number


def nearest(name: str, known: list[str]) -> str:
    """A hint that names the closest known name, or all of them.

    Returns:
        An empty string when nothing is known.
    """
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known: {', '.join(sorted(known))}" if known else ""


def is_disk_full(error: OSError) -> bool:
    """Whether the system says that there is no room left, on the disk or for this user."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def disk_full(path: Path, needed_bytes: int | None = None) -> DiskFull:
    """The one message for a disk with no room left."""
    import shutil

    folder = next(parent for parent in (path, *path.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    need = "" if needed_bytes is None else f", {needed_bytes / 2**20:.1f} MiB are needed"
    return DiskFull(
        f"the disk is full: {free / 2**20:.1f} MiB are free{need}",
        where=str(path),
        hint="free some space, then run the same command again: nothing half-written was kept",
    )
