"""MLServer is told by two files, written here by `mlserver_serving.py NAME MODEL.joblib WORKERS PORT`.

Its own runtime for scikit-learn, in as many processes as there are workers. `mlserver_serving.py` with a
number behind asks for batches of so many rows, for which it waits 5 ms at most.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(name: str, path: str, workers: int, port: int, rows: int = 0) -> None:
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": workers,
        "debug": False,  # no line in a log for each request
    }
    model = {
        "name": name,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": path},
    }
    if rows:
        model |= {"max_batch_size": rows, "max_batch_time": 0.005}
    Path("settings.json").write_text(json.dumps(settings))
    Path("model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
