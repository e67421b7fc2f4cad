"""What the records tell of attempts: what each took, made and reused, and what that cost before."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from mlwright.kernel.database import Database, Queries
from mlwright.kernel.ids import AttemptId, RunId

# In these queries CROSS JOIN keeps the order that is written: from the attempts of one run to their edges.
# The planner, which does not know how few those are, would begin with the edges of all.
_SQL = Queries.beside(__file__)


class Made(Struct, frozen=True):
    """An artifact that an attempt made, or that the attempt made which it reuses.

    Args:
        attempt: of the run that is asked for.
        role: `output:NAME` or `logged:NAME`.
        artifact: its id.
        digest: of its bytes.
    """

    attempt: AttemptId
    role: str
    artifact: str
    digest: str


class Reuse(Struct, frozen=True):
    """What an attempt of a run reuses, and how long that took when it was made."""

    attempt: AttemptId
    source: AttemptId
    wall_s: float


class Earlier(Struct, frozen=True):
    """The successes of a step in an earlier run: how many (elements of a mapped one), how long together."""

    run: RunId
    attempts: int
    wall_s: float


def made_in(database: Database, run: RunId) -> list[Made]:
    """Everything that the attempts of a run made or reuse, attempt by attempt."""
    return [
        Made(AttemptId(row["attempt"]), row["role"], row["artifact"], row["digest"])
        for row in database.read(_SQL["made_in_run"], run_id=run)
    ]


def reused_in(database: Database, run: RunId) -> dict[AttemptId, Reuse]:
    """What the attempts of a run reuse, by attempt."""
    return {
        AttemptId(row["attempt"]): Reuse(
            AttemptId(row["attempt"]), AttemptId(row["source"]), row["wall_s"] or 0.0
        )
        for row in database.read(_SQL["reused_in_run"], run_id=run)
    }


def needed_in(database: Database, run: RunId) -> dict[AttemptId, list[str]]:
    """The nodes that made what each attempt of a run took; of a reused one, what its source took."""
    needed: dict[AttemptId, list[str]] = {}
    for row in database.read(_SQL["needed_in_run"], run_id=run):
        needed.setdefault(AttemptId(row["attempt"]), []).append(row["node"])
    return needed


def earlier_of(database: Database, node: str, runs: Iterable[RunId], *, mapped: bool) -> list[Earlier]:
    """The successes of a step in those of some runs that have any."""
    found = []
    for run in runs:
        # Between `[0` and `[:` lie the elements: a colon follows the digits.
        first, beyond = (f"{node}[0", f"{node}[:") if mapped else (node, f"{node} ")
        row = database.read(_SQL["successes_in_run"], run_id=run, first=first, beyond=beyond)[0]
        if row["attempts"]:
            found.append(Earlier(run, row["attempts"], row["wall_s"] or 0.0))
    return found


def success_of(database: Database, node: str, run: RunId) -> AttemptId | None:
    """The attempt at a node that succeeded in a run."""
    rows = database.read(_SQL["success_of_node"], run_id=run, node=node)
    return AttemptId(rows[0]["id"]) if rows else None


def bytes_around(database: Database, attempt: AttemptId) -> frozenset[tuple[str, str]]:
    """All that an attempt took and made, as (role, digest); a dataset by its version."""
    return frozenset(
        (row["role"], row["digest"]) for row in database.read(_SQL["bytes_around"], attempt=attempt)
    )
