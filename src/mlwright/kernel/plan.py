"""Plan, show, apply: what a verb would change, as a value that can be shown and compared."""

from __future__ import annotations

from msgspec import Struct


class Change(Struct, frozen=True):
    """One thing that would happen.

    Args:
        action: one word: `add`, `keep`, `run`, `reuse`, `check`, `move`, `write`, `skip`.
        subject: what it happens to, as the user would name it.
        why: the reason or the detail; may be empty.
    """

    action: str
    subject: str
    why: str = ""


class Plan(Struct, frozen=True):
    """What `apply` will do: `--dry-run` prints it, tests compare it."""

    title: str
    changes: tuple[Change, ...]

    @property
    def empty(self) -> bool:
        """Whether applying it would change nothing."""
        return all(change.action in {"keep", "reuse", "skip"} for change in self.changes)
