"""What a server costs before it is asked much: the time of its start, and its memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from _figures import Figure, Measure, medians
from _serving_chosen import MODELS, WORKERS, models, servers
from _serving_models import Asked
from _serving_process import running
from _serving_servers import Server
from _serving_table import beside_best, say_table

_ASKED = 200
"""Requests, one after the other, before memory is looked at."""


def start() -> Iterator[Figure]:
    """From before the first process is started until the first right answers."""
    model, workers, what = models()[MODELS[-1]], min(WORKERS), "start to the first answer (s)"
    took = medians(*(_started(each, model, workers) for each in servers()))
    say_table(
        f"{model.model}, {workers} worker",
        ["start (s)"],
        {each.title: {"start (s)": took[each.name]} for each in servers()},
    )
    yield from beside_best(f"{model.model}: {what}", took, servers(), min, "<= 1.0")


def memory() -> Iterator[Figure]:
    """What the processes of a server hold: all with one worker, the largest of them, and a further worker."""
    model, workers = models()[MODELS[-1]], min(WORKERS)
    held = {each: _held(each, model, workers) for each in servers()}
    columns = ["all", "the largest", "one more"]
    say_table(f"{model.model}: MiB (PSS)", columns, {each.title: told for each, told in held.items()})
    for name in columns:
        took = {each.name: told[name] for each, told in held.items()}
        reach = "" if name == "all" else "<= 100"
        yield from beside_best(f"{model.model}: memory, {name} (MiB)", took, servers(), min, reach)


def _started(server: Server, model: Asked, workers: int) -> Measure:
    def measure(_: int) -> Mapping[str, float]:
        with running(server, model, workers) as each:
            return {server.name: each.started_s}

    return measure


def _held(server: Server, model: Asked, workers: int) -> dict[str, float]:
    few, more = (_mib(server, model, each) for each in (workers, workers + 1))
    return {"all": sum(few), "the largest": few[0], "one more": sum(more) - sum(few)}


def _mib(server: Server, model: Asked, workers: int) -> list[float]:
    with running(server, model, workers) as there:
        for _ in range(_ASKED):
            there.answers()
        return there.pss_mib()
