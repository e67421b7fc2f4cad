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


def _mlflow(_: Asked, workers: int, port: int) -> Sequence[str | Path]:
    options = ["--env-manager", "local", "--host", "127.0.0.1", "--workers", str(workers)]
    return ["mlflow", "models", "serve", "--model-uri", "model", "--port", str(port), *options]


def _mlflow_model(asked: Asked, workers: int, port: int) -> Sequence[str | Path]:
    return ["python", _HERE / "mlflow_serving.py", asked.path]


def _bentoml(asked: Asked, workers: int, port: int) -> Sequence[str | Path]:
    given = ["env", f"MODEL={asked.path}", f"WORKERS={workers}"]
    service = ["bentoml", "serve", "bentoml_serving:Tumours", "--working-dir", _HERE]
    return [*given, *service, "--host", "127.0.0.1", "--port", str(port)]


def _litserve(asked: Asked, workers: int, port: int) -> Sequence[str | Path]:
    return ["python", _HERE / "litserve_serving.py", asked.path, str(workers), str(port)]


def _mlserver(asked: Asked, workers: int, port: int) -> Sequence[str | Path]:
    return ["mlserver", "start", "."]


def _mlserver_files(*rows: str) -> Command:
    def command(asked: Asked, workers: int, port: int) -> Sequence[str | Path]:
        told = [asked.model, asked.path, str(workers), str(port), *rows]
        return ["python", _HERE / "mlserver_serving.py", *told]

    return command


def _ray(*rows: str) -> Command:
    def command(asked: Asked, workers: int, port: int) -> Sequence[str | Path]:
        return ["python", _HERE / "ray_serving.py", asked.path, str(workers), str(port), *rows]

    return command


def _tensor(_: Sequence[str], row: Row) -> Any:
    data = {"name": "input", "shape": [1, len(row)], "datatype": "FP64", "data": list(row)}
    return {"inputs": [data]}


@dataclass(frozen=True, slots=True)
class _Peer:
    """What is told of one: as of a `Server`, but for its version.

    Args:
        distribution: its packages are in an environment of that name.
        command: its programs are those of this environment.
    """

    name: str
    title: str
    distribution: str
    command: Command
    path: str
    body: Callable[[Sequence[str], Row], Any]
    label: Callable[[Any], Any]
    prepare: Command | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def _features(_: Sequence[str], row: Row) -> Any:
    return {"features": row}


def _rows(_: Sequence[str], row: Row) -> Any:
    return {"rows": [row]}


def _prediction(answer: Any) -> Any:
    return answer["prediction"]


def _first(answer: Any) -> Any:
    return answer[0]


def _output(answer: Any) -> Any:
    return answer["outputs"][0]["data"][0]


_SILENT = {"BENTOML_DO_NOT_TRACK": "true", "RAY_USAGE_STATS_ENABLED": "0", "DO_NOT_TRACK": "1"}
_INFER = "/v2/models/{model}/infer"

_PEERS = (
    _Peer("fastapi", "FastAPI", "fastapi", _fastapi, "/predict", _features, _prediction),
    _Peer(
        "mlflow",
        "MLflow",
        "mlflow",
        _mlflow,
        "/invocations",
        lambda names, row: {"dataframe_split": {"columns": list(names), "data": [row]}},
        lambda answer: answer["predictions"][0],
        _mlflow_model,
        {"MLFLOW_DISABLE_TELEMETRY": "true", **_SILENT},
    ),
    _Peer("bentoml", "BentoML", "bentoml", _bentoml, "/predict", _rows, _first, None, _SILENT),
    _Peer(
        "bentoml_batches", "BentoML", "bentoml", _bentoml, "/predict_together", _rows, _first, None, _SILENT
    ),
    _Peer("litserve", "LitServe", "litserve", _litserve, "/predict", _features, _prediction, None, _SILENT),
    _Peer("mlserver", "MLServer", "mlserver", _mlserver, _INFER, _tensor, _output, _mlserver_files()),
    _Peer(
        "mlserver_batches", "MLServer", "mlserver", _mlserver, _INFER, _tensor, _output, _mlserver_files("64")
    ),
    _Peer("ray", "Ray Serve", "ray", _ray(), "/predict", _features, _prediction, None, _SILENT),
    _Peer("ray_batches", "Ray Serve", "ray", _ray("64"), "/predict", _features, _prediction, None, _SILENT),
)


def installed() -> list[Server]:
    """Those that `make bench-serving` has installed."""
    return [
        _server(each) for each in _PEERS if (ENVIRONMENTS / each.distribution / "bin" / "python").exists()
    ]


def _server(peer: _Peer) -> Server:
    programs = ENVIRONMENTS / peer.distribution / "bin"
    ask = f"from importlib.metadata import version; print(version({peer.distribution!r}))"
    told = subprocess.run([programs / "python", "-c", ask], capture_output=True, text=True, check=True)
    batches = ", batches" if peer.name.endswith("_batches") else ""
    return Server(
        peer.name,
        f"{peer.title} {told.stdout.strip()}{batches}",
        peer.command,
        peer.path,
        peer.body,
        peer.label,
        prepare=peer.prepare,
        variables=peer.variables,
        programs=programs,
    )
