"""The process that answers: one event loop, one thread that predicts, told what to do by a supervisor."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from mlwright.serving.answering import Answering, Loading
from mlwright.serving.application import Application
from mlwright.serving.control import Control
from mlwright.serving.spec import ReplicaSpec

Making = Callable[[Path, Path], Loading]
"""Makes an application from the file of its spec and a folder for copies, inside the event loop."""


def main(arguments: list[str]) -> None:
    """Answer as the supervisor says; the arguments are those of `run`."""
    run(arguments, lambda spec, own: Application(ReplicaSpec.read(spec), own))


def run(arguments: list[str], making: Making) -> None:
    """Answer with an application as the supervisor says. Ends with the exit code of what it fails at, if it does.

    Args:
        arguments: the spec's path, the replica's own folder, the descriptor of the socket where supervisors
            connect; that of a pipe which ends with who started the supervisor, if it shall end with that.
    """
    spec, own, control, *tie = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the starter's to act on
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    listener = socket.socket(fileno=int(control))

    async def answer() -> Loading:
        application = making(Path(spec), Path(own))
        answering = Answering(application)
        told = Control(answering, listener, int(tie[0]) if tie else None)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.leave)
        await answering.begin()
        await told.run()
        return application

    failure = uvloop.run(answer()).failure
    if failure is not None:
        sys.exit(failure.exit_code)
