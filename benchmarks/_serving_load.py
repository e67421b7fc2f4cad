"""Load: wrk on one core; clients that each ask, wait for the answer and ask again, on connections kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_suffix(".lua")
_PATIENCE_S = 30
"""wrk's own 2 s would call slow servers broken, with many clients."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it.

    Args:
        per_s: requests answered per second.
        p99_ms: within this 99 of 100 were answered. wrk adds the waiting of requests that it could not send
            while it waited for a slow one (coordinated omission).
        refused: answers with a status of 400 and above.
        broken: connections that failed, and requests without an answer within 30 s.
    """

    per_s: float
    p99_ms: float
    refused: int
    broken: int


def check_wrk() -> None:
    """Exit, and say how to get it, where wrk is not there."""
    if shutil.which("wrk") is None:
        sys.exit("error: the load generator wrk is not here\nhint: apt-get install wrk")


def load(url: str, body: Path, *, clients: int, seconds: int) -> Load:
    """Ask with the JSON of a file, for so long."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", f"{_PATIENCE_S}s"]
    done = subprocess.run(
        [*command, "-s", _SCRIPT, url],
        env={**os.environ, "MLWRIGHT_BODY": str(body)},
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return Load(told["requests"] / told["seconds"], told["p99_ms"], told["refused"], told["broken"])
