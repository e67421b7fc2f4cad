"""What the server does while nobody asks."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

from tests.processes import until
from tests.server.conftest import Up

BEGIN = """
import sys
from mlwright.app import Project

with Project.open(sys.argv[1]) as project, project.rooms.database.transaction() as tx:
    run, _ = project.runs.begin(tx, project="small", pipeline="p", seed=0, parameters={}, pins={})
print(run.id, flush=True)
sys.stdin.read()
"""


def test_a_run_whose_process_is_gone_is_told_as_failed(start: Callable[..., Up]) -> None:
    """A client that looks at a run of ours sees that it was lost, though nobody else has looked."""
    up = start()
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN, f"/proc/{up.process.pid}/cwd"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    run = process.stdout.readline().strip()

    def status() -> str:
        return str(up.get("runs/get", run_id=run).json["run"]["info"]["status"])

    before = status()
    process.send_signal(signal.SIGKILL)
    process.communicate()

    assert before == "RUNNING"
    until(lambda: status() == "FAILED")
