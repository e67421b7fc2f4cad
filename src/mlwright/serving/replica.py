"""The process that answers: one event loop, one thread that predicts."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import uvicorn

from mlwright.serving.application import Application
from mlwright.serving.spec import FAILURE, ReplicaSpec

DRAIN_S = 10
"""How long requests that are being answered have when the process is told to end."""
_KEEP_ALIVE_S = 65


class _Server(uvicorn.Server):
    """uvicorn, which ends with status 0 when it has done what SIGTERM asks."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        signal.signal(signal.SIGTERM, self.handle_exit)
        yield


def main(arguments: list[str]) -> None:
    """Answer until SIGTERM; arguments: the spec's path, the socket's descriptor.

    Ends with status 0 after SIGTERM, else with the exit code of what kept the model from being ready, which
    is told in the file `FAILURE` beside the spec.
    """
    spec_path, descriptor = Path(arguments[0]), int(arguments[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the engine's to act on

    def end() -> None:
        server.should_exit = True

    application = Application(ReplicaSpec.read(spec_path), spec_path.parent, on_failure=end)
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        workers=1,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)
    server.run(sockets=[socket.socket(fileno=descriptor)])
    if application.failure is not None:
        failure = {"message": application.failure.message, "hint": application.failure.hint}
        (spec_path.parent / FAILURE).write_bytes(msgspec.json.encode(failure))
        sys.exit(application.failure.exit_code)
