"""Servers of MLflow's protocol: ours and MLflow's own, each on SQLite with nothing in it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from _processes import MLWRIGHT

PEER = Path(sys.executable).parents[1] / "peers" / "mlflow" / "bin" / "python"
_PROJECT = '[project]\nname = "benchmark"\nversion = "0"\n\n[tool.mlwright]\n'
_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers.

    Args:
        started_s: from before its process was started until it answered for the first time.
    """

    url: str
    process: subprocess.Popen[bytes]
    started_s: float

    def peak_bytes(self) -> int:
        """What each of its processes held at most, in all. Source: proc(5), `VmHWM` of /proc/pid/status."""
        return sum(peak for session, peak in _processes() if session == self.process.pid)


def _processes() -> Iterator[tuple[int, int]]:
    """Session and peak of every process."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
            status = (folder / "status").read_text()
        except OSError:
            continue
        if "VmHWM:" in status:
            yield session, int(status.partition("VmHWM:")[2].split()[0]) * 1024


def make_project(folder: Path) -> None:
    """A project in a folder that is there."""
    (folder / "pyproject.toml").write_text(_PROJECT)


@contextmanager
def ours(folder: Path) -> Iterator[Served]:
    """`mlwright up` of the project in a folder."""
    port = _free_port()
    with _served([MLWRIGHT, "up", "--port", str(port)], folder, port, {}) as served:
        yield served


@contextmanager
def theirs(folder: Path) -> Iterator[Served]:
    """MLflow's own server, as it is started without options but for where its things lie."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    command = [
        *(PEER, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", folder / "artifacts"),
    ]
    variables = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "HOME": str(folder)}
    with _served(command, folder, port, variables) as served:
        yield served


@contextmanager
def _served(
    command: Sequence[str | Path], folder: Path, port: int, variables: Mapping[str, str]
) -> Iterator[Served]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    began = time.perf_counter()
    with (folder / "server.log").open("wb") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment | dict(variables),
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(url):
            if process.poll() is not None or time.perf_counter() - began > 120:
                raise RuntimeError((folder / "server.log").read_text()[-2000:])
            time.sleep(_POLL_S)
        yield Served(url, process, time.perf_counter() - began)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
