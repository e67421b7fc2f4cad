"""Other servers of the same models, each in an environment of its own below `.cache/peers/`.

What a user of each writes stands in `NAME_serving.py` beside this; here, what is typed to start it, in an
empty folder, and what it is asked.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _serving_models import Asked
from _serving_servers import Command, Row, Server

from _peers import ENVIRONMENTS

_HERE = Path(__file__).parent


def _fastapi(asked: Asked, workers: int, port: int) -> Sequence[str | Path]:
    app = ["uvicorn", "fastapi_serving:app", "--app-dir", _HERE, "--no-access-log"]
    return ["env", f"MODEL={asked.path}", *app, "--workers", str(workers), "--port", str(port)]


@dataclass(frozen=True, slots=True)
class _Peer:
    """What is told of one: as of a `Server`, but for its version; its name is that of its distribution.

    Args:
        command: its programs are those of its own environment.
    """

    name: str
    title: str
    command: Command
    path: str
    body: Callable[[Sequence[str], Row], Any]
    label: Callable[[Any], Any]
    prepare: Command | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


_PEERS = (
    _Peer(
        "fastapi",
        "FastAPI",
        _fastapi,
        "/predict",
        lambda _, row: {"features": row},
        lambda answer: answer["prediction"],
    ),
)


def installed() -> list[Server]:
    """Those that `make bench-serving` has installed."""
    return [_server(each) for each in _PEERS if (ENVIRONMENTS / each.name / "bin" / "python").exists()]


def _server(peer: _Peer) -> Server:
    programs = ENVIRONMENTS / peer.name / "bin"
    ask = f"from importlib.metadata import version; print(version({peer.name!r}))"
    told = subprocess.run([programs / "python", "-c", ask], capture_output=True, text=True, check=True)
    return Server(
        peer.name,
        f"{peer.title} {told.stdout.strip()}",
        peer.command,
        peer.path,
        peer.body,
        peer.label,
        prepare=peer.prepare,
        variables=peer.variables,
        programs=programs,
    )
