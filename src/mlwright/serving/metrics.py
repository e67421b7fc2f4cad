"""`/metrics`: what a replica has counted, as Prometheus reads it.

Counting costs a microsecond a request, and nothing is imported for it: prometheus-client takes 15 MiB and a
third of the time in which a replica has to answer (decision 42).

Source: Prometheus, Exposition formats, text format 0.0.4.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from mlwright.serving.figures import ROWS, SECONDS, Figures, Histogram, ModelFigures

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CLASSES = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")

Labels = dict[str, str]
Sample = tuple[Labels, float | Histogram]


class Metric(Struct, frozen=True):
    """One line of meaning, and where its values are.

    Args:
        name: with its unit.
        help: one sentence.
        of_model: its samples of one model.
        bounds: of a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    of_model: Callable[[ModelFigures], Iterator[Sample]]
    bounds: Sequence[float] = ()


def _one(attribute: str) -> Callable[[ModelFigures], Iterator[Sample]]:
    def samples(figures: ModelFigures) -> Iterator[Sample]:
        yield {}, getattr(figures, attribute)

    return samples


def _requests(figures: ModelFigures) -> Iterator[Sample]:
    for protocol, counted in figures.protocols.items():
        for hundred, count in enumerate(counted.statuses):
            if count or hundred == 2:
                yield {"protocol": protocol, "status": _CLASSES[hundred]}, count


def _durations(figures: ModelFigures) -> Iterator[Sample]:
    for protocol, counted in figures.protocols.items():
        yield {"protocol": protocol}, counted.took_s


def _shadow(attribute: str) -> Callable[[ModelFigures], Iterator[Sample]]:
    def samples(figures: ModelFigures) -> Iterator[Sample]:
        if figures.shadow is not None:
            yield {}, getattr(figures.shadow, attribute)

    return samples


def _info(figures: ModelFigures) -> Iterator[Sample]:
    yield {"runtime": figures.runtime}, figures.replicas


METRICS = (
    Metric(
        "mlwright_requests_total", "counter", "Requests answered, by the hundred of their status.", _requests
    ),
    Metric(
        "mlwright_request_duration_seconds",
        "histogram",
        "From the head of a request to its answer.",
        _durations,
        SECONDS,
    ),
    Metric("mlwright_requests_in_flight", "gauge", "Requests that are being answered.", _one("in_flight")),
    Metric("mlwright_queue_rows", "gauge", "Rows that wait until the model is asked.", _one("queue_rows")),
    Metric("mlwright_rows_total", "counter", "Rows that the model has answered.", _one("rows")),
    Metric(
        "mlwright_batch_rows",
        "histogram",
        "Rows about which the model was asked at a time.",
        _one("batch_rows"),
        ROWS,
    ),
    Metric(
        "mlwright_model_duration_seconds",
        "histogram",
        "How long the model took each time.",
        _one("model_s"),
        SECONDS,
    ),
    Metric(
        "mlwright_refused_total",
        "counter",
        "Requests refused because they would have had to wait for too long.",
        _one("refused"),
    ),
    Metric(
        "mlwright_deadline_missed_total",
        "counter",
        "Requests whose time was over before there was an answer.",
        _one("late"),
    ),
    Metric(
        "mlwright_dropped_total",
        "counter",
        "Requests whose clients were gone before the model was asked.",
        _one("dropped"),
    ),
    Metric("mlwright_failed_total", "counter", "Requests at which the model raised.", _one("failed")),
    Metric(
        "mlwright_shadow_rows_total",
        "counter",
        "Rows that the model has answered in the shadow of others.",
        _shadow("rows"),
    ),
    Metric(
        "mlwright_shadow_agreed_rows_total",
        "counter",
        "Rows of these that it answered as the client was answered.",
        _shadow("agreed"),
    ),
    Metric(
        "mlwright_shadow_dropped_total",
        "counter",
        "Requests that it was not asked about, as too much waited for it.",
        _shadow("dropped"),
    ),
    Metric(
        "mlwright_model_load_seconds",
        "gauge",
        "From the begin of loading until the model had answered its example.",
        _one("load_s"),
    ),
    Metric("mlwright_model_info", "gauge", "Replicas that answer with this model, and what computes.", _info),
)
"""Those of models."""

OTHERS = {
    "mlwright_other_requests_total": (
        "counter",
        "Requests that asked no model, by the hundred of their status.",
    ),
    "process_cpu_seconds_total": ("counter", "Processor time in user and in system mode."),
    "process_resident_memory_bytes": ("gauge", "Memory in use."),
    "process_start_time_seconds": ("gauge", "When the process was started, in seconds since 1970."),
    "process_open_fds": ("gauge", "Open file descriptors."),
    "process_max_fds": ("gauge", "How many there may be."),
}
"""Those of the replica, with their kinds and meanings."""


def names() -> list[str]:
    """Of all metrics."""
    return [*(each.name for each in METRICS), *OTHERS]


def exposition(figures: Figures) -> bytes:
    """All metrics of this process."""
    lines: list[str] = []
    for metric in METRICS:
        lines += _head(metric.name, metric.kind, metric.help)
        for reference, model in figures.models.items():
            name, _, version = reference.rpartition("@")
            for labels, value in metric.of_model(model):
                lines += _told(metric, {"model": name, "version": version, **labels}, value)
    others = [({"status": _CLASSES[at]}, count) for at, count in enumerate(figures.elsewhere) if count]
    for name, (kind, meaning) in OTHERS.items():
        lines += _head(name, kind, meaning)
        if name in _PROCESS:
            lines.append(_line(name, {}, _PROCESS[name]()))
        else:
            lines += [_line(name, labels, count) for labels, count in others]
    return ("\n".join(lines) + "\n").encode()


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]


def _told(metric: Metric, labels: Labels, value: float | Histogram) -> Iterator[str]:
    if not isinstance(value, Histogram):
        yield _line(metric.name, labels, value)
        return
    count = 0
    for bound, more in zip([*map(str, metric.bounds), "+Inf"], value.counts, strict=True):
        count += more
        yield _line(f"{metric.name}_bucket", {**labels, "le": bound}, count)
    yield _line(f"{metric.name}_sum", labels, value.total)
    yield _line(f"{metric.name}_count", labels, count)


def _line(name: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{told}}} {value!r}" if told else f"{name} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# The process. Source: proc(5).


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _started_s() -> float:
    booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return int(booted.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


_PROCESS: dict[str, Callable[[], float]] = {
    "process_cpu_seconds_total": _cpu_s,
    "process_resident_memory_bytes": _resident_bytes,
    "process_start_time_seconds": _started_s,
    "process_open_fds": lambda: sum(1 for _ in Path("/proc/self/fd").iterdir()),
    "process_max_fds": lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0],
}
