"""What is acknowledged is committed, whatever kills the server."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest

from tests.processes import until
from tests.server.conftest import API, DEADLINE_S, Up

SOAK = os.environ.get("MLWRIGHT_SOAK") == "1"
CLIENTS, KILLS = (32, 100) if SOAK else (8, 4)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Client(threading.Thread):
    """Reports a metric, a parameter and a tag with each step; asks again until it is acknowledged."""

    def __init__(self, number: int, port: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.acknowledged = 0
        self.runs: list[str] = []
        self.failure: BaseException | None = None
        self._port = port
        self._stop_asked = stop
        self._connection: HTTPConnection | None = None

    def run(self) -> None:
        """Report until told to stop; what is begun is ended."""
        try:
            made = self._ask("runs/create", {"experiment_id": "0", "run_name": f"client {self.number}"})
            self.runs.append(made["run"]["info"]["run_id"])
            while not self._stop_asked.is_set():
                self._report(self.acknowledged)
                self.acknowledged += 1
        except BaseException as error:
            self.failure = error
        finally:
            self._hang_up()

    def _report(self, step: int) -> None:
        at = {"run_id": self.runs[0]}
        point = {"key": "m", "value": step / 2, "timestamp": 1000 + step, "step": step}
        if step % 2:
            self._ask("runs/log-metric", at | point)
            self._ask("runs/log-parameter", at | {"key": f"p{step}", "value": str(step)})
        else:
            params = [{"key": f"p{step}", "value": str(step)}]
            self._ask("runs/log-batch", at | {"metrics": [point], "params": params})

    def _ask(self, method: str, body: dict[str, Any]) -> Any:
        """What is acknowledged. A server that is gone is asked again, as MLflow's client does."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                self._connection = self._connection or HTTPConnection(
                    "127.0.0.1", self._port, timeout=DEADLINE_S
                )
                self._connection.request(
                    "POST", API + method, json.dumps(body), {"content-type": "application/json"}
                )
                response = self._connection.getresponse()
                answer = json.loads(response.read())
                assert response.status in {200, 503}, answer
                if response.status == 200:
                    return answer
            except (OSError, HTTPException, ValueError):
                self._hang_up()
            assert time.monotonic() < deadline, "the server did not come back"
            threading.Event().wait(0.02)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed(start: Callable[..., Up]) -> None:
    """Clients report while the server is killed again and again: each has exactly what was acknowledged."""
    port, stop, chance = free_port(), threading.Event(), random.Random(6)
    up = start("--port", str(port))
    clients = [Client(number, port, stop) for number in range(CLIENTS)]
    for client in clients:
        client.start()

    for _ in range(KILLS):
        seen = sum(client.acknowledged for client in clients)
        until(lambda seen=seen: sum(client.acknowledged for client in clients) >= seen + 20)  # type: ignore[misc]
        threading.Event().wait(chance.random() * 0.2)
        up.signal(signal.SIGKILL)
        up.ended()
        up = start("--port", str(port))
    stop.set()
    for client in clients:
        client.join(2 * DEADLINE_S)

    assert [client.failure for client in clients if client.failure is not None] == []
    for client in clients:
        run, count = client.runs[0], client.acknowledged
        history = up.get("metrics/get-history", run_id=run, metric_key="m").json.get("metrics", [])
        assert [(each["step"], each["timestamp"], each["value"]) for each in history] == [
            (step, 1000 + step, step / 2) for step in range(count)
        ]
        assert up.data(run)["params"] == {f"p{step}": str(step) for step in range(count)}


@pytest.mark.soak
def test_sigterm_loses_nothing_that_was_acknowledged(start: Callable[..., Up]) -> None:
    """A server that is told to end commits all that it has acknowledged, and ends by itself."""
    port, stop = free_port(), threading.Event()
    up = start("--port", str(port))
    clients = [Client(number, port, stop) for number in range(CLIENTS)]
    for client in clients:
        client.start()

    until(lambda: all(client.acknowledged > 5 for client in clients))
    up.signal(signal.SIGTERM)
    status = up.ended()
    up = start("--port", str(port))
    stop.set()
    for client in clients:
        client.join(2 * DEADLINE_S)

    assert status == 0
    assert [client.failure for client in clients if client.failure is not None] == []
    for client in clients:
        history = up.get("metrics/get-history", run_id=client.runs[0], metric_key="m").json["metrics"]
        assert len(history) == client.acknowledged
