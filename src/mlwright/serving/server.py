"""A server as its starter has it: a supervisor and its replicas, which end with this process."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from mlwright.compute.process import cause_of_death
from mlwright.kernel.errors import MlwrightError, WorkFailed
from mlwright.serving.plan import address_of
from mlwright.serving.spec import ReplicaSpec
from mlwright.serving.supervisor.client import Started, SupervisorClient, Tie, end_left, launch
from mlwright.serving.supervisor.folder import Revision

_OFTEN_S = 10.0
"""A supervisor that dies again within this is not started once more."""
_LAST_S = 2.0
"""One that has been told to end has so long, where nobody waits for answers."""


class Server:
    """A running server. Leaving it as a context manager stops it.

    Args:
        model: the reference of what it answers with.
        url: where it answers, without a slash at the end.
        started: its supervisor.
        tie: what ends with this process, and the server with it.
    """

    def __init__(self, model: str, url: str, started: Started, tie: Tie) -> None:
        self.model = model
        self.url = url
        self.supervisor = SupervisorClient(started.folder)
        self._started = started
        self._tie = tie
        self._stopping = False
        self._status: int | None = None

    @property
    def pid(self) -> int:
        """The process id of the supervisor."""
        return self._started.process.pid

    @property
    def pids(self) -> list[int]:
        """The process ids of the replicas that serve."""
        return [each["pid"] for each in self.status()["replicas"] if each["phase"] == "serving"]

    def status(self) -> dict[str, Any]:
        """How the supervisor and each replica are.

        Raises:
            Unavailable: the supervisor is not there.
        """
        return self.supervisor.status()

    def wait(self, timeout_s: float | None = None, *, news: Callable[[str], object] | None = None) -> None:
        """Wait until the server has ended. A supervisor that was killed is started again meanwhile.

        Args:
            news: is told what happens, as a replica that dies and is replaced.

        Raises:
            TimeoutError: it still runs.
            WorkFailed: it ended by itself.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        restarted_s: float | None = None
        while True:
            if news is not None:
                threading.Thread(target=self._hear, args=(news,), daemon=True).start()
            try:
                status = self._started.process.wait(
                    None if deadline is None else max(0.0, deadline - time.monotonic())
                )
            except subprocess.TimeoutExpired as error:
                raise TimeoutError(f"the server of {self.model} still runs") from error
            if status == 0 or self._stopping:
                return
            what = f"the supervisor of {self.model} has ended by itself: {cause_of_death(status)}"
            if restarted_s is not None and time.monotonic() - restarted_s < _OFTEN_S:
                raise WorkFailed(what, hint="start it again: mlwright serve " + self.model)
            self._started.close()
            self._started, restarted_s = launch(self.supervisor.folder, self._tie), time.monotonic()
            if news is not None:
                news(f"{what}; another one goes on")

    def stop(self, grace_s: float = 15.0) -> int:
        """Let it answer what it has taken, then end it; nothing of it is left afterwards.

        Args:
            grace_s: how long it may take before what is left is cut off.

        Returns:
            The exit status of its supervisor: 0, or the negative number of the signal that ended it.
        """
        self._stopping = True
        if self._status is None:
            try:
                with contextlib.suppress(MlwrightError):
                    self.supervisor.stop(grace_s)
                    self._started.process.wait()
            finally:
                self._status = self._kill()
        return self._status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _hear(self, say: Callable[[str], object]) -> None:
        with contextlib.suppress(MlwrightError):
            self.supervisor.watch(say)

    def _kill(self) -> int:
        return _ended(self._started, self._tie)


def start(
    spec: ReplicaSpec,
    python: Path,
    *,
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    replicas: int = 1,
    threads: int = 1,
    ready_within_s: float = 120.0,
    progress: Callable[[str], object] | None = None,
) -> Server:
    """Start a server and wait until each of its replicas has answered its example.

    It ends when this process does, however that comes.

    Args:
        python: the interpreter of an environment with the model's packages and `serve_requirements()`.
        folder: where it gets a folder of its own, which is removed when it is stopped.
        host: the address to listen on; one that others reach only if the spec's access says so.
        port: 0 for a free one.
        replicas: processes that answer, among which connections are shared out.
        threads: of BLAS and OpenMP inside the model, in each replica.
        ready_within_s: a replica may load and answer its example for so long.
        progress: is told what happens until it answers.

    Raises:
        Invalid: an address that others can reach, without a token; a port that is none; or so many replicas
            cannot be.
        Unavailable: the port cannot be had, or a replica is not ready in time.
        WorkFailed: a replica ended instead of becoming ready; its last words follow.
    """
    address = address_of(host, port, spec.access)
    folder.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix="serve-", dir=folder.resolve()))
    revision = Revision(
        spec.told,
        str(python),
        msgspec.Raw(msgspec.json.encode(spec)),
        threads=threads,
        ready_within_s=ready_within_s,
    )
    tie = Tie()
    started = launch(own, tie)
    try:
        url = started.begin(address, port, replicas, revision, progress=progress or (lambda what: None))
    except BaseException:
        _ended(started, tie)
        raise
    return Server(spec.told, url, started, tie)


def _ended(started: Started, tie: Tie) -> int:
    """End a supervisor, and what is left of its replicas; its exit status."""
    tie.close()
    started.close()
    try:
        started.process.wait(_LAST_S)
    except subprocess.TimeoutExpired:
        started.process.kill()
    status = started.process.wait()
    end_left(started.folder)
    shutil.rmtree(started.folder, ignore_errors=True)
    return status
