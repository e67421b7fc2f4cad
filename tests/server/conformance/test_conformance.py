"""MLflow's own client gets the same answers from us as from MLflow's own server."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mlwright.server.protocols.mlflow.routes import ROUTES
from tests.conftest import PYPROJECT, write
from tests.mlflow import PYTHON, environment, own_server
from tests.server.conformance import scenarios
from tests.server.conformance.answers import normal, unlike
from tests.server.conformance.endpoints import OURS, OUTSIDE, TRACKED, UNDECLARED, asked, declared
from tests.server.conformance.proxy import Request, counted
from tests.server.conformance.scenario import ALL, Scenario
from tests.server.conftest import Up

CLIENT = Path(__file__).with_name("client.py")
assert scenarios.MODULES
_QUICK = {"MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1"}
"""What a model needs is otherwise found by loading it in a process of its own, which no server sees."""
KEPT = "GET server-info"
"""Asked once by a new process, which keeps the answer for a while: not counted."""
COUNTED = [(each.name, step) for each in ALL.values() for step in each.requests]


class Told(NamedTuple):
    """What one server answered, and what it was asked."""

    scenarios: dict[str, Any]
    protocol: list[str]
    requests: list[Request]
    url: str
    folder: Path

    def answers(self, each: Scenario) -> dict[str, Any]:
        """Of one scenario, without what each server makes up."""
        told = self.scenarios[each.name]
        if "skipped" in told:
            pytest.skip(told["skipped"])
        assert not told["ended"], told["ended"]
        return normal(told["answers"], (self.url, "<server>"), (str(self.folder), "<folder>"))

    def asked(self, *owners: str) -> list[str]:
        """The endpoints that were asked under these names, one for each request."""
        return [asked(each.method, each.path) for each in self.requests if each.owner in owners]


def tell(url: str, folder: Path) -> Told:
    """Run every scenario against a server, in one process of the client's."""
    work, out = folder / "client", folder / "answers.json"
    work.mkdir()
    with counted(url) as proxy:
        done = subprocess.run(
            [str(PYTHON), str(CLIENT), str(out)],
            cwd=work,
            env=environment(folder, MLFLOW_TRACKING_URI=proxy.url, **_QUICK),
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(out.read_text())
    return Told(told["scenarios"], told["protocol"], proxy.requests, proxy.url, work)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`mlwright up` in a new project."""
    server = Up(write(tmp_path_factory.mktemp("ours") / "small", {"pyproject.toml": PYPROJECT}))
    yield server
    server.close()


@pytest.fixture(scope="module")
def both(ours: Up, tmp_path_factory: pytest.TempPathFactory) -> tuple[Told, Told]:
    """What ours told, and what MLflow's own server told; ours tells while the other one starts."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(tell, ours.url, here)
        with own_server(there) as url:
            return telling.result(), tell(url, there)


@pytest.mark.parametrize("name", ALL)
def test_answers_are_mlflows(both: tuple[Told, Told], name: str) -> None:
    """Value by value; and where a difference is declared, there is one."""
    each = ALL[name]

    here, there = both[0].answers(each), both[1].answers(each)

    meant = {step for difference in each.differs for step in difference.steps}
    found = {step: unlike(here.get(step), there.get(step)) for step in here | there}
    surprises = [f"{step}{line}" for step, lines in found.items() for line in lines if step not in meant]
    assert not surprises, "\n" + "\n".join(surprises)
    assert not (same := [step for step in meant if not found.get(step)]), f"declared, and not so: {same}"


@pytest.mark.parametrize("name", ALL)
def test_each_scenario_asks_what_it_says_that_it_covers(both: tuple[Told, Told], name: str) -> None:
    """The requests that were counted are those that the table names."""
    each = ALL[name]
    both[0].answers(each)

    here, there = (set(told.asked(name, *each.requests)) for told in both)
    assert set(each.covers) <= here
    assert set(each.covers) - OURS <= there
    assert {difference.endpoint for difference in each.differs} <= {"", *each.covers}


@pytest.mark.parametrize(("name", "step"), COUNTED)
def test_as_many_requests_as_to_mlflow(both: tuple[Told, Told], name: str, step: str) -> None:
    """Not one request more than MLflow's own server is sent, and the number that is written down."""
    here, there = ([each for each in told.asked(step) if each != KEPT] for told in both)

    assert sorted(here) == sorted(there)
    assert len(here) == ALL[name].requests[step]


def test_every_endpoint_is_in_the_table(both: tuple[Told, Told]) -> None:
    """What MLflow's package declares is either covered by a scenario or listed as outside."""
    listed = {each for those in TRACKED.values() for each in those}
    covered = {endpoint for each in ALL.values() for endpoint in each.covers}

    of_the_package = {declared(line) for line in both[1].protocol}

    assert listed == covered
    assert of_the_package == (listed - UNDECLARED) | set(OUTSIDE)


def test_every_route_is_in_the_table() -> None:
    """No route of ours is left without a scenario."""
    listed = {each for those in TRACKED.values() for each in those}

    answered = {asked(route.method, re.sub(r"\{.*?\}", "x", route.path)) for route in ROUTES}

    assert answered <= listed


@pytest.mark.parametrize("endpoint", OUTSIDE)
def test_what_is_outside_says_so(ours: Up, endpoint: str) -> None:
    """Traces, gateway, prompts and judges answer MLflow's error for what is not implemented."""
    method, path = endpoint.split()

    for version in ("2.0", "3.0"):
        answered = ours.ask(
            method, f"/api/{version}/mlflow/{path.replace('{', 'a').replace('}', 'b')}", b"{}"
        )

        assert answered.refused == (501, "NOT_IMPLEMENTED")
