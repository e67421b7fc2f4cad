"""How long steps take: recorded from run to run, and learned while one goes."""

from __future__ import annotations

from mlwright.kernel.database import Database, Queries, Transaction

_SQL = Queries.beside(__file__)

BRIEF_S = 0.005
"""A step that takes less is sent ahead: asking for it would take as long as doing it."""


class Durations:
    """The mean seconds of the steps of a project, by address.

    Args:
        known: from earlier runs.
    """

    def __init__(self, known: dict[str, float]) -> None:
        self.known = known
        self._seen: dict[str, tuple[int, float]] = {}

    def saw(self, step: str, seconds: float) -> None:
        """An attempt took so long."""
        count, total = self._seen.get(step, (0, 0.0))
        self._seen[step] = count + 1, total + seconds

    def brief(self, step: str) -> bool:
        """Whether a step is known to take next to nothing."""
        if step in self._seen:
            count, total = self._seen[step]
            return total < BRIEF_S * count
        return self.known.get(step, 1.0) < BRIEF_S

    def record(self, tx: Transaction, project: str) -> None:
        """Keep what this run has seen."""
        tx.execute_many(
            _SQL["add_duration"],
            [
                {"project": project, "step": step, "mean_s": total / count, "attempts": count}
                for step, (count, total) in self._seen.items()
            ],
        )


def durations_of(database: Database, project: str) -> Durations:
    """What is known of a project's steps."""
    rows = database.read(_SQL["durations_of"], project=project)
    return Durations({row["step"]: row["mean_s"] for row in rows})
