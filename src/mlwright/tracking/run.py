"""A run: one execution of a pipeline, a script or a notebook, or one that is reported from outside."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from mlwright.kernel.clock import now_us
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Invalid
from mlwright.kernel.ids import RunId, short


class RunState(StrEnum):
    """Where a run stands; `scheduled` is one that was accepted, and waits for its begin."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    SCHEDULED = "scheduled"

    @property
    def ended(self) -> bool:
        """Whether it never changes: the run neither goes on nor waits."""
        return self not in {RunState.RUNNING, RunState.SCHEDULED}


MOVES: dict[RunState, frozenset[RunState]] = {
    RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.LOST}),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
    RunState.LOST: frozenset(),
    RunState.SCHEDULED: frozenset({RunState.RUNNING, RunState.FAILED, RunState.CANCELLED}),
}
"""Of runs that we execute. What is reported from outside is what its client said last."""
PREDICTION = "prediction"
"""The kind of a run that predicts over a dataset."""
REPORTED = "reported"
"""The kind of run that somebody else executes and reports."""


class Run(Struct, frozen=True):
    """A run as it is recorded.

    Args:
        error: what ended it, as `{"message": ..., "where": ..., "hint": ...}`.
        pins: what its moving references meant when it began: `{"patients@latest": "patients@3"}`; an empty
            text for a reference that meant nothing yet.
        kind: `pipeline`, `script`, `notebook`, `comparison`, `prediction` or `reported`. A script and a
            notebook have their path as `pipeline`, a comparison the models that were evaluated, a prediction
            the model and the dataset, one that is reported from outside nothing.
        wanted: what somebody else wants it to become: `cancelled`.
        machine: what it ran on, as far as that can change a result.
        about: what else is known of it: `variables` that its steps had, `left_out` files that are not in its
            code, and, if it was made in another workspace, where it was `imported` from; of one that had to
            wait for its begin, the `request`.
        experiment_id: which experiment it belongs to.
        name: of one that is reported: what it is called.
        deleted_us: when it was deleted; it can be restored.
        started_us: when it began, if it was recorded before that.
    """

    id: RunId
    project: str
    pipeline: str
    state: RunState
    seed: int
    created_us: int
    finished_us: int | None
    error: dict[str, Any] | None
    pins: dict[str, str]
    kind: str = "pipeline"
    wanted: str | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    experiment_id: int | None = None
    name: str = ""
    deleted_us: int | None = None
    started_us: int | None = None

    @property
    def end(self) -> End:
        """The run as an end of edges."""
        return End("run", self.id)

    @property
    def title(self) -> str:
        """What to call it where runs of many kinds stand together."""
        return self.name or self.pipeline

    @property
    def go_on(self) -> str:
        """What to do when it did not get to its end; of a script nothing is kept that could be reused."""
        if self.kind == REPORTED:
            return "run it again where it ran"
        if self.kind == "comparison":
            return "compare again: mlwright models compare"
        if self.kind == PREDICTION:
            return "the same command again reuses what it finished: mlwright predict"
        what = "continue where it stopped" if self.kind == "pipeline" else "run it again"
        return f"{what}: mlwright runs resume {short(self.id)}"

    def refuse_reported(self, what: str) -> None:
        """Refuse what needs a run that we execute.

        Args:
            what: it would be, for the message: `resumed`.

        Raises:
            Invalid: it is reported from outside.
        """
        if self.kind == REPORTED:
            raise Invalid(
                f"run {short(self.id)} was reported from outside: it cannot be {what} here",
                hint=f"what is known of it: mlwright runs show {short(self.id)}",
            )

    @property
    def began_us(self) -> int:
        """When it began; of one that has not, when it was recorded."""
        return self.created_us if self.started_us is None else self.started_us

    @property
    def seconds(self) -> float:
        """How long it has taken, so far or in all; of one that waits, how long it has waited."""
        return ((self.finished_us or now_us()) - self.began_us) / 1e6


def run_of(row: dict[str, Any]) -> Run:
    """The run of a row of its table."""
    error = row["error"]
    return Run(
        **{
            **row,
            "state": RunState(row["state"]),
            "error": None if error is None else json.loads(error),
            "pins": json.loads(row["pins"]),
            "machine": json.loads(row["machine"]),
            "about": json.loads(row["about"]),
        }
    )
