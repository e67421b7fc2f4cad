"""The life of a replica."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """Where a replica stands."""

    STARTING = "starting"
    """Its process loads the model and answers the signature's example."""
    READY = "ready"
    """It has answered its example, and has no listener yet."""
    SERVING = "serving"
    """It answers requests."""
    DRAINING = "draining"
    """It takes no more connections, and answers what it has."""
    ENDED = "ended"
    """Its process is gone, as it was told."""
    FAILED = "failed"
    """Its process is gone, or had to be killed, though nobody had told it to go."""


MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.STARTING: frozenset({Phase.READY, Phase.DRAINING, Phase.FAILED}),
    Phase.READY: frozenset({Phase.SERVING, Phase.DRAINING, Phase.FAILED}),
    Phase.SERVING: frozenset({Phase.DRAINING, Phase.FAILED}),
    Phase.DRAINING: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset(),
    Phase.FAILED: frozenset(),
}
"""What may follow."""

LIVE = frozenset({Phase.STARTING, Phase.READY, Phase.SERVING})
"""Those of which something is still wanted."""


def moved(phase: Phase, to: Phase) -> Phase:
    """The next phase, which must be one that may follow."""
    assert to in MOVES[phase], f"a replica that is {phase} cannot become {to}"
    return to
