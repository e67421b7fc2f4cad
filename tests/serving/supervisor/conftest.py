"""Real supervisors, of replicas that load at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from mlwright.serving.supervisor.client import Started, SupervisorClient, end_left, launch
from mlwright.serving.supervisor.folder import Revision

Revisions = Callable[..., Revision]


class Running:
    """A supervisor that serves.

    Args:
        started: as it was started last.
    """

    def __init__(self, started: Started, url: str) -> None:
        self.started = started
        self.url = url
        self.client = SupervisorClient(started.folder)

    @property
    def pids(self) -> dict[int, int]:
        """Of the replicas that serve, by slot."""
        replicas = self.client.status()["replicas"]
        return {each["slot"]: each["pid"] for each in replicas if each["phase"] == "serving"}

    def again(self) -> Started:
        """Kill the supervisor, if it lives, and start another one in its folder."""
        self.end(kills=True)
        self.started = launch(self.started.folder)
        return self.started

    def end(self, *, kills: bool = False) -> int:
        """End it; its exit status."""
        self.started.close()
        if self.started.process.poll() is None:
            self.started.process.kill() if kills else self.client.stop(0)
        return self.started.process.wait(30)


@pytest.fixture(scope="session")
def toy(toy_python: Path) -> Revisions:
    """Makes revisions: `toy("b", fault="crash")`."""

    def made(answer: str = "a", *, fault: str | None = None, grpc: bool = False, **limits: float) -> Revision:
        spec = json.dumps({"answer": answer, "grpc": grpc} | ({"fault": fault} if fault else {}))
        return Revision(
            f"toy@{answer}", str(toy_python), msgspec.Raw(spec.encode()), **{"ready_within_s": 60.0, **limits}
        )

    return made


@pytest.fixture
def serve(tmp_path: Path, toy: Revisions) -> Iterator[Callable[..., Running]]:
    """Serves toys, detached: `serve(2)`."""
    running: list[Running] = []

    def served(slots: int = 1, revision: Revision | None = None) -> Running:
        started = launch(tmp_path / f"supervised-{len(running)}")
        running.append(Running(started, ""))
        running[-1].url = started.begin("127.0.0.1", 0, slots, revision or toy())
        return running[-1]

    yield served
    for each in running:
        each.end()
        end_left(each.started.folder)
