"""The Open Inference Protocol over HTTP, asked by clients that others wrote."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import ml_dtypes
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from mlwright.serving import Server, version_behind
from tests.serving.conftest import VERSION, ask, post
from tests.serving.protocols.conftest import run_client

TRITON = """
    import json, ml_dtypes, numpy as np, tritonclient.http as http
    told = json.load(open("told.json"))
    client = http.InferenceServerClient(told["address"])
    said = {
        "live": client.is_server_live(), "ready": client.is_server_ready(),
        "model": client.is_model_ready("diagnosis"), "version": client.is_model_ready("diagnosis", "1"),
        "other": client.is_model_ready("diagnosis", "2"), "nobody": client.is_model_ready("nobody"),
        "server": client.get_server_metadata(), "metadata": client.get_model_metadata("diagnosis", "1"),
        "index": client.get_model_repository_index(), "answers": {},
    }
    wide = np.array(told["rows"])
    kinds = ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]
    kinds += ["FP16", "FP32", "FP64", "BF16"]
    for kind in kinds:
        name = kind.lower().replace("fp", "float")
        values = wide.astype(ml_dtypes.bfloat16 if kind == "BF16" else name)
        for binary in (True, False) if kind != "BF16" else (True,):
            tensor = http.InferInput("input", list(values.shape), kind)
            tensor.set_data_from_numpy(values, binary_data=binary)
            names = ("predict", "predict_proba")
            outputs = [http.InferRequestedOutput(each, binary_data=binary) for each in names]
            for wanted in (outputs, None):  # none: all of them, binary
                answer = client.infer("diagnosis", [tensor], outputs=wanted, request_id=kind)
                labels, shares = answer.as_numpy("predict"), answer.as_numpy("predict_proba")
                labels = [str(each, "utf-8") if type(each) is bytes else each for each in labels]
                answers = said["answers"].setdefault(kind, [])
                answers.append([answer.get_response()["id"], labels, shares.tolist()])
    try:
        tensor = http.InferInput("x", [1], "FP32")
        client.infer("diagnosis", [tensor.set_data_from_numpy(np.zeros(1, "float32"))])
    except Exception as error:
        said["error"] = [str(error), error.status()]
    try:
        client.get_model_config("diagnosis")
    except Exception as error:
        said["missing"] = [str(error), error.status()]
    json.dump(said, open("said.json", "w"))
"""


def test_tritons_client_asks_in_every_datatype(
    both: Server, forest: RandomForestClassifier, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """Health, metadata, and the forest in twelve datatypes, as JSON and binary: the model's own answers."""
    rows = frame.head(4).clip(upper=120).to_numpy()

    said = run_client(TRITON, tmp_path, {"address": urlsplit(both.url).netloc, "rows": rows.tolist()})

    assert [said[each] for each in ("live", "ready", "model", "version", "other", "nobody")] == [
        *[True] * 4,
        *[False] * 2,
    ]
    assert said["server"]["name"] == "mlwright"
    assert said["server"]["extensions"] == ["binary_tensor_data"]
    assert said["metadata"]["versions"] == ["1"]
    assert [each["name"] for each in said["metadata"]["inputs"]] == list(frame.columns)
    assert [each["name"] for each in said["index"]] == ["diagnosis", "back"]
    assert len(said["answers"]) == 12
    for kind, answers in said["answers"].items():
        dtype = ml_dtypes.bfloat16 if kind == "BF16" else kind.lower().replace("fp", "float")
        asked = pd.DataFrame(rows.astype(dtype).astype("float64"), columns=frame.columns)
        expected = [kind, forest.predict(asked).tolist(), forest.predict_proba(asked).tolist()]
        assert answers == [expected] * len(answers)
    assert "`x` is not a column of this model" in said["error"][0]
    assert said["error"][1] == "400"
    assert "404" in said["missing"][1]


KSERVE = """
    import asyncio, json, numpy as np
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
    from kserve.protocol.infer_type import RequestedOutput
    told = json.load(open("told.json"))
    kinds = {"age": "FP64", "visits": "INT64", "smoker": "BOOL", "ward": "BYTES", "weight": "FP64"}
    dtypes = {"FP64": "float64", "INT64": "int64", "BOOL": "bool", "BYTES": "object"}

    async def main():
        said = {"answers": []}
        async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
            said["live"] = await client.is_server_live(told["url"])
            said["ready"] = await client.is_server_ready(told["url"])
            said["model"] = await client.is_model_ready(told["url"], "back")
            for binary in (False, True):
                inputs = []
                for name, values in told["columns"].items():
                    array = np.array(values, dtype=dtypes[kinds[name]])
                    inputs.append(InferInput(name, list(array.shape), kinds[name]))
                    inputs[-1].set_data_from_numpy(array, binary_data=binary)
                shares = RequestedOutput("predict_proba", {"binary_data": binary})
                outputs = [RequestedOutput("predict"), shares]
                asked = InferRequest("back", inputs, request_id="7", request_outputs=outputs)
                answer = await client.infer(told["url"], asked, model_name="back")
                shares = answer.outputs[1].as_numpy()
                said["answers"].append([answer.id, list(answer.outputs[0].data), shares.tolist()])
            try:
                await client.infer(told["url"], InferRequest("back", inputs[:1]), model_name="back")
            except Exception as error:
                said["error"] = str(error)
        json.dump(said, open("said.json", "w"))

    asyncio.run(main())
"""


def test_kserves_client_asks_with_a_column_of_each_type(
    both: Server, tree: Pipeline, visits: pd.DataFrame, tmp_path: Path
) -> None:
    """Columns as tensors of their own, a weight that is missing among them, as JSON and binary."""
    rows = visits[visits["ward"].notna()].head(12)
    columns = {name: [None if each != each else each for each in rows[name].tolist()] for name in rows}

    said = run_client(KSERVE, tmp_path, {"url": both.url, "columns": columns})

    assert None in columns["weight"]
    assert (said["live"], said["ready"], said["model"]) == (True, True, True)
    expected = ["7", tree.predict(rows).tolist(), tree.predict_proba(rows).tolist()]
    assert said["answers"] == [expected, expected]
    assert "`visits` is missing" in said["error"]
    assert "400" in said["error"]


def test_an_answer_leads_back_to_its_model(both: Server, frame: pd.DataFrame) -> None:
    """The headers have the id and the version, and what training never saw is told in the parameters."""
    values = frame.iloc[0].to_numpy(copy=True)
    values[0] = 1000
    tensor = {"name": "input", "shape": [1, 30], "datatype": "FP64", "data": values.tolist()}

    answered = post(both.url, {"inputs": [tensor]}, "/v2/models/diagnosis/infer")

    assert answered.status == 200
    assert answered.headers["x-mlwright-model"] == "diagnosis@1"
    assert answered.json["id"] == answered.headers["x-mlwright-prediction-id"]
    assert version_behind(answered.json["id"]) == VERSION
    assert answered.json["parameters"]["warnings"].startswith("row 0: `mean radius` is 1000")


@pytest.mark.parametrize(
    ("method", "path", "kind", "body", "status"),
    [
        ("POST", "/v2/models/nobody/infer", "application/json", b"{}", 404),
        ("GET", "/v2/models/diagnosis/infer", "", None, 405),
        ("POST", "/v2/models/diagnosis/infer", "application/x-pickle", b"{}", 415),
        ("POST", "/v2/models/diagnosis/infer", "application/json", b"{", 400),
        ("POST", "/v2/models/diagnosis/infer", "application/json", b" " * (17 * 2**20), 413),
    ],
)
def test_refusals_are_in_the_protocols_form(
    both: Server, method: str, path: str, kind: str, body: bytes | None, status: int
) -> None:
    """What is not there, not for that method, or not to be read is an object with `error`."""
    answered = ask(both.url, method, path, body, {"content-type": kind} if kind else {})

    assert answered.status == status
    assert answered.headers["content-type"] == "application/json"
    assert list(answered.json) == ["error"]
