"""MLflow itself in tests, in an environment of its own: its client as anybody has it, and its own server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import until

PYTHON = Path(sys.executable).parents[1] / "peers" / "mlflow" / "bin" / "python"
"""Of the environment that `scripts/setup.py test` makes beside ours."""
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONWARNINGS": "ignore",
}


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """What a process of that environment gets: nothing of ours, and a home of its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "PYTHON", "MLWRIGHT_"))
    }
    return kept | _QUIET | {"HOME": str(folder)} | variables


def run_client(
    code: str, uri: str, folder: Path, *arguments: object, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python text that uses the unmodified client.

    Args:
        code: it may read `sys.argv[1:]`.
        uri: its tracking server.
        folder: where it works.
        variables: what it gets beside.
    """
    return subprocess.run(
        [str(PYTHON), "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=folder,
        env=environment(folder, MLFLOW_TRACKING_URI=uri, **variables),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@contextmanager
def own_server(folder: Path, *options: str) -> Iterator[str]:
    """MLflow's own server on SQLite, with its artifacts in a folder; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    log = folder / "server.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [
                *(str(PYTHON), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
                *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
                *("--artifacts-destination", str(folder / "artifacts"), "--workers", "1", *options),
            ],
            cwd=folder,
            env=environment(folder, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),  # ten processes that wait
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: _answers(url) or process.poll() is not None, within_s=90)
        assert process.poll() is None, log.read_text()[-2000:]
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it leaves children behind when it is only asked to end
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
