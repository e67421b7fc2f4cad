"""A real model, its signature, and a real replica that answers with it."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

from mlwright.kernel.ids import VersionId
from mlwright.sdk.codecs import codec_named
from mlwright.sdk.signature import signature
from mlwright.serving import Client, Limits, ModelSpec, ReplicaSpec, Server, start
from mlwright.versioning.signatures import Column, Example, Output, Signature, signature_from
from tests.serving.supervisor.toy import SCRIPT

VERSION = VersionId("01JD8ZZZZZZZZZZZZZZZZZZZZZ")
PYTHON = Path(sys.executable)

Body = bytes | str | Any


DEADLINE_S = 30


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        pause.wait(0.005)


@dataclass(frozen=True)
class Answered:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    url: str, method: str, path: str, body: Body = None, headers: dict[str, str] | None = None
) -> Answered:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=DEADLINE_S)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answered(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def post(url: str, body: Body, path: str = "/predict", **headers: str) -> Answered:
    """A prediction request, declared as JSON."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return ask(url, "POST", path, body, {"content-type": "application/json", **named})


def refused(url: str) -> bool:
    """Whether nobody listens there."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=DEADLINE_S).close()
    except ConnectionRefusedError:
        return True
    return False


def changed(spec: ReplicaSpec, **changes: Any) -> ReplicaSpec:
    """The same, but for its model."""
    return msgspec.structs.replace(spec, models=(msgspec.structs.replace(spec.models[0], **changes),))


def small_signature(*inputs: Column, example: Mapping[str, Any], output: Any = "yes") -> Signature:
    """A signature of a few columns, for models that are made by hand."""
    kind = Output("string", classes=("no", "yes")) if isinstance(output, str) else Output("number")
    return Signature(inputs, kind, False, Example(dict(example), output))


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    """Measurements of 569 tumours, 30 columns."""
    return load_breast_cancer(as_frame=True).data


@pytest.fixture(scope="session")
def forest(frame: pd.DataFrame) -> RandomForestClassifier:
    """Tells benign from malignant."""
    target = load_breast_cancer(as_frame=True).target.map({0: "malignant", 1: "benign"})
    return RandomForestClassifier(n_estimators=30, random_state=0).fit(frame, target)


@pytest.fixture(scope="session")
def make_spec(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ReplicaSpec]:
    """Makes the spec of a model: `make_spec(model, example_table)`."""

    def make(model: BaseEstimator, example: pd.DataFrame, **limits: int) -> ReplicaSpec:
        path = tmp_path_factory.mktemp("model") / "object"
        codec_named("sklearn").encode(model, path)
        made = signature_from(json.loads(json.dumps(signature(model, example))))
        model_spec = ModelSpec("diagnosis@1", VERSION, "sklearn", str(path), made)
        return ReplicaSpec((model_spec,), Limits(**limits))

    return make


@pytest.fixture(scope="session")
def spec(
    make_spec: Callable[..., ReplicaSpec], forest: RandomForestClassifier, frame: pd.DataFrame
) -> ReplicaSpec:
    """Of the forest."""
    return make_spec(forest, frame)


@pytest.fixture(scope="session")
def served(spec: ReplicaSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The forest, answering."""
    with start(spec, PYTHON, folder=tmp_path_factory.mktemp("serving")) as server:
        yield server


@pytest.fixture(scope="session")
def toy_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands where an environment's interpreter would, and starts replicas without a model."""
    script = tmp_path_factory.mktemp("toy") / "python"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    return script


@pytest.fixture
def client(served: Server) -> Iterator[Client]:
    """Asks the forest."""
    with Client(served.url) as made:
        yield made
