"""A real supervisor with real replicas, under load, while things change and die."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mlwright.kernel.errors import Conflict, Invalid, MlwrightError, Unavailable, WorkFailed
from mlwright.serving.supervisor.client import launch
from tests.processes import alive, until
from tests.serving.supervisor.conftest import Revisions, Running
from tests.serving.supervisor.load import Load

SOAK = os.environ.get("MLWRIGHT_SOAK") == "1"

Serve = Callable[..., Running]


def answers(load: Load) -> set[str]:
    """The revisions that have answered."""
    return {json.loads(each)["answer"] for each in load.answered}


@pytest.mark.soak
def test_rolling_loses_no_request(serve: Serve, toy: Revisions) -> None:
    """Ten new revisions one after the other: each takes over, and every request is answered."""
    served, rounds = serve(2), 100 if SOAK else 10

    with Load(served.url, keeping=8, fresh=4) as load:
        for number in range(rounds):
            served.client.update(toy(f"v{number}"))
            load.goes_on()

    print(f"{rounds} revisions: {load.total} requests, {len(load.failed)} failed")
    assert load.failed == []
    assert answers(load) == {"a", *(f"v{number}" for number in range(rounds))}
    until(lambda: len(served.client.status()["replicas"]) == 2)  # all others have drained


def killed(served: Running) -> tuple[float, float]:
    """Kill one of two replicas, and wait for the next second; when that was, and how long it was missed."""
    slot, pid = random.choice(sorted(served.pids.items()))
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    until(lambda: served.pids.get(slot, pid) != pid)
    missed_s = time.monotonic() - began
    until(lambda: time.monotonic() > began + 1)
    return began, missed_s


@pytest.mark.soak
def test_who_dies_takes_only_what_it_was_answering_along(serve: Serve) -> None:
    """A replica is killed every second: what others were asked is answered, and another takes its place."""
    served, rounds = serve(2), 60 if SOAK else 5

    with Load(served.url, keeping=12, fresh=4, pause_s=0.01, looks=True) as load:
        deaths = [killed(served) for _ in range(rounds)]

    longest_s = max(missed_s for _, missed_s in deaths)
    print(f"{rounds} deaths: {load.total} requests, {len(load.failed)} failed, missed {longest_s:.2f} s")
    assert all(any(0 <= at - died < 1 for died, _ in deaths) for at, _ in load.failed)
    assert len(load.failed) <= load.total / 100  # 0.03 % on a machine that has nothing else to do
    assert longest_s < 5  # 1 s, and what it takes to load on a busy machine


def test_a_connection_that_is_idle_is_told_to_come_again(serve: Serve, toy: Revisions) -> None:
    """Who asks on a connection from before is answered by the old revision once more, then by the new."""
    served = serve(1)
    parts = urlsplit(served.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    told: list[tuple[str, str | None]] = []

    def ask() -> None:
        connection.request("GET", "/predict")
        response = connection.getresponse()
        told.append((json.loads(response.read())["answer"], response.getheader("connection")))

    ask()
    served.client.update(toy("b"))
    served.client.update(toy("c"))
    ask()
    ask()
    connection.close()

    assert told == [("a", None), ("a", "close"), ("c", None)]


FAULTS: dict[str, tuple[type[MlwrightError], str]] = {
    "crash": (WorkFailed, r"toy@b did not become ready: .*SIGABRT[^\n]*\nno such layer"),
    "hang": (Unavailable, "toy@b was not ready within 1 s"),
    "wrong": (WorkFailed, "toy answers its example with 1, the pipeline recorded 2"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_revision_that_does_not_become_ready_changes_nothing(
    serve: Serve, toy: Revisions, fault: str
) -> None:
    """It crashes on load, hangs, or answers its example wrongly: why is told, the old one serves on."""
    served, (kind, why) = serve(2), FAULTS[fault]
    before = served.pids

    with Load(served.url, keeping=4, fresh=4) as load:
        with pytest.raises(kind, match=why):
            served.client.update(toy("b", fault=fault, ready_within_s=1))
        load.goes_on()

    assert load.failed == []
    assert answers(load) == {"a"}
    assert served.pids == before
    assert served.client.status()["previous"] is None
    served.client.update(toy("c"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_first_revision_that_does_not_become_ready_is_not_served(
    serve: Serve, toy: Revisions, fault: str
) -> None:
    """The reason is told, and nothing is left: no supervisor, no replica."""
    kind, why = FAULTS[fault]

    with pytest.raises(kind, match=why):
        serve(2, toy("b", fault=fault, ready_within_s=1))


def test_a_supervisor_that_is_killed_is_not_missed(serve: Serve, toy: Revisions) -> None:
    """It is killed and started again: it finds its replicas and sockets, no request fails, and it goes on."""
    served = serve(3)
    before = served.pids

    with Load(served.url, keeping=4, fresh=4) as load:
        for _ in range(3):
            served.end(kills=True)
            load.goes_on()
            assert served.again().status()["revision"] == 1
            assert served.pids == before
            load.goes_on()
        served.client.update(toy("b"))
        served.client.scale(2)
        load.goes_on()

    print(f"{load.total} requests, {len(load.failed)} failed")
    assert load.failed == []
    assert answers(load) == {"a", "b"}


def test_a_supervisor_that_was_killed_on_the_way_goes_on(serve: Serve, toy: Revisions) -> None:
    """One that dies while a new revision loads, is started again: the replicas that died meanwhile too."""
    served = serve(2)
    old = served.pids

    with Load(served.url, keeping=4, fresh=4) as load:
        with pytest.raises(Unavailable, match="ended before it answered"):
            served.client.update(toy("b"), progress=lambda what: served.started.process.kill())
        assert served.again().status()["previous"] == 1
        until(lambda: served.client.status()["previous"] is None)
        load.goes_on()

    assert load.failed == []
    assert answers(load) == {"a", "b"}
    assert not set(old.values()) & set(served.pids.values())


def test_fewer_replicas_lose_no_request(serve: Serve) -> None:
    """From three to one, to three, to two: what waits at a socket whose replica goes is answered."""
    served = serve(3)

    with Load(served.url, keeping=8, fresh=8) as load:
        for slots in (1, 3, 2) * (10 if SOAK else 1):
            served.client.scale(slots)
            load.goes_on(300)
            assert len(served.pids) == slots

    print(f"{load.total} requests, {len(load.failed)} failed")
    assert load.failed == []


def test_a_replica_that_is_told_to_end_is_replaced_first(serve: Serve) -> None:
    """SIGTERM to the only replica: another one takes its socket before it goes, and no request fails."""
    served = serve(1)
    (pid,) = served.pids.values()

    with Load(served.url, keeping=4, fresh=4) as load:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not alive(pid))
        load.goes_on()

    assert load.failed == []
    assert len(load.answered) == 2


def test_a_slot_rests_when_its_replicas_die_again_and_again(serve: Serve) -> None:
    """While a slot is in back-off, the other replica serves its socket too."""
    served = serve(2)

    with Load(served.url, keeping=0, fresh=4) as load:
        for _ in range(3):
            until(lambda: 1 in served.pids)
            os.kill(served.pids[1], signal.SIGKILL)
            until(lambda: 1 not in served.pids)
        until(lambda: served.client.status()["resting"] == [1])
        helper = next(each for each in served.client.status()["replicas"] if each["slot"] == 0)
        load.goes_on()
        until(lambda: 1 in served.pids)

    assert helper["listens"] == [0, 1]
    assert len(load.failed) <= 3 * 4  # at most what each client was just asking the one that died


@pytest.mark.parametrize("how", ["stopped", "in native code", "without end"])
def test_a_replica_that_hangs_is_replaced(serve: Serve, toy: Revisions, how: str) -> None:
    """Stopped, held in native code, or by a model without end: it is killed, and another one answers."""
    served = serve(2, toy(silent_s=1.0))
    before = set(served.pids.values())

    if how == "stopped":
        os.kill(min(before), signal.SIGSTOP)
    else:
        query = "hangs" if how == "in native code" else "stuck"
        with suppress(OSError, HTTPException):
            get(served.url, f"/?{query}", timeout_s=0.5)

    until(lambda: len(served.pids) == 2 and len(before & set(served.pids.values())) == 1)
    assert {json.loads(get(served.url, "/"))["pid"] for _ in range(20)} <= set(served.pids.values())
    (gone,) = before - set(served.pids.values())
    until(lambda: not alive(gone))


def test_a_replica_that_has_much_to_do_is_let_be(serve: Serve, toy: Revisions) -> None:
    """A request that takes longer than it may be silent says nothing: its event loop answers meanwhile."""
    served = serve(1, toy(silent_s=0.5))
    before = served.pids

    answer = json.loads(get(served.url, "/?s=2"))

    assert served.pids == before == {0: answer["pid"]}


def get(url: str, path: str, timeout_s: float = 30.0) -> bytes:
    """What is answered on a connection of its own."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_sigterm_answers_what_was_asked_and_ends_with_0(serve: Serve) -> None:
    """Requests that are being answered are answered; the target is kept for one that is started again."""
    served = serve(2)
    parts = urlsplit(served.url)

    def slow() -> int:
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            connection.request("GET", "/predict?s=1")
            return connection.getresponse().status
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        pending = [pool.submit(slow) for _ in range(4)]
        until(lambda: sum(each["in_flight"] for each in served.client.status()["replicas"]) == 4)
        served.started.process.terminate()
        status = served.started.process.wait(30)

    assert status == 0
    assert [each.result() for each in pending] == [200] * 4
    assert served.again().status()["url"] == served.url
    until(lambda: len(served.pids) == 2)


def test_one_order_at_a_time(serve: Serve, toy: Revisions) -> None:
    """A second order, a second supervisor and what cannot be are refused with the reason."""
    served = serve(1)
    refused: list[MlwrightError] = []

    def meanwhile(what: str) -> None:
        if not refused:
            with pytest.raises(Conflict, match="another order") as caught:
                served.client.scale(2)
            refused.append(caught.value)

    served.client.update(toy("b"), progress=meanwhile)

    assert refused
    with pytest.raises(Invalid, match="0 replicas cannot be"):
        served.client.scale(0)
    other = launch(served.started.folder)
    with pytest.raises(Conflict, match="another supervisor works in this folder"):
        other.begin("127.0.0.1", 0, 1, toy())
    other.close()
    assert other.process.wait(30) == 4


def test_a_port_is_not_shared_with_another_supervisor(serve: Serve, toy: Revisions, tmp_path: Path) -> None:
    """The sockets of a server are shared among its slots, and with nobody else."""
    served = serve(2)
    port = int(served.url.rpartition(":")[2])
    other = Running(launch(tmp_path / "other"), "")

    with pytest.raises(Unavailable, match=f"port {port} of 127.0.0.1 is taken"):
        other.started.begin("127.0.0.1", port, 2, toy())

    assert other.end() == 0
