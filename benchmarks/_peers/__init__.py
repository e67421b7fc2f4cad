"""Other engines on the same work, each in an environment of its own below `.cache/peers/`."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from _figures import Measure
from _processes import cost_of

_HERE = Path(__file__).parent
ENVIRONMENTS = _HERE.parents[1] / ".cache" / "peers"

_QUIET = {
    "luigi": {},
    "dagster": {},
    "prefect": {
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    },
}
"""By name, what keeps a peer from telling its makers, and from writing a line for each task."""


@dataclass(frozen=True, slots=True)
class Peer:
    """An engine that is installed.

    Args:
        python: of its environment.
        home: where it keeps its database from one round to the next, as a user's would be.
        version: of its distribution.
    """

    name: str
    python: Path
    home: Path
    version: str

    @property
    def title(self) -> str:
        """`Luigi 3.8.1`."""
        return f"{self.name.capitalize()} {self.version}"

    def measure(self, shape: str, count: int) -> Measure:
        """Measures the whole process that does the work, in a new folder."""
        variables = {"DAGSTER_HOME": str(self.home), "PREFECT_HOME": str(self.home), **_QUIET[self.name]}
        command: list[str | Path] = [self.python, _HERE / f"{self.name}_work.py", shape, str(count)]

        def once(number: int) -> Mapping[str, float]:
            with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-") as folder:
                return {self.name: cost_of(command, Path(folder), **variables).wall_s}

        return once


def installed() -> list[Peer]:
    """The peers that `make bench-peers` has installed."""
    return [_peer(name) for name in _QUIET if (ENVIRONMENTS / name / "bin" / "python").exists()]


def _peer(name: str) -> Peer:
    python = ENVIRONMENTS / name / "bin" / "python"
    home = tempfile.TemporaryDirectory(prefix=f"mlwright-benchmark-{name}-")
    atexit.register(home.cleanup)
    (Path(home.name) / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    ask = f"from importlib.metadata import version; print(version({name!r}))"
    version = cost_of([python, "-c", ask], Path(home.name)).output.strip()
    return Peer(name, python, Path(home.name), version)
