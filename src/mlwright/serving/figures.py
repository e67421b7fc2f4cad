"""What a replica counts while it answers. Plain values, so that those of several replicas can be added up."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct, field

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of what takes time; one count more is for what took longer."""
ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)
"""Upper bounds of what is counted in rows."""


class Histogram(Struct):
    """How often a value was at most each of some bounds, and above the one before.

    Args:
        counts: one for each bound, and one for what is above the last.
        total: of all values.
    """

    counts: list[int]
    total: float = 0.0

    def add(self, bounds: Sequence[float], value: float) -> None:
        """One value more."""
        self.counts[bisect_left(bounds, value)] += 1
        self.total += value

    def plus(self, other: Histogram) -> Histogram:
        """Both together."""
        counts = [one + two for one, two in zip(self.counts, other.counts, strict=True)]
        return Histogram(counts, self.total + other.total)


def _seconds() -> Histogram:
    """Of what takes time, with nothing in it."""
    return Histogram([0] * (len(SECONDS) + 1))


def _rows() -> Histogram:
    """Of numbers of rows, with nothing in it."""
    return Histogram([0] * (len(ROWS) + 1))


class ProtocolFigures(Struct):
    """Requests that came over one protocol and were answered.

    Args:
        statuses: how many with a status of each hundred: the third is of those from 200 to 299.
        took_s: from the head of the request to the answer.
    """

    statuses: list[int] = field(default_factory=lambda: [0] * 6)
    took_s: Histogram = field(default_factory=_seconds)

    def count(self, status: int, took_s: float) -> None:
        """One more."""
        self.statuses[status // 100] += 1
        self.took_s.add(SECONDS, took_s)

    def plus(self, other: ProtocolFigures) -> ProtocolFigures:
        """Both together."""
        statuses = [one + two for one, two in zip(self.statuses, other.statuses, strict=True)]
        return ProtocolFigures(statuses, self.took_s.plus(other.took_s))


class ShadowFigures(Struct):
    """Of what a model was asked once others had answered.

    Args:
        rows: that it answered.
        agreed: of these, those that the client was answered alike.
        dropped: requests that it was not asked about, as too much waited.
    """

    rows: int = 0
    agreed: int = 0
    dropped: int = 0

    def plus(self, other: ShadowFigures) -> ShadowFigures:
        """Both together."""
        return ShadowFigures(self.rows + other.rows, self.agreed + other.agreed, self.dropped + other.dropped)


class ModelFigures(Struct):
    """Of one model.

    Args:
        protocols: by which it is asked.
        in_flight: requests that are being answered just now.
        queue_rows: that wait just now until the model is asked about them.
        rows: that were answered.
        batch_rows: what the model was asked about at a time.
        model_s: how long it took each time.
        refused: requests that would have had to wait for too long.
        late: whose time was over before there was an answer.
        dropped: whose clients were gone before the model was asked.
        failed: at which the model raised.
        load_s: how long it took until it was loaded and had answered its example.
        runtime: what computes.
        replicas: of which these figures are.
        shadow: None of one that is not asked in the shadow of others.
    """

    protocols: dict[str, ProtocolFigures] = {}
    in_flight: int = 0
    queue_rows: int = 0
    rows: int = 0
    batch_rows: Histogram = field(default_factory=_rows)
    model_s: Histogram = field(default_factory=_seconds)
    refused: int = 0
    late: int = 0
    dropped: int = 0
    failed: int = 0
    load_s: float = 0.0
    runtime: str = ""
    replicas: int = 1
    shadow: ShadowFigures | None = None

    def of(self, protocol: str) -> ProtocolFigures:
        """Those of one protocol."""
        return self.protocols.setdefault(protocol, ProtocolFigures())

    def plus(self, other: ModelFigures) -> ModelFigures:
        """Both together; the longer of both times to load."""
        protocols = dict(self.protocols)
        for name, figures in other.protocols.items():
            protocols[name] = protocols[name].plus(figures) if name in protocols else figures
        return ModelFigures(
            protocols,
            self.in_flight + other.in_flight,
            self.queue_rows + other.queue_rows,
            self.rows + other.rows,
            self.batch_rows.plus(other.batch_rows),
            self.model_s.plus(other.model_s),
            self.refused + other.refused,
            self.late + other.late,
            self.dropped + other.dropped,
            self.failed + other.failed,
            max(self.load_s, other.load_s),
            self.runtime or other.runtime,
            self.replicas + other.replicas,
            self.shadow.plus(other.shadow) if self.shadow and other.shadow else self.shadow or other.shadow,
        )


class Figures(Struct):
    """Of a replica.

    Args:
        models: by their references, as `diagnosis@3`.
        elsewhere: requests that asked no model: pages, health, and what is not there; by hundreds of status.
    """

    models: dict[str, ModelFigures] = {}
    elsewhere: list[int] = field(default_factory=lambda: [0] * 6)


def together(figures: Iterable[Figures]) -> Figures:
    """Those of several replicas as if they were one."""
    sum_ = Figures()
    for each in figures:
        sum_.elsewhere = [one + two for one, two in zip(sum_.elsewhere, each.elsewhere, strict=True)]
        for model, more in each.models.items():
            sum_.models[model] = sum_.models[model].plus(more) if model in sum_.models else more
    return sum_
