"""The Open Inference Protocol over gRPC, asked by clients that others wrote, and by one made by hand."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ml_dtypes
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from mlwright.serving import Access, ModelSpec, Recording, ReplicaSpec, Server, start, version_behind
from mlwright.serving.figures import Figures
from mlwright.serving.problems import Problem
from mlwright.serving.protocols.grpc import Call, Calls
from mlwright.serving.protocols.grpc_messages import HEALTH, INFERENCE
from mlwright.serving.protocols.v2_grpc import Inference
from mlwright.serving.request import Reply
from tests.serving.calling import (
    DEADLINE,
    DENIED,
    EXHAUSTED,
    INTERNAL,
    INVALID,
    NOT_FOUND,
    OK,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    Caller,
    Given,
    asked,
)
from tests.serving.conftest import PYTHON, VERSION, ask, post
from tests.serving.protocols.conftest import run_client
from tests.serving.test_records import everything
from tests.wire.answering import answering, constant

TOKEN = "a-token-that-nobody-guesses"
CHECK, WATCH = (f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch"))
SERVING, NOT_SERVING = 1, 2

TRITON = """
    import json, ml_dtypes, numpy as np, tritonclient.grpc as grpc
    told = json.load(open("told.json"))
    client = grpc.InferenceServerClient(told["address"])
    metadata = client.get_model_metadata("diagnosis", "1", as_json=True)
    said = {
        "live": client.is_server_live(), "ready": client.is_server_ready(),
        "model": client.is_model_ready("diagnosis"), "version": client.is_model_ready("diagnosis", "1"),
        "other": client.is_model_ready("diagnosis", "2"), "nobody": client.is_model_ready("nobody"),
        "server": client.get_server_metadata(as_json=True), "metadata": metadata, "answers": {},
    }
    wide = np.array(told["rows"])
    kinds = ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]
    kinds += ["FP16", "FP32", "FP64", "BF16"]
    for kind in kinds:
        name = kind.lower().replace("fp", "float")
        values = wide.astype(ml_dtypes.bfloat16 if kind == "BF16" else name)
        tensor = grpc.InferInput("input", list(values.shape), kind).set_data_from_numpy(values)
        outputs = [grpc.InferRequestedOutput(each) for each in ("predict", "predict_proba")]
        for wanted in (outputs, None):
            answer = client.infer("diagnosis", [tensor], outputs=wanted, request_id=kind)
            labels, shares = answer.as_numpy("predict"), answer.as_numpy("predict_proba")
            answers = said["answers"].setdefault(kind, [])
            labels = [str(each, "utf-8") for each in labels]
            answers.append([answer.get_response().id, labels, shares.tolist()])
    zeros = grpc.InferInput("x", [1], "FP32").set_data_from_numpy(np.zeros(1, "float32"))
    for model in ("diagnosis", "nobody"):
        try:
            client.infer(model, [zeros])
        except Exception as error:
            said[f"error of {model}"] = [error.message(), error.status()]
    json.dump(said, open("said.json", "w"))
"""

KSERVE = """
    import asyncio, json, numpy as np
    from kserve import InferenceGRPCClient, InferInput, InferRequest
    told = json.load(open("told.json"))
    kinds = {"age": "FP64", "visits": "INT64", "smoker": "BOOL", "ward": "BYTES", "weight": "FP64"}
    dtypes = {"FP64": "float64", "INT64": "int64", "BOOL": "bool", "BYTES": "object"}

    async def main():
        said = {"answers": []}
        async with InferenceGRPCClient(told["address"], retries=0) as client:
            said["live"], said["ready"] = await client.is_server_live(), await client.is_server_ready()
            said["model"] = await client.is_model_ready("back")
            for raw in (False, True):
                inputs = []
                for name, values in told["columns"].items():
                    array = np.array(values, dtype=dtypes[kinds[name]])
                    inputs.append(InferInput(name, list(array.shape), kinds[name]))
                    inputs[-1].set_data_from_numpy(array, binary_data=raw)
                answer = await client.infer(InferRequest("back", inputs, request_id="7"))
                labels, shares = (each.as_numpy() for each in answer.outputs)
                labels = [str(each, "utf-8") if isinstance(each, bytes) else each for each in labels]
                said["answers"].append([answer.id, labels, shares.tolist()])
            try:
                await client.infer(InferRequest("back", inputs[:1]))
            except Exception as error:
                said["error"] = str(error)
        json.dump(said, open("said.json", "w"))

    asyncio.run(main())
"""


def test_tritons_client_calls_in_every_datatype(
    both: Server, forest: RandomForestClassifier, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """Health, metadata, and the forest in twelve datatypes: the model's own answers."""
    rows = frame.head(4).clip(upper=120).to_numpy()

    said = run_client(TRITON, tmp_path, {"address": urlsplit(both.url).netloc, "rows": rows.tolist()})

    answers = [said[each] for each in ("live", "ready", "model", "version", "other", "nobody")]
    assert answers == [*[True] * 4, *[False] * 2]
    assert said["server"]["name"] == "mlwright"
    assert said["metadata"]["versions"] == ["1"]
    assert [each["name"] for each in said["metadata"]["inputs"]] == list(frame.columns)
    assert [each["shape"] for each in said["metadata"]["outputs"]] == [["-1"], ["-1", "2"]]
    assert len(said["answers"]) == 12
    for kind, answered in said["answers"].items():
        dtype = ml_dtypes.bfloat16 if kind == "BF16" else kind.lower().replace("fp", "float")
        given = pd.DataFrame(rows.astype(dtype).astype("float64"), columns=frame.columns)
        expected = [kind, forest.predict(given).tolist(), forest.predict_proba(given).tolist()]
        assert answered == [expected] * 2
    assert "`x` is not a column of this model" in said["error of diagnosis"][0]
    assert said["error of diagnosis"][1] == "StatusCode.INVALID_ARGUMENT"
    assert said["error of nobody"][1] == "StatusCode.NOT_FOUND"


def test_kserves_client_calls_with_a_column_of_each_type(
    both: Server, tree: Pipeline, visits: pd.DataFrame, tmp_path: Path
) -> None:
    """Columns as tensors of their own, a weight that is missing among them, raw and by their types."""
    rows = visits[visits["ward"].notna()].head(12)
    columns = {name: [None if each != each else each for each in rows[name].tolist()] for name in rows}

    said = run_client(KSERVE, tmp_path, {"address": urlsplit(both.url).netloc, "columns": columns})

    assert None in columns["weight"]
    assert (said["live"], said["ready"], said["model"]) == (True, True, True)
    expected = ["7", tree.predict(rows).tolist(), tree.predict_proba(rows).tolist()]
    assert said["answers"] == [expected, expected]
    assert "`visits` is missing" in said["error"]
    assert "INVALID_ARGUMENT" in said["error"]


@pytest.fixture(scope="module")
def caller(both: Server) -> Iterator[Caller]:
    """Calls the two models."""
    with Caller(both.url) as made:
        yield made


ROW: list[Given] = [
    ("age", "FP64", [1], np.array([50.5]).tobytes()),
    ("visits", "INT64", [1], np.array([3]).tobytes()),
    ("smoker", "BOOL", [1], b"\1"),
    ("ward", "BYTES", [1], b"\1\0\0\0a"),
    ("weight", "FP64", [1], np.array([np.nan]).tobytes()),
]


def with_one(at: int, **changes: Any) -> list[Given]:
    """The row, one of its tensors changed."""
    name, datatype, shape, raw = ROW[at]
    given = {"name": name, "datatype": datatype, "shape": shape, "raw": raw} | changes
    changed = (given["name"], given["datatype"], given["shape"], given["raw"])
    return [*ROW[:at], changed, *ROW[at + 1 :]]


WRONG = {
    "none": [],
    "negative": with_one(0, shape=[-1]),
    "no dimension": with_one(0, shape=[]),
    "no row": with_one(0, shape=[0], raw=b""),
    "overflow": with_one(0, shape=[2**62, 4]),
    "too many rows": with_one(0, shape=[2**62]),
    "too many columns": with_one(0, shape=[1, 7], raw=bytes(56)),
    "two columns": with_one(0, shape=[1, 2], raw=bytes(16)),
    "three dimensions": with_one(0, shape=[1, 1, 1]),
    "other rows": with_one(1, shape=[2], raw=bytes(16)),
    "short": with_one(0, raw=bytes(7)),
    "long": with_one(0, raw=bytes(9)),
    "datatype": with_one(0, datatype="FP65"),
    "wrong datatype": with_one(0, datatype="BYTES", raw=b"\1\0\0\0a"),
    "text": with_one(3, raw=b"\2\0\0\0a"),
    "no UTF-8": with_one(3, raw=b"\1\0\0\0\xff"),
    "unknown": with_one(0, name="height"),
    "twice": with_one(1, name="age"),
    "missing": ROW[:-1],
    "many": [ROW[0]] * 50,
    "infinite": with_one(0, raw=np.array([np.inf]).tobytes()),
    "half": with_one(1, datatype="FP64", raw=np.array([0.5]).tobytes()),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused_is_told_as_over_http(both: Server, caller: Caller, name: str) -> None:
    """The same tensors, wrong in the same way, are refused in the same words."""
    tensors = WRONG[name]
    inputs = [
        {"name": each, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
        for each, kind, shape, raw in tensors
    ]
    head = json.dumps({"inputs": inputs}).encode()
    body = head + b"".join(raw for *_, raw in tensors)

    told = post(both.url, body, "/v2/models/back/infer", Inference_Header_Content_Length=str(len(head)))
    called = caller.infer(asked("back", tensors))

    assert told.status == 400
    assert (called.status, called.message) == (INVALID, told.json["error"])


def typed(**contents: Any) -> Any:
    """A question about one row, its age by its type."""
    message = asked("back", ROW)
    del message.raw_input_contents[:]
    (age, visits, smoker, ward, weight) = message.inputs
    visits.contents.int64_contents.append(3)
    smoker.contents.bool_contents.append(True)
    ward.contents.bytes_contents.append(b"a")
    weight.contents.fp64_contents.append(np.nan)
    age.datatype = contents.pop("datatype", "FP64")
    for name, values in contents.items():
        getattr(age.contents, name).extend(values)
    return message


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"fp64_contents": [50.5]}, ""),
        ({"datatype": "FP32", "fp32_contents": [50.5]}, ""),
        ({"datatype": "INT8", "int_contents": [50]}, ""),
        ({"datatype": "UINT16", "uint_contents": [50]}, ""),
        ({"datatype": "UINT64", "uint64_contents": [50]}, ""),
        ({}, "stand in fp64_contents; there is nothing"),
        ({"fp32_contents": [50.5]}, "stand in fp64_contents; there is fp32_contents"),
        ({"fp64_contents": [50.5], "int_contents": [1]}, "there is int_contents and fp64_contents"),
        ({"fp64_contents": [50.5, 1.0]}, "`age` has 2 values, and its shape says 1"),
        ({"datatype": "INT8", "int_contents": [128]}, "value 0 of the data of `age` is outside of INT8"),
        ({"datatype": "UINT8", "uint_contents": [256]}, "value 0 of the data of `age` is outside of UINT8"),
        ({"datatype": "FP16", "fp32_contents": [1.0]}, "`age` is FP16, whose values stand in raw_input"),
        ({"datatype": "BOOL", "bool_contents": [True]}, "`age` is FP64 (number), not BOOL"),
    ],
)
def test_values_may_stand_by_their_types(caller: Caller, contents: dict[str, Any], said: str) -> None:
    """They are answered by their types, as raw ones are; or it is told where they should stand."""
    called = caller.infer(typed(**contents))

    if said:
        assert called.status == INVALID
        assert said in called.message
        return
    answer = called.read(INFERENCE["ModelInferResponse"])
    raw = caller.infer(asked("back", ROW)).read(INFERENCE["ModelInferResponse"])
    label, shares = answer.outputs
    assert not answer.raw_output_contents
    assert not any(output.HasField("contents") for output in raw.outputs)
    assert raw.raw_output_contents[0] == b"\2\0\0\0" + label.contents.bytes_contents[0]
    assert list(np.frombuffer(raw.raw_output_contents[1])) == list(shares.contents.fp64_contents)


def changed(**changes: Any) -> Any:
    """A right question, something in it changed."""
    message = asked("back", ROW)
    for name, value in changes.items():
        match name:
            case "outputs":
                for each in value:
                    message.outputs.add(name=each)
            case "parameter":
                message.inputs[0].parameters[value].string_param = "x"
            case "classification":
                message.outputs.add(name="predict").parameters[name].int64_param = value
            case "raw":
                message.raw_input_contents.append(value)
            case "contents":
                message.inputs[0].contents.fp64_contents.append(value)
            case _:
                setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"model_name": "nobody"}, NOT_FOUND, "there is no model `nobody` here: there are diagnosis, back"),
        ({"model_version": "3"}, NOT_FOUND, "there is no version `3` of `back` here: there is 2"),
        ({"outputs": ["predict", "x"]}, INVALID, "`x` is no output of this model"),
        ({"outputs": ["predict", "predict"]}, INVALID, "is asked for twice"),
        ({"classification": 3}, INVALID, "cannot be asked for as a classification"),
        ({"parameter": "shared_memory_region"}, INVALID, "is in shared memory"),
        ({"parameter": "content_type"}, INVALID, "the content_type of `age` is not known here"),
        ({"raw": b""}, INVALID, "there are 5 inputs, and 6 raw_input_contents"),
        ({"contents": 1.0}, INVALID, "`age` has both contents and raw_input_contents"),
        ({"model_version": "2", "outputs": ["predict"], "parameter": "other"}, OK, ""),
    ],
)
def test_what_is_asked_for_is_there_or_it_is_said(
    caller: Caller, changes: dict[str, Any], status: int, said: str
) -> None:
    """Models, versions, outputs and parameters that are not, or that cannot be answered here."""
    called = caller.infer(changed(**changes))

    assert (called.status, said in called.message) == (status, True), called.message


def test_an_answer_leads_back_to_its_model(both: Server, caller: Caller) -> None:
    """The trailing metadata have the id, the version and the trace, and it is counted as a call."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    metadata = [("traceparent", parent), ("tracestate", "rojo=1")]

    called = caller.infer(asked("back", with_one(0, raw=np.array([1000.0]).tobytes())), metadata)

    answer = called.read(INFERENCE["ModelInferResponse"])
    assert called.trailers["x-mlwright-model"] == "back@2"
    assert answer.id == called.trailers["x-mlwright-prediction-id"]
    assert version_behind(answer.id) == VERSION
    assert answer.parameters["warnings"].string_param.startswith("row 0: `age` is 1000")
    assert called.trailers["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert called.trailers["traceparent"] != parent
    assert called.trailers["tracestate"] == "rojo=1"
    counted = ask(both.url, "GET", "/metrics").body.decode()
    assert 'mlwright_requests_total{model="back",version="2",protocol="grpc",status="2xx"}' in counted


@pytest.mark.parametrize(
    ("framed", "metadata", "status", "said"),
    [
        (b"", [], INVALID, "one message must be sent"),
        (b"\0\0\0", [], INVALID, "one message must be sent"),
        (b"\0\0\0\0\5abcd", [], INVALID, "one message must be sent"),
        (b"\0\0\0\0\1aa", [], INVALID, "one message must be sent"),
        (b"\0\0\0\0\0" * 2, [], INVALID, "one message must be sent"),
        (b"\0\0\0\0\3\xff\xff\xff", [], INVALID, "is no inference.ModelInferRequest"),
        (b"\0\0\0\0\4\x0a\2\xff\xfe", [], INVALID, "is no inference.ModelInferRequest"),
        (b"\1\0\0\0\0", [], UNIMPLEMENTED, "must not be compressed"),
        (b"\0\0\0\0\0", [("grpc-encoding", "gzip")], UNIMPLEMENTED, "must not be compressed"),
        (b"\0\xff\xff\xff\xff", [], EXHAUSTED, "the message has 4294967295 bytes"),
        (b"\0\0\0\0\0", [("grpc-timeout", "1x")], OK, ""),
        (b"\0\0\0\0\0", [("host", "elsewhere.example")], DENIED, "names another server"),
        (b"\0\0\0\0\0", [("origin", "https://elsewhere.example")], DENIED, "a page of another site"),
    ],
)
def test_what_is_no_call_is_refused(
    both: Server, framed: bytes, metadata: list[tuple[str, str]], status: int, said: str
) -> None:
    """Messages that are cut, doubled, compressed, too large or none, and calls from elsewhere."""
    path = "ModelInfer" if status != OK else "ServerLive"
    with Caller(both.url) as caller:
        if metadata and metadata[0][0] == "host":
            caller.speaker.authority = metadata.pop()[1]
        called = caller.end(caller.begin(f"/inference.GRPCInferenceService/{path}", framed, metadata))

    assert (called.status, said in called.message) == (status, True), called.message


def test_a_bomb_of_messages_is_counted_before_it_is_read(caller: Caller) -> None:
    """A message of two million inputs of two bytes each, or of many parameters of one, is not taken apart."""
    parameters = b"".join(b"\x22\x06\x0a\x04%04x" % at for at in range(65_536))
    inside = b"\x2a" + bytes([0x80 | len(parameters) & 0x7F, 0x80 | len(parameters) >> 7 & 0x7F])
    inside += bytes([0x80 | len(parameters) >> 14 & 0x7F, len(parameters) >> 21]) + parameters

    many, nested = caller.infer(b"\x2a\x00" * 2_000_000), caller.infer(inside + b"\x2a\x00")

    assert (many.status, nested.status) == (EXHAUSTED, EXHAUSTED)
    assert "more than 65,536 parts" in many.message
    assert caller.infer(asked("back", ROW)).status == OK


def test_a_call_that_has_no_time_is_told(caller: Caller) -> None:
    """`grpc-timeout` is the deadline; one that is none is refused."""
    thousand = asked("diagnosis", [("input", "FP64", [1000, 30], bytes(240_000))])
    late = caller.infer(thousand, [("grpc-timeout", "1n")])
    none = caller.infer(asked("back", ROW), [("grpc-timeout", "soon")])
    ample = caller.infer(asked("back", ROW), [("grpc-timeout", "99999999H")])

    assert (late.status, none.status, ample.status) == (DEADLINE, INVALID, OK)
    assert "`grpc-timeout` must be" in none.message


def test_what_cannot_be_called_is_told(both: Server, caller: Caller) -> None:
    """Methods that are not there; and what is no gRPC is answered over HTTP/2 as any request is."""
    called = caller.call("ModelStreamInfer")
    answer = caller.speaker.answer(caller.speaker.ask("/health/live", b"x"))

    assert (called.status, called.message) == (
        UNIMPLEMENTED,
        "/inference.GRPCInferenceService/ModelStreamInfer cannot be called here",
    )
    assert answer.headers[":status"] == "415"
    assert "application/grpc" in json.loads(answer.body)["detail"]


@pytest.mark.parametrize(
    ("service", "status"), [("", OK), ("inference.GRPCInferenceService", OK), ("back", OK), ("x", NOT_FOUND)]
)
def test_probes_are_answered(caller: Caller, service: str, status: int) -> None:
    """The server, the service and each model are asked for their health by their names."""
    called = caller.call(CHECK, HEALTH["HealthCheckRequest"](service=service))

    assert called.status == status
    assert status != OK or called.read(HEALTH["HealthCheckResponse"]).status == SERVING


def test_a_watch_hears_of_the_end(spec: ReplicaSpec) -> None:
    """Not ready, it is told so; and when the server drains the watch ends, so that nobody waits for it."""
    ready = asyncio.Event()
    calls = Inference(spec, ready, Figures()).calls
    with answering(constant, over_http2=calls) as there, Caller(f"http://x:{there.port}") as caller:
        before = caller.call(CHECK).read(HEALTH["HealthCheckResponse"])
        unready = caller.infer(asked("diagnosis", []))
        ready.set()
        number = caller.begin(WATCH, bytes(5))
        answer = caller.speaker.answers[number]
        caller.speaker.until(lambda: answer.body)
        drained = there.begin(there.service.drain())
        caller.speaker.until(lambda: answer.ended)
        caller.speaker.until(lambda: caller.speaker.closed)
        drained.result(30)

    assert before.status == NOT_SERVING
    assert (unready.status, unready.message) == (UNAVAILABLE, "diagnosis@1 is not loaded yet")
    assert answer.body == b"\0\0\0\0\2\x08\1" + b"\0\0\0\0\2\x08\2"
    assert answer.trailers["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (Problem(400, "one"), INVALID),
        (Problem(422, "two"), INVALID),
        (Problem(404, "three"), NOT_FOUND),
        (Problem(413, "four"), EXHAUSTED),
        (Problem(504, "five"), DEADLINE),
        (Problem(503, "six", headers={"retry-after": "2"}), UNAVAILABLE),
        (Problem(500, "sieben: 7 % mehr, \u00fc\n"), INTERNAL),
        (Problem(418, "eight"), 2),
        (ZeroDivisionError(), INTERNAL),
    ],
)
def test_each_problem_has_a_status(problem: Exception, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """With its words, whatever their letters, and with when it may be tried again."""

    async def fail(_: Call) -> Reply:
        raise problem

    figures = Figures()
    calls = Calls(Access(), 1 << 20, figures, {"/a/b": fail}, ())
    with answering(constant, over_http2=calls) as there, Caller(f"http://x:{there.port}") as caller:
        called = caller.call("/a/b")

    assert called.status == status
    if isinstance(problem, Problem):
        assert called.message == problem.message
        assert called.trailers.get("grpc-retry-pushback-ms") == ("2000" if problem.headers else None)
        assert caplog.text == ""
    assert sum(figures.elsewhere) == 1


def test_a_guarded_replica_answers_who_shows_the_token_and_records_it(
    back_spec: ModelSpec, tmp_path: Path
) -> None:
    """In the metadata; probes need none. What was answered is on record, as any prediction is."""
    recording = Recording(str(tmp_path / "spool"), values=("age", "prediction"))
    access = Access(hashlib.sha256(TOKEN.encode()).hexdigest())
    guarded = ReplicaSpec((back_spec,), recording=recording, access=access)
    shown = [("authorization", f"Bearer {TOKEN}")]
    with start(guarded, PYTHON, folder=tmp_path / "serving") as server, Caller(server.url) as caller:
        denied = caller.infer(asked("back", ROW)), caller.call("ServerMetadata")
        probes = caller.call(CHECK), caller.call("ServerLive"), caller.call("ServerReady")
        called = caller.infer(asked("back", ROW), shown)

    assert [each.status for each in denied] == [UNAUTHENTICATED] * 2
    assert "Authorization: Bearer" in denied[0].message
    assert [each.status for each in probes] == [OK] * 3
    (record,) = everything(tmp_path / "spool")
    assert record.id == called.read(INFERENCE["ModelInferResponse"]).id
    assert record.inputs == {"age": [50.5]}
