"""Requests that nobody would send, at a real replica: never its mistake, and it never ends.

The short form sends 400 on each protocol, the long one (MLWRIGHT_SOAK=1) 20,000.
"""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest

from mlwright.serving import ReplicaSpec, Server, start
from mlwright.serving.protocols.v2_tensors import DATATYPES
from mlwright.serving.spec import ModelSpec
from tests.serving import calling
from tests.serving.calling import Given
from tests.serving.conftest import PYTHON

REQUESTS = 20_000 if os.environ.get("MLWRIGHT_SOAK") == "1" else 400
COLUMNS = ["age", "visits", "smoker", "ward", "weight"]
KINDS = ["FP64", "INT64", "BOOL", "BYTES", "FP64"]
VALUES = [
    *(None, True, False, 0, 1, -1, 1.5, 2**31, 2**63, -(2**63) - 1, 2**64, 10**400, 1e308, -0.0),
    *("", "a", "\ud800", "\x00", "é" * 50, "NaN", [], {}, [[]], [1, "x"], {"a": 1}),
    *(float("nan"), float("inf")),
]

Sent = tuple[str, bytes, dict[str, str]]


class Chance(random.Random):
    """Makes requests from a seed."""

    def value(self, depth: int = 0) -> Any:
        """Any JSON."""
        match self.randrange(12):
            case 0 if depth < 4:
                return [self.value(depth + 1) for _ in range(self.randrange(4))]
            case 1 if depth < 4:
                return {self.choice([*COLUMNS, "rows", "data", "x"]): self.value(depth + 1) for _ in range(3)}
        return self.choice(VALUES)

    def mutated(self, value: Any) -> Any:
        """A right value, now and then with a part that is anything."""
        if self.random() < 0.04:
            return self.value()
        if isinstance(value, dict):
            made = {key: self.mutated(each) for key, each in value.items() if self.random() > 0.02}
            if self.random() < 0.03:
                made[self.choice([*COLUMNS, "params", "parameters", "outputs", "id"])] = self.value()
            return made
        if isinstance(value, list):
            return [self.mutated(each) for each in value]
        return value

    def damaged(self, body: bytes) -> bytes:
        """A body, now and then cut, doubled or with other bytes in it."""
        match self.randrange(8):
            case 0:
                return body[: self.randrange(len(body) + 1)]
            case 1:
                return body + self.randbytes(self.randrange(20))
            case 2 if body:
                changed = bytearray(body)
                for _ in range(self.randrange(1, 6)):
                    changed[self.randrange(len(changed))] = self.randrange(256)
                return bytes(changed)
            case 3 if self.random() < 0.2:
                return self.choice([b"[", b'{"a":', b'{"rows":[[']) * self.randrange(1, 60_000)
        return body

    def row(self) -> dict[str, Any]:
        return {"age": 50.5, "visits": 3, "smoker": True, "ward": self.choice("ab"), "weight": None}

    def rows(self) -> list[dict[str, Any]]:
        return [self.row() for _ in range(self.randrange(1, 4))]

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows()).astype({"weight": "float64"})


def predict(chance: Chance) -> Sent:
    rows = chance.rows()
    whole = {"rows": rows} if chance.random() < 0.5 else {"columns": pd.DataFrame(rows).to_dict("list")}
    kind = chance.choice(["application/json"] * 8 + ["", "application/x-pickle"])
    body = chance.damaged(json.dumps(chance.mutated(whole)).encode())
    return (
        "/models/back/predict" + chance.choice(["", "", "?proba=1", "?proba=%ff"]),
        body,
        {"content-type": kind},
    )


def tables(chance: Chance) -> Sent:
    frame = chance.frame()
    if chance.random() < 0.2:
        frame = frame.rename(columns={chance.choice(COLUMNS): "x"})
    if chance.random() < 0.2:
        frame[chance.choice(COLUMNS)] = chance.choice(["text", 1.5, 7, None, True])
    out = io.BytesIO()
    kind = chance.choice(
        ["text/csv", *(f"application/vnd.apache.{each}" for each in ("arrow.stream", "parquet"))]
    )
    if kind == "text/csv":
        frame.to_csv(out, index=chance.random() < 0.2)
    elif kind.endswith("parquet"):
        frame.to_parquet(out, compression=chance.choice(["snappy", "zstd", "gzip", None]))
    else:
        frame.to_feather(out, compression=chance.choice(["zstd", "lz4", "uncompressed"]))
    return "/predict", chance.damaged(out.getvalue()), {"content-type": kind}


def v2(chance: Chance) -> Sent:
    rows = chance.rows()
    inputs, tail = [], b""
    for name, kind in zip(COLUMNS, KINDS, strict=True):
        values = [row[name] for row in rows]
        given: dict[str, Any] = {"name": name, "shape": [len(rows)], "datatype": kind, "data": values}
        if chance.random() < 0.3 and None not in values:
            if kind == "BYTES":
                raw = b"".join(len(each).to_bytes(4, "little") + each.encode() for each in values)
            else:
                raw = np.array(values, {"FP64": "f8", "INT64": "i8", "BOOL": "?"}[kind]).tobytes()
            del given["data"]
            given["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        if chance.random() < 0.05:
            given["datatype"] = chance.choice(DATATYPES)
        if chance.random() < 0.05:
            given["shape"] = [
                chance.choice([-1, 0, 1, 2, 3, 2**31, 2**63, 2**64]) for _ in range(chance.randrange(4))
            ]
        inputs.append(given)
    request: dict[str, Any] = {"inputs": inputs}
    if chance.random() < 0.3:
        names = chance.choices(["predict", "predict_proba", "x"], [4, 4, 1], k=chance.randrange(3))
        request["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in names]
    head = json.dumps(chance.mutated(request)).encode()
    size = str(len(head)) if chance.random() < 0.9 else chance.choice(["-1", "0", "1", "9" * 30, "x", "²"])
    headers = {"inference-header-content-length": size.encode("latin-1").decode("latin-1")} if tail else {}
    return "/v2/models/back/infer", chance.damaged(head + tail), headers


def invocations(chance: Chance) -> Sent:
    frame = chance.frame()
    whole: dict[str, Any] = chance.choice(
        [
            {"dataframe_split": frame.to_dict("split")},
            {"dataframe_records": frame.to_dict("records")},
            {"instances": frame.to_dict("records")},
            {"inputs": frame.to_dict("list")},
            {"inputs": frame.to_numpy().tolist()},
        ]
    )
    if chance.random() < 0.1:
        return (
            "/invocations",
            chance.damaged(frame.to_csv(index=False).encode()),
            {"content-type": "text/csv"},
        )
    kind = "application/json" + chance.choice(["", "", "; charset=utf-8", "; charset=latin-1", ";x"])
    return "/invocations", chance.damaged(json.dumps(chance.mutated(whole)).encode()), {"content-type": kind}


def damage(chance: Chance, message: Any) -> None:
    """Change something in a message."""
    tensor = chance.choice(message.inputs)
    match chance.randrange(9):
        case 0:
            tensor.shape[:] = [
                chance.choice([-1, 0, 1, 2, 3, 2**31, 2**62, -(2**63)]) for _ in range(chance.randrange(5))
            ]
        case 1:
            tensor.datatype = chance.choice([*DATATYPES, "", "fp64"])
        case 2:
            tensor.name = chance.choice([*COLUMNS, "", "input", "\0", "é" * 200])
        case 3:
            field = chance.choice(tensor.contents.DESCRIPTOR.fields)
            values = getattr(tensor.contents, field.name)
            values.extend(
                [b"\xff" if field.name.startswith("bytes") else chance.randrange(2)] * chance.randrange(3)
            )
        case 4:
            name = chance.choice(["content_type", "shared_memory_size", "x", "binary_data"])
            setattr(tensor.parameters[name], chance.choice(["bool_param", "int64_param", "double_param"]), 1)
        case 5:
            name = chance.choice(["predict", "predict_proba", "x"])
            message.outputs.add(name=name).parameters["binary_data"].string_param = "x"
        case 6:
            message.raw_input_contents.append(chance.randbytes(chance.randrange(20)))
        case 7:
            del message.inputs[chance.randrange(5) :]
        case 8:
            message.model_version = chance.choice(["2", "0", "\0", "9" * 500])


def call(chance: Chance) -> tuple[str, bytes, list[tuple[str, str]]]:
    """What is called, all that stands after the head, and the metadata."""
    rows = chance.rows()
    kinds = {"FP64": "f8", "INT64": "i8", "BOOL": "?"}
    tensors: list[Given] = []
    for name, kind in zip(COLUMNS, KINDS, strict=True):
        values = [row[name] for row in rows]
        if kind == "BYTES":
            raw = b"".join(len(each).to_bytes(4, "little") + each.encode() for each in values)
        else:
            raw = np.array([np.nan if each is None else each for each in values], kinds[kind]).tobytes()
        tensors.append((name, kind, [len(rows)], raw))
    message = calling.asked("back", tensors)
    for _ in range(chance.choice([0, 0, 0, 1, 1, 2])):
        if message.inputs:
            damage(chance, message)
    body = (
        chance.damaged(message.SerializeToString()) if chance.random() < 0.4 else message.SerializeToString()
    )
    framed = b"\0" + len(body).to_bytes(4) + body
    if chance.random() < 0.1:
        framed = chance.damaged(framed)
    method = chance.choice(["ModelInfer"] * 12 + ["ModelReady", "ModelMetadata", "ServerMetadata", "x\x7f"])
    metadata = chance.choice(
        [[]] * 9 + [[("grpc-timeout", chance.choice(["1S", "0m", "x", "9" * 30 + "S"]))]]
    )
    return f"/{calling.SERVICE}/{method}", framed, metadata


@pytest.fixture(scope="module")
def back(back_spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The tree alone, so that every protocol asks it."""
    folder = tmp_path_factory.mktemp("back")
    with start(ReplicaSpec((back_spec,)), PYTHON, folder=folder) as server:
        yield server


def asked(connection: HTTPConnection, sent: Sent) -> tuple[int, bytes]:
    """The status and the body that a request is answered with."""
    connection.request("POST", *sent)
    answered = connection.getresponse()
    return answered.status, answered.read()


@pytest.mark.soak
@pytest.mark.parametrize("make", [predict, tables, v2, invocations], ids=lambda make: make.__name__)
def test_nothing_a_client_sends_is_our_mistake(back: Server, make: Callable[[Chance], Sent]) -> None:
    """Of requests that are right, changed and damaged none is answered by a 5xx, and the replica lives on."""
    address = urlsplit(back.url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=60)
    seen: set[int] = set()
    replicas = back.pids

    for seed in range(REQUESTS):
        sent = make(Chance(seed))
        status, said = asked(connection, sent)
        assert status < 500, (seed, sent[0], sent[2], sent[1][:300], said)
        seen.add(status)
    connection.close()

    assert 200 in seen
    assert seen & {400, 422}
    assert back.pids == replicas  # the process that was started, and no other


@pytest.mark.soak
def test_no_call_is_our_mistake(back: Server) -> None:
    """Likewise over gRPC: none is answered with UNKNOWN or INTERNAL, and none without a status."""
    seen: set[int] = set()
    replicas = back.pids

    with calling.Caller(back.url) as caller:
        for seed in range(REQUESTS):
            path, framed, metadata = call(Chance(seed))
            called = caller.end(caller.begin(path, framed, metadata))
            assert called.status not in {2, calling.INTERNAL}, (seed, path, framed[:300], called)
            seen.add(called.status)

    assert seen >= {calling.OK, calling.INVALID, calling.NOT_FOUND, calling.UNIMPLEMENTED}
    assert back.pids == replicas
