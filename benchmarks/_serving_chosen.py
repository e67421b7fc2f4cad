"""What of it is measured: all, or what variables of the environment say."""

from __future__ import annotations

import atexit
import functools
import os
import sys
from contextlib import ExitStack

from _peers.serving import installed
from _serving_models import Asked, asked
from _serving_servers import CONSTANT, NATIVE, OURS, Server


def _chosen(variable: str, usual: str) -> list[str]:
    return os.environ.get(variable, usual).split(",")


TURN_S = int(os.environ.get("MLWRIGHT_LOAD_S", "1"))
MODELS = _chosen("MLWRIGHT_MODELS", "logistic,forest")
WORKERS = [int(each) for each in _chosen("MLWRIGHT_WORKERS", "1,2")]
CLIENTS = [int(each) for each in _chosen("MLWRIGHT_CLIENTS", "1,16,64")]


@functools.cache
def models() -> dict[str, Asked]:
    """By name; they are made at the first call, and taken away when the process ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(asked())


@functools.cache
def servers() -> list[Server]:
    """Ours, the constant, and the peers that are installed."""
    known = {each.name: each for each in (OURS, NATIVE, CONSTANT, *installed())}
    wanted = _chosen("MLWRIGHT_SERVERS", ",".join(known))
    if unknown := set(wanted) - set(known):
        sys.exit(
            f"error: there is no server {', '.join(sorted(unknown))}; there are {', '.join(known)}\n"
            "hint: make bench-serving installs others"
        )
    return [known[each] for each in wanted]
