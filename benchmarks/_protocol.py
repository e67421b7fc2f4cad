"""What `benchmarks/tracking.py` asks over HTTP: the client's own requests, of our server and of MLflow's."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from _figures import Figure, medians
from _filled import fill_ours, fill_theirs
from _postgres import bare, ours_in, postgres
from _recorded import Asked, Load, ask, ask_all, found_in, recording
from _servers import PEER, Served, make_project, ours, theirs

_PEER = "mlflow server"
_ASKED = {
    "points per second, 1,000 in a call": "20 times",
    "log_metric per second, 8 clients": "20 times",
    "the same: 99 of 100 within (ms)": "0.1",
    "a run with 10 parameters and 5 metrics (ms)": "",
}
"""What is asked over HTTP, and what is to be reached."""
_BEST = {
    "experiment_ids": ["0"],
    "filter": "metrics.m4 > 0.1",
    "run_view_type": "ACTIVE_ONLY",
    "max_results": 100,
    "order_by": ["metrics.m4 DESC"],
}
"""The client's request for the best 100."""
_CLIENTS = 8
_POINTS = 1000
_CLIENT = """
import statistics, sys, time
import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

client = MlflowClient(sys.argv[1])
experiment = client.create_experiment(sys.argv[2])

def seconds(work, times):
    took = []
    for number in range(times):
        began = time.perf_counter()
        work(number)
        took.append(time.perf_counter() - began)
    return statistics.median(took)

run = client.create_run(experiment).info.run_id
now = int(time.time() * 1000)
batch = [Metric("loss", number / 7, now + number, number) for number in range(1000)]

def run_with_fifteen(_):
    made = client.create_run(experiment).info.run_id
    client.log_batch(
        made,
        metrics=[Metric(f"m{number}", number / 3, now, 0) for number in range(5)],
        params=[Param(f"p{number}", str(number)) for number in range(10)],
    )
    client.set_terminated(made)

times = int(sys.argv[3])
print(
    seconds(lambda number: client.log_metric(run, "single", number / 7, step=number), times),
    seconds(lambda _: client.log_batch(run, metrics=batch), times),
    seconds(run_with_fifteen, times),
    seconds(lambda _: client.search_runs(
        [experiment], "metrics.m4 > 0.1", max_results=100, order_by=["metrics.m4 DESC"]
    ), times),
)
"""


@dataclass(frozen=True, slots=True)
class Requests:
    """What the client sent for each thing that it was asked to do."""

    create_run: Asked
    log_metric: Asked
    log_batch: Asked
    fifteen: Asked
    end_run: Asked
    search: Asked


def protocol() -> Iterator[Figure]:
    """Both servers are up; one is asked at a time, in turns. MLflow's is asked less often."""
    with _both() as (mine, peer, requests):
        yield Figure("start to the first answer (s)", mine.started_s, peer.started_s, _PEER, "1.5")
        took = medians(
            lambda _: _asked("ours", mine, requests, batches=20, singles=100, runs=20),
            lambda _: _asked("theirs", peer, requests, batches=2, singles=5, runs=3),
        )
        for what, reach in _ASKED.items():
            yield Figure(what, took[f"ours {what}"], took[f"theirs {what}"], _PEER, reach)
        yield from _client(mine, peer)
        held = [served.peak_bytes() / 2**20 for served in (mine, peer)]
        yield Figure("memory at its highest, all processes (MiB)", *held, _PEER, "200")


def search() -> Iterator[Figure]:
    """The client's own request for the best 100."""
    with _both(filled=10_000) as (mine, peer, requests):
        best = requests.search
        took = medians(lambda _: _best("ours", mine, best, 50), lambda _: _best("theirs", peer, best, 1))
        yield Figure("best 100 of 10,000 runs (ms)", took["ours"], took["theirs"], _PEER, "5")
    with _mine(filled=100_000) as mine:
        many = medians(lambda _: _best("ours", mine, best, 50))
        yield Figure("best 100 of 100,000 runs (ms)", many["ours"], took["theirs"], "of 10,000 runs", "15")


def search_postgres() -> Iterator[Figure]:
    """The same request, of a server with its records in PostgreSQL; beside it one bare query for the runs."""
    headers = {"Content-Type": "application/json"}
    asked = Asked("POST", "/api/2.0/mlflow/runs/search", headers, json.dumps(_BEST).encode(), b"")
    with postgres() as make:
        for runs, reach in ((10_000, "10"), (100_000, "30")):
            url = make(f"runs_{runs}")
            with ours_in(url, runs) as served, bare(url) as ask_bare:
                took = medians(lambda _: _best("ours", served, asked, 50), lambda _: _bare_ms(ask_bare))
            what = f"PostgreSQL: best 100 of {runs:,} runs (ms)"
            yield Figure(what, took["ours"], took["bare"], "the bare query", reach)


def _bare_ms(ask_bare: Callable[[], int]) -> dict[str, float]:
    seconds = []
    for _ in range(50):
        began = time.perf_counter()
        assert ask_bare() == 100
        seconds.append(time.perf_counter() - began)
    return {"bare": statistics.median(seconds) * 1000}


def _best(who: str, served: Served, search: Asked, times: int) -> dict[str, float]:
    return {who: _load(served, [[_told(served, search, experiment_ids=["0"])] * times]).p50_ms}


def _asked(
    who: str, served: Served, requests: Requests, *, batches: int, singles: int, runs: int
) -> dict[str, float]:
    """One round: so many batches of points, so many single points of each client, so many runs."""
    run = _new_run(served, requests)
    points = _load(
        served, [[_moved(requests.log_batch, served, run, number * _POINTS) for number in range(batches)]]
    )
    clients = [_new_run(served, requests) for _ in range(_CLIENTS)]
    alone = _load(
        served,
        [
            [_moved(requests.log_metric, served, each, number) for number in range(singles)]
            for each in clients
        ],
    )
    began = time.perf_counter()
    for _ in range(runs):
        run = _new_run(served, requests)
        for asked in (requests.fifteen, requests.end_run):
            ask(served.url, _moved(asked, served, run, 0))
    each_ms = (time.perf_counter() - began) / runs * 1000
    values = (points.per_s * _POINTS, alone.per_s, alone.p99_ms, each_ms)
    return {f"{who} {what}": value for what, value in zip(_ASKED, values, strict=True)}


def _client(mine: Served, peer: Served) -> Iterator[Figure]:
    """The real client, unmodified, one call after the other."""
    told = [_clients_own(served, times) for served, times in ((mine, 20), (peer, 5))]
    names = ("log_metric", "log_batch of 1,000", "a run with 15 values", "search_runs")
    for name, one, other in zip(names, *told, strict=True):
        yield Figure(f"the client itself: {name} (ms)", one * 1000, other * 1000, _PEER)


def _clients_own(served: Served, times: int) -> list[float]:
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [PEER, "-c", _CLIENT, served.url, f"by hand {time.time_ns()}", str(times)],
            env={"HOME": home, "PATH": "/usr/bin:/bin", "MLFLOW_DISABLE_TELEMETRY": "true"},
            capture_output=True,
            text=True,
            check=True,
        )
    return [float(each) for each in done.stdout.splitlines()[-1].split()]


@contextmanager
def _mine(filled: int = 0) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-") as name:
        make_project(Path(name))
        if filled:
            fill_ours(Path(name), filled)
        with ours(Path(name)) as served:
            yield served


@contextmanager
def _both(filled: int = 0) -> Iterator[tuple[Served, Served, Requests]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlwright-benchmark-")))
        with theirs(folder / "theirs") as first:
            requests = _requests(first)
        if filled:
            fill_theirs(folder / "theirs" / "mlflow.db", filled)
        peer = stack.enter_context(theirs(folder / "theirs"))
        yield stack.enter_context(_mine(filled)), peer, requests


def _requests(served: Served) -> Requests:
    """Let the client do each thing once."""
    with recording(served.url) as (url, asked):
        _clients_own(Served(url, served.process, 0.0), 1)
    by_path: dict[str, list[Asked]] = {}
    for each in asked:
        by_path.setdefault(each.target.rpartition("/mlflow/")[2], []).append(each)
    batches = by_path["runs/log-batch"]
    return Requests(
        by_path["runs/create"][0],
        by_path["runs/log-metric"][0],
        batches[0],
        batches[1],
        by_path["runs/update"][0],
        by_path["runs/search"][0],
    )


def _new_run(served: Served, requests: Requests) -> str:
    return found_in(
        ask(served.url, _told(served, requests.create_run, experiment_id="0")), "run", "info", "run_id"
    )


def _moved(asked: Asked, served: Served, run: str, steps: int) -> bytes:
    """For another run, and so many steps later."""
    told = json.loads(asked.body)
    for each in [told] if "step" in told else told.get("metrics", []):
        each["step"] += steps
        each["timestamp"] += steps
    told |= {name: run for name in ("run_id", "run_uuid") if name in told}
    return _told(served, asked, **told)


def _told(served: Served, asked: Asked, **values: object) -> bytes:
    """With other values in its body."""
    return asked.bytes_for(served.url, json.dumps(json.loads(asked.body) | values).encode())


def _load(served: Served, clients: Sequence[Sequence[bytes]]) -> Load:
    ask(served.url, clients[0][0])  # the first is dearer everywhere
    return ask_all(served.url, clients)
