"""Claim: whatever hostile clients do, others wait at most twice as long, and memory grows by 64 MiB at most.

    python benchmarks/hostile.py [others memory closing]

`others`: the 99th percentile of `log_metric` by 4 clients, each on one connection, one request after the
other, in milliseconds, while hostile clients are at work in a process of their own; the baseline is the same
load without them, in the same round. Medians of five rounds. The hostile process takes processor time of its
own: on a machine with two processors, a part of the ratio is that.

`memory`: what the server holds more, in MiB, at the end of the same; the baseline is what is allowed. Kinds
follow each other on one server, so that what a kind leaves behind counts for those after it.

`closing`: how long the last of 5,000 silent connections stays open, in seconds; the baseline is what is
allowed.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from _figures import ROUNDS, Figure, say_figures
from _hostile import KINDS
from _recorded import ask, ask_all, found_in
from _servers import Served, make_project, ours

_CLIENTS, _REQUESTS, _HOSTILE_S = 4, 200, 20


def others() -> Iterator[Figure]:
    with _served() as served:
        for kind in KINDS:
            beside, alone = [], []
            for _ in range(ROUNDS):
                alone.append(_p99_ms(served))
                with _hostile(served, kind):
                    beside.append(_p99_ms(served))
            yield Figure(
                f"p99 beside {kind} (ms)",
                statistics.median(beside),
                statistics.median(alone),
                "without them",
                "2 times",
            )


def memory() -> Iterator[Figure]:
    with _served() as served:
        _p99_ms(served)
        before = _held_mib(served)
        for kind in KINDS:
            with _hostile(served, kind):
                _p99_ms(served)
                yield Figure(
                    f"more held: {kind} (MiB)", _held_mib(served) - before, 64, "what is allowed", "64"
                )


def closing() -> Iterator[Figure]:
    with _served() as served, ExitStack() as stack:
        place = ("127.0.0.1", urlsplit(served.url).port or 0)
        streams = [stack.enter_context(socket.create_connection(place)) for _ in range(5000)]
        began = time.perf_counter()
        for stream in streams:
            stream.recv(1)
        yield Figure("5,000 silent ones closed (s)", time.perf_counter() - began, 30, "what is allowed", "30")


def _p99_ms(served: Served) -> float:
    run = found_in(ask(served.url, _post(served, "runs/create", experiment_id="0")), "run", "info", "run_id")
    told = [
        _post(served, "runs/log-metric", run_id=run, key="m", value=0.5, timestamp=1, step=step)
        for step in range(_REQUESTS)
    ]
    return ask_all(served.url, [told] * _CLIENTS).p99_ms


def _post(served: Served, path: str, **values: object) -> bytes:
    body = json.dumps(values).encode()
    head = (
        f"POST /api/2.0/mlflow/{path} HTTP/1.1\r\nHost: {urlsplit(served.url).netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def _served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-") as name:
        make_project(Path(name))
        with ours(Path(name)) as served:
            yield served


@contextmanager
def _hostile(served: Served, kind: str) -> Iterator[None]:
    command = [sys.executable, str(Path(__file__).with_name("_hostile.py")), kind]
    process = subprocess.Popen(
        [*command, str(urlsplit(served.url).port), str(_HOSTILE_S)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError(f"{kind} did not begin")
    try:
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _held_mib(served: Served) -> float:
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    say_figures(others, memory, closing)
