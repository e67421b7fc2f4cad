"""Requests per second, and how soon 99 of 100 are answered: servers in turns, the others held still."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import nan
from typing import Any

from _figures import Figure, Measure, medians
from _serving_chosen import CLIENTS, MODELS, TURN_S, WORKERS, models, servers
from _serving_load import check_wrk
from _serving_models import Asked
from _serving_process import Running, running
from _serving_servers import CONSTANT, OURS
from _serving_table import beside_best, say_table

_ALONE_S = 0.5
_NAMED = {"mlflow": ">= 50 times", "bentoml": ">= 50 times", "fastapi": ">= 50 times"}
"""Peers that ask a forest about one request at a time: what is wanted beside each, with 64 clients."""
_BEST = {"logistic": ">= 2.5 times", "forest": ">= 8 times"}


def requests() -> Iterator[Figure]:
    """Each model, with so many workers, asked by so many clients."""
    check_wrk()
    for workers in WORKERS:
        for model in MODELS:
            with _together(models()[model], workers) as there:
                turns = [_turn(each, clients) for clients in CLIENTS for each in there]
                took = medians(*turns, *_alone(models()[model]))
            what = f"{model}, {workers} worker{'s' * (workers > 1)}"
            _say(what, took)
            for clients in CLIENTS:
                yield from _compared(model, f"{what}, {clients} client{'s' * (clients > 1)}", clients, took)


@contextmanager
def _together(model: Asked, workers: int) -> Iterator[list[Running]]:
    """All servers, each held still; one that does not start is left out, and it is said why."""
    with ExitStack() as stack:
        there = []
        for server in servers():
            try:
                there.append(stack.enter_context(running(server, model, workers)))
            except RuntimeError as error:
                print(error, file=sys.stderr)
            else:
                there[-1].hold()
        yield there


def _turn(there: Running, clients: int) -> Measure:
    """Measures one server. A figure with answers that were refused or are missing is void."""

    def measure(_: int) -> Mapping[str, float]:
        there.go_on()
        took = there.load(clients, TURN_S)
        there.hold()
        lost = took.refused or took.broken
        if lost:
            told = f"{took.refused} refused, {took.broken} broken"
            print(f"void: {there.server.title}, {clients} clients: {told}", file=sys.stderr)
        name = there.server.name
        return {
            f"{name} {clients} per_s": nan if lost else took.per_s,
            f"{name} {clients} p99_ms": nan if lost else took.p99_ms,
        }

    return measure


def _alone(model: Asked) -> Iterator[Measure]:
    """Measure the model in a loop of this process: as it was fitted, and as a replica asks its conversion."""
    row = model.rows[0][0]
    native, converted = model.native(), model.onnx()
    columns = [[value] for value in row]
    yield lambda _: {"native": _per_s(lambda: native.predict([row]))}
    yield lambda _: {"onnx": _per_s(lambda: converted(columns, proba=False))}


def _per_s(call: Callable[[], Any]) -> float:
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < _ALONE_S:
        call()
        count += 1
    return count / elapsed


def _say(what: str, took: Mapping[str, float]) -> None:
    rows = {
        each.title: {
            f"{name}{clients}": took.get(f"{each.name} {clients} {key}", nan)
            for clients in CLIENTS
            for name, key in (("req/s, ", "per_s"), ("p99 ms, ", "p99_ms"))
        }
        for each in servers()
    }
    rows["alone, scikit-learn"] = {f"req/s, {CLIENTS[0]}": took["native"]}
    rows["alone, ONNX"] = {f"req/s, {CLIENTS[0]}": took["onnx"]}
    columns = [f"{name}, {clients}" for name in ("req/s", "p99 ms") for clients in CLIENTS]
    say_table(f"{what}; clients:", columns, rows)


def _compared(model: str, what: str, clients: int, took: Mapping[str, float]) -> Iterator[Figure]:
    per_s, p99_ms = (
        {each.name: took.get(f"{each.name} {clients} {key}", nan) for each in servers()}
        for key in ("per_s", "p99_ms")
    )
    if OURS.name not in per_s:
        return
    many = clients == 64
    if CONSTANT.name in per_s:
        reach = ">= 0.6 times" if many and model == "logistic" else ""
        yield Figure(f"{what}: req/s", per_s[OURS.name], per_s[CONSTANT.name], CONSTANT.title, reach)
    yield from beside_best(f"{what}: req/s", per_s, servers(), max, _BEST[model] if many else "")
    if many and model == "forest":
        for each in servers():
            if each.name in _NAMED:
                yield Figure(
                    f"{what}: req/s", per_s[OURS.name], per_s[each.name], each.title, _NAMED[each.name]
                )
    if clients == 16:
        yield from beside_best(f"{what}: p99 (ms)", p99_ms, servers(), min, "<= 0.33 times")
