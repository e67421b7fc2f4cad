"""A replica that is offered ten times what it can do, by a process of its own (`_offered.py`).

Told are: how soon 99 of 100 refusals are there; how many requests are answered, beside what four clients get,
each asking one after the other; what the replica holds more; and how long after the last request a lone
client is answered as soon as before.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from _figures import Figure

_SECONDS = float(os.environ.get("MLWRIGHT_OVERLOAD_S", "60"))
_TIMES = 10
_BODY = b'{"rows":[{"a":1.0}]}'
_AGAIN = 5
"""So many answers one after the other, as soon as before, are back to normal."""


def overload() -> Iterator[Figure]:
    """A model that takes 10 ms a row, and does not hold Python's lock."""
    yield from _overload("sleeping")


def overload_computing() -> Iterator[Figure]:
    """One that holds it all the time."""
    yield from _overload("computing")


def _overload(kind: str) -> Iterator[Figure]:
    with _slow(kind) as (port, pid):
        usual_s = statistics.median(_alone(port) for _ in range(100))
        peak = _peak_per_s(port)
        before = _held_mib(pid)
        highest = [before]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                highest.append(_held_mib(pid))

        watching = threading.Thread(target=watch)
        watching.start()
        offered = _offer(port, peak * _TIMES, _SECONDS)
        normal_s = _normal_s(port, offered["ended"], 2 * usual_s)
        ended.set()
        watching.join()
    counts, p99_ms = offered["counts"], offered["p99_ms"]
    print(
        f"{kind}: peak {peak:.1f}/s; answered {counts}, unsent {offered['unsent']}, 99 of 100 in ms {p99_ms}"
    )
    yield Figure(
        f"{kind}: refusals within (ms)", p99_ms.get("503", float("inf")), 50, "what is allowed", "50"
    )
    yield Figure(f"{kind}: answered per second", offered["good_per_s"], peak, "its best", "0.8 times")
    yield Figure(f"{kind}: more held (MiB)", max(highest) - before, 256, "what is allowed", "256")
    yield Figure(f"{kind}: normal again after (s)", normal_s, 5, "what is allowed", "5")


@contextmanager
def _slow(kind: str) -> Iterator[tuple[int, int]]:
    with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-") as folder:
        command = [sys.executable, str(Path(__file__).with_name("_slow.py")), kind, folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            while _alone(port) == float("inf"):
                time.sleep(0.01)
            yield port, process.pid
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _alone(port: int) -> float:
    """How long one request takes, on a connection of its own; infinite if it is refused."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        began = time.perf_counter()
        connection.request("POST", "/predict", _BODY, {"content-type": "application/json"})
        status = connection.getresponse().status
        return time.perf_counter() - began if status == 200 else float("inf")
    finally:
        connection.close()


def _peak_per_s(port: int) -> float:
    """What four clients get, each asking one request after the other."""
    times, until = [], time.perf_counter() + 3

    def client() -> None:
        while time.perf_counter() < until:
            times.append(_alone(port))

    began = time.perf_counter()
    clients = [threading.Thread(target=client) for _ in range(4)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return len(times) / (time.perf_counter() - began)


def _offer(port: int, per_s: float, seconds: float) -> dict[str, Any]:
    command = [
        sys.executable,
        str(Path(__file__).with_name("_offered.py")),
        str(port),
        str(per_s),
        str(seconds),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _normal_s(port: int, since: float, within_s: float) -> float:
    again = 0
    while again < _AGAIN:
        again = again + 1 if _alone(port) <= within_s else 0
        if time.perf_counter() - since > 60:
            return float("inf")
    return time.perf_counter() - since


def _held_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
