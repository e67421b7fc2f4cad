"""What a run gave: the digest of each output of each step, and how those of two runs compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct

from mlwright.kernel.digest import composite
from mlwright.kernel.ids import AttemptId
from mlwright.tracking import Run
from mlwright.workflow.attempts import Attempt
from mlwright.workflow.history import Made, made_in
from mlwright.workflow.rooms import Rooms

ABSENT = "elsewhere"
"""Where the detail of an imported attempt tells of what it made, if the bytes did not come with it."""


class Comparison(Struct, frozen=True):
    """One output of one step, then and now; the digest is empty where there is none."""

    node: str
    output: str
    then: str
    now: str

    @property
    def verdict(self) -> Literal["identical", "different", "missing"]:
        """What the two digests say."""
        if not self.then or not self.now:
            return "missing"
        return "identical" if self.then == self.now else "different"


def outputs_of(
    rooms: Rooms, run: Run, attempts: Iterable[Attempt] | None = None
) -> dict[tuple[str, str], str]:
    """The digest of all that a run gave by (node, output), in the order of the attempts; verdicts too.

    What a step logged is called `logged:NAME`. Of several tries the last one counts.

    Args:
        rooms: where it is recorded.
        run: whose.
        attempts: all of the run's, if they are known.
    """
    made: dict[AttemptId, list[Made]] = {}
    for each in made_in(rooms.database, run.id):
        made.setdefault(each.attempt, []).append(each)
    found: dict[str, dict[str, str]] = {}
    for attempt in rooms.attempts.of_run(run.id) if attempts is None else attempts:
        mine = sorted(made.get(attempt.id, ()), key=lambda each: each.role.startswith("logged:"))
        found[attempt.node] = {each.role.removeprefix("output:"): each.digest for each in mine}
        found[attempt.node] |= {name: told["digest"] for name, told in absent_outputs(attempt).items()}
        if "passed" in attempt.detail:
            found[attempt.node]["verdict"] = composite("verdict", attempt.detail)
    return {(node, name): digest for node, each in found.items() for name, digest in each.items()}


def absent_outputs(attempt: Attempt) -> dict[str, dict[str, Any]]:
    """What an attempt made whose bytes did not come with it, by name: digest, codec, type, size."""
    found: dict[str, dict[str, Any]] = attempt.detail.get(ABSENT, {})
    return {role.removeprefix("output:"): told for role, told in found.items()}


def compare(then: dict[tuple[str, str], str], now: dict[tuple[str, str], str]) -> tuple[Comparison, ...]:
    """Each output of either side, beside the other."""
    return tuple(
        Comparison(*key, then.get(key, ""), now.get(key, "")) for key in [*then, *(now.keys() - then)]
    )
