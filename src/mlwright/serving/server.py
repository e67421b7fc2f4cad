"""A replica's process as the engine sees it: started, ready, stopped, and never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from mlwright.compute.process import cause_of_death, start_python
from mlwright.kernel.errors import MlwrightError, Unavailable, WorkFailed
from mlwright.kernel.sockets import listen, url_of
from mlwright.serving.client import Client
from mlwright.serving.plan import loopback
from mlwright.serving.spec import FAILURE, ReplicaSpec

_LOG = "replica.log"
_KEPT_WORDS = 2000
_POLL_S = 0.02


class Server:
    """A running replica. Leaving it as a context manager stops it.

    Args:
        model: the reference of what it answers with.
        url: where it answers, without a slash at the end.
        process: the replica's, the leader of its own session.
        folder: its own, with its spec and what it says; removed when it is stopped.
    """

    def __init__(self, model: str, url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.model = model
        self.url = url
        self._process = process
        self._folder = folder

    @property
    def pid(self) -> int:
        """The replica's process id."""
        return self._process.pid

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until the replica has ended, by `stop` or by its own.

        Raises:
            TimeoutError: it still runs.
            WorkFailed: it ended by itself; its last words follow.
        """
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"the replica of {self.model} still runs") from error
        if status != 0:
            raise WorkFailed(
                f"the replica of {self.model} ended by itself: {cause_of_death(status)}{self._last_words()}",
                hint="start it again: mlwright serve " + self.model,
            )

    def stop(self, grace_s: float = 15.0) -> int:
        """Let it answer what it has taken, then end it; nothing of it is left afterwards.

        Args:
            grace_s: how long it may take before it is killed.

        Returns:
            Its exit status: 0, or the negative number of the signal that ended it.
        """
        try:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        finally:
            self._kill()
        status = self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _kill(self) -> None:
        """End the replica with whatever processes its model started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _await_ready(self, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        with Client(self.url, timeout_s=within_s) as client:
            while True:
                if (status := self._process.poll()) is not None:
                    raise self._failure(status)
                if _ready(client):
                    return
                if time.monotonic() >= deadline:
                    raise Unavailable(
                        f"{self.model} was not ready within {within_s:g} s{self._last_words()}",
                        hint="a large model may need longer to load",
                    )
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_POLL_S)

    def _failure(self, status: int) -> WorkFailed:
        """Why the replica ended before it was ready, as it said itself if it could."""
        try:
            told = json.loads((self._folder / FAILURE).read_bytes())
        except (FileNotFoundError, ValueError):
            return WorkFailed(
                f"{self.model} did not become ready: {cause_of_death(status)}{self._last_words()}"
            )
        return WorkFailed(told["message"], hint=told["hint"])

    def _last_words(self) -> str:
        try:
            said = (self._folder / _LOG).read_bytes()[-_KEPT_WORDS:].decode(errors="replace").strip()
        except FileNotFoundError:  # stopped meanwhile
            return ""
        return f"\n{said}" if said else ""


def start_replica(
    spec: ReplicaSpec,
    python: Path,
    *,
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    threads: int = 1,
    ready_within_s: float = 120.0,
) -> Server:
    """Start a replica and wait until it has answered its example.

    On Linux it dies with the thread that calls this: call from one that lives as long as the replica shall.

    Args:
        python: the interpreter of an environment with the model's packages and `serve_requirements()`.
        folder: where the replica gets a folder of its own, which is removed when it is stopped.
        host: a loopback address.
        port: 0 for a free one.
        threads: of BLAS and OpenMP inside the model.

    Raises:
        Invalid: an address that others can reach, or a port that is none.
        Unavailable: the port cannot be had, or the replica is not ready in time.
        WorkFailed: the replica ended instead of becoming ready; its last words follow.
    """
    with listen(loopback(host, port), port) as listener:
        folder.mkdir(parents=True, exist_ok=True)
        own = Path(tempfile.mkdtemp(prefix="replica-", dir=folder.resolve()))
        spec.write(own / "spec.json")
        process = _spawn(python, own, listener, threads)
        server = Server(spec.told, url_of(*listener.getsockname()[:2]), process, own)
    # Only the replica holds the listener now: when it is gone, connections are refused at once.
    try:
        server._await_ready(ready_within_s)
    except BaseException:
        server.stop(grace_s=0)
        raise
    return server


def _spawn(python: Path, own: Path, listener: socket.socket, threads: int) -> subprocess.Popen[bytes]:
    descriptor = listener.fileno()
    try:
        with (own / _LOG).open("wb") as words:
            return start_python(
                python,
                "mlwright.serving.replica",
                [str(own / "spec.json"), str(descriptor)],
                cpus=threads,
                words=words,
                pass_fds=[descriptor],
            )
    except Unavailable:
        shutil.rmtree(own, ignore_errors=True)
        raise


def _ready(client: Client) -> bool:
    try:
        return client.ready()
    except MlwrightError:
        return False  # it died, or answers too late: the caller looks at both
