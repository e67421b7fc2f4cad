"""Whether to wait a moment, behind a batch, for those who were just answered and may ask again at once.

Clients that ask one request after the other fall into two groups where nobody waits: while the model
computes for one, the other gathers. Together they would pay once for what each batch costs. So the model is
kept waiting for a quarter of that at most, until all are back; and only where they use to come back.
"""

from __future__ import annotations

from mlwright.serving.cost import Cost
from mlwright.serving.spec import Limits

_TICK_S = 0.001
"""What the timers of an event loop can tell apart."""
_PART = 0.25
"""Of what a batch costs, so much is waited; it pays if more than such a part of those answered come back."""
_AGAIN = 16
"""Where it did not pay, it is tried again after so many batches."""


class Gathering:
    """Waits, or not.

    Args:
        limits: how long at most, and for how many rows.

    `waits` while it is so.
    """

    def __init__(self, limits: Limits) -> None:
        self.waits = False
        self._limits = limits
        self._answered = self._owed = self._enough = self._batches = 0
        self._returning = 1.0

    def begin_s(self, cost: Cost, *, answered: int, others: int, rows: int) -> float:
        """How long to wait for who comes back, in seconds; 0 not to wait.

        Args:
            cost: of asking the model.
            answered: requests of the batch that has just been.
            others: that wait already.
            rows: of these.
        """
        self._batches += 1
        wait_s = min(self._limits.batch_wait_ms / 1000, _PART * cost.batch_s)
        self._enough = cost.paying_rows(self._limits.batch_rows)
        if answered + others < 2 or wait_s < _TICK_S or rows >= self._enough or self._enough == 1:
            return 0.0
        if self._returning < _PART and self._batches % _AGAIN:
            return 0.0
        self._answered = self._owed = answered
        self.waits = True
        return wait_s

    def come(self, requests: int, rows: int) -> bool:
        """Whether to wait on, now that so many more have come, and so many rows wait in all."""
        self._owed -= requests
        return self._owed > 0 and rows < self._enough

    def end(self) -> None:
        """Wait no longer; what came of it is learned."""
        self.waits = False
        came = min(1.0, 1 - self._owed / self._answered)
        self._returning += (came - self._returning) / 4
