"""A server that runs, with all its processes: asked, held still while others are measured, ended."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from _peers.serving import Server
from _serving_load import Load, load
from _serving_models import Asked

_POLL_S = 0.005
_START_S = 120
_SETTLE_S = 5.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_MIB = 2**20


class Running:
    """A server that has answered rightly.

    Args:
        server: what it is.
        process: the first of its processes.
        port: where it answers.
        asked: rows, each with the label that the model alone gives.
        folder: its own, with what it said.
    """

    def __init__(
        self, server: Server, process: subprocess.Popen[bytes], port: int, asked: Asked, folder: Path
    ) -> None:
        self.server = server
        self.started_s = 0.0
        self._process = process
        self._port = port
        self._path = server.path.format(model=asked.model)
        self._asked = asked
        self._folder = folder
        self._body = folder / "body.json"
        self._body.write_bytes(self._encoded(asked.rows[0][0]))

    def answers(self) -> bool:
        """Whether it answers; every row is asked about.

        Raises:
            RuntimeError: it answers wrongly.
        """
        for row, label in self._asked.rows:
            given = self._label(row)
            if given is None:
                return False
            if given != label and not self.server.constant:
                raise RuntimeError(f"{self.server.title} says {given!r} where the model alone says {label!r}")
        return True

    def wait(self, began: float) -> None:
        """Until it answers; notes how long it took since.

        Raises:
            RuntimeError: it ends, or does not answer in time, or answers wrongly.
        """
        while not self.answers():
            if self._process.poll() is not None or time.perf_counter() - began > _START_S:
                said = (self._folder / "server.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{self.server.title} does not answer; it said:\n{said}")
            time.sleep(_POLL_S)
        self.started_s = time.perf_counter() - began

    def load(self, clients: int, seconds: int) -> Load:
        """Load it, while it is not held; ends when what the load left behind is computed."""
        url = f"http://127.0.0.1:{self._port}{self._path}"
        done = load(url, self._body, clients=clients, seconds=seconds)
        self._settle()
        return done

    def hold(self) -> None:
        """Let none of its processes run."""
        held: set[int] = set()
        while new := set(self._tree()) - held:
            _signal(new, signal.SIGSTOP)
            held |= new

    def go_on(self) -> None:
        """Let them run, and wait until it answers."""
        _signal(reversed(self._tree()), signal.SIGCONT)
        self.wait(time.perf_counter())

    def pss_mib(self) -> list[float]:
        """What each of its processes holds; of what several share, each has its part. The largest first.

        Source: proc(5), `Pss` of /proc/pid/smaps_rollup.
        """
        return sorted((_pss_bytes(each) / _MIB for each in self._tree()), reverse=True)

    def end(self) -> None:
        """End it, by force where it does not go."""
        tree = self._tree()
        _signal(tree, signal.SIGCONT)
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        _signal({*tree, *self._tree()}, signal.SIGKILL)
        self._process.wait()

    def _encoded(self, row: Sequence[float]) -> bytes:
        return json.dumps(self.server.body(self._asked.names, row)).encode()

    def _label(self, row: Sequence[float]) -> Any:
        """What it answers; None where it does not yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("POST", self._path, self._encoded(row), {"content-type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            return self.server.label(json.loads(body)) if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _settle(self) -> None:
        """Until its processes hardly compute: some go on with requests whose clients are gone."""
        until = time.perf_counter() + _SETTLE_S
        used_s = self._cpu_s()
        while time.perf_counter() < until:
            time.sleep(0.1)
            before_s, used_s = used_s, self._cpu_s()
            if used_s - before_s <= 0.03:
                return

    def _cpu_s(self) -> float:
        return sum(_cpu_ticks(each) for each in self._tree()) * _TICK_S

    def _tree(self) -> list[int]:
        """Its processes, the first of them in front: all that these have started, or are of their session."""
        first = self._process.pid
        children: dict[int, list[int]] = {}
        session: list[int] = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                pid, fields = int(folder.name), (folder / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(pid)
                if int(fields[3]) == first and fields[0] != "Z":
                    session.append(pid)
        found = {first: None}
        for each in (order := [first]):  # grows while it is walked
            found.setdefault(each)
            order.extend(children.get(each, ()))
        return list(found | dict.fromkeys(session))


@contextmanager
def running(server: Server, asked: Asked, workers: int) -> Iterator[Running]:
    """Start a server with a model, in a folder of its own; it ends with the block.

    Raises:
        RuntimeError: as of `Running.wait`.
    """
    with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), _free_port()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment |= {"HOME": name, **server.variables}
        if server.programs is not None:
            environment["PATH"] = f"{server.programs}:{environment['PATH']}"
        with (folder / "server.log").open("wb") as said:
            options: Any = {"cwd": folder, "env": environment, "stdout": said, "stderr": subprocess.STDOUT}
            if server.prepare is not None:
                subprocess.run(server.prepare(asked, workers, port), check=True, **options)
            began = time.perf_counter()
            process = subprocess.Popen(
                server.command(asked, workers, port),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **options,
            )
        made = Running(server, process, port, asked, folder)
        try:
            made.wait(began)
            yield made
        finally:
            made.end()


def _signal(processes: Any, number: int) -> None:
    for each in processes:
        with suppress(ProcessLookupError):
            os.kill(each, number)


def _pss_bytes(pid: int) -> int:
    with suppress(OSError):
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(told.partition("\nPss:")[2].split()[0]) * 1024
    return 0


def _cpu_ticks(pid: int) -> int:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
