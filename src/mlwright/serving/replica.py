"""The process that answers: one event loop, one thread that predicts."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import msgspec
import uvloop

from mlwright.kernel.errors import MlwrightError
from mlwright.serving.application import Application
from mlwright.serving.spec import FAILURE, ReplicaSpec
from mlwright.wire.loop import answer, signalled

_SWITCH_S = 0.001
"""How long a model in Python computes before the event loop has its turn; by default 5 ms."""


def main(arguments: list[str]) -> None:
    """Answer until SIGTERM; arguments: the spec's path, the socket's descriptor.

    Ends with status 0 after SIGTERM, else with the exit code of what kept the model from being ready, which
    is told in the file `FAILURE` beside the spec.
    """
    spec_path, descriptor = Path(arguments[0]), int(arguments[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the engine's to act on
    sys.setswitchinterval(_SWITCH_S)
    failure = uvloop.run(_answer(spec_path, socket.socket(fileno=descriptor)))
    if failure is not None:
        told = {"message": failure.message, "hint": failure.hint}
        (spec_path.parent / FAILURE).write_bytes(msgspec.json.encode(told))
        sys.exit(failure.exit_code)


async def _answer(spec_path: Path, listener: socket.socket) -> MlwrightError | None:
    """Answer until SIGTERM; what kept the model from being ready, if something did."""
    loop, told_to_end = asyncio.get_running_loop(), asyncio.Event()
    spec = ReplicaSpec.read(spec_path)
    application = Application(spec, spec_path.parent, on_failure=told_to_end.set)
    with signalled(lambda: loop.call_soon_threadsafe(told_to_end.set)):
        await answer(application, listener, lambda: None, told_to_end, bounds=spec.bounds)
    return application.failure
