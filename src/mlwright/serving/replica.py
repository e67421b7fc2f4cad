"""The process that answers: one event loop, one thread that predicts, told what to do by a supervisor."""

from __future__ import annotations

from pathlib import Path

from mlwright.serving.application import Application
from mlwright.serving.control import run
from mlwright.serving.spec import ReplicaSpec


def main(arguments: list[str]) -> None:
    """Answer as the supervisor says.

    Args:
        arguments: the spec's path, the replica's own folder, the descriptor of the socket where supervisors
            connect; that of a pipe which ends with who started the supervisor, if it shall end with that.
    """
    path, own, control, *tie = arguments
    spec = ReplicaSpec.read(Path(path))
    run(lambda failed: Application(spec, Path(own), failed), spec.bounds, control, *tie)
