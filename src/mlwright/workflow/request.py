"""What is to be run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from mlwright.environments import Lock
from mlwright.tracking import Run
from mlwright.tracking.run import PREDICTION
from mlwright.versioning import Snapshot
from mlwright.workflow.scripts import kind_of


class Request(Struct, frozen=True):
    """What is to be run.

    Args:
        pipeline: its name, or the path of a script or notebook in the project.
        given: parameters, as text or as values; the rest have their defaults. Of a script, `arguments`.
        seed: of the run.
        cache: False runs every step again.
        pins: what moving references mean, instead of what they mean now.
        replay: judgements are made, but nothing is registered.
        snapshot: the code, instead of the project's files as they are.
        locks: environments by name, instead of what the project's files say; its own has an empty name.
        continues: the run whose work is taken up.
        waiting: the run as which it was accepted, and which begins now.
        executor: where steps run; empty for what the project's settings say.
        verify: code and data are read in full again, whatever is remembered of them.
        compares: it evaluates models beside each other; `pipeline` says which.
        predicts: it predicts over a dataset; `given` says what, and `locks` with what.
    """

    pipeline: str
    given: Mapping[str, Any]
    seed: int = 0
    cache: bool = True
    pins: Mapping[str, str] | None = None
    replay: bool = False
    snapshot: Snapshot | None = None
    locks: Mapping[str, Lock] = field(default_factory=dict)
    continues: Run | None = None
    waiting: Run | None = None
    executor: str = ""
    verify: bool = False
    compares: bool = False
    predicts: bool = False

    @property
    def kind(self) -> str:
        """`pipeline`, `script`, `notebook`, `comparison` or `prediction`."""
        if self.compares:
            return "comparison"
        return PREDICTION if self.predicts else kind_of(self.pipeline)
