"""Clients of MLflow's scoring server ask ours, and get what they got there."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import joblib
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from mlwright.serving import ReplicaSpec, Server
from mlwright.serving.protocols.invocations import Invocation
from mlwright.serving.runtime import Outputs
from mlwright.serving.served import Served
from mlwright.serving.spec import ModelSpec
from mlwright.serving.walk import Columns
from mlwright.versioning.signatures import Column
from tests.mlflow import run_client
from tests.serving.conftest import VERSION, Answered, ask, post, small_signature

CLIENT = """
    import json, logging, sys
    import joblib, mlflow, numpy, pandas
    from mlflow.exceptions import MlflowException
    from mlflow.models import infer_signature
    from mlflow.pyfunc import scoring_server
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    logging.disable(logging.ERROR)
    told = json.load(open("told.json"))
    rows = pandas.DataFrame(told["rows"])
    client = ScoringServerClient(told["host"], told["port"])
    client.ping()
    table = client.invoke(rows).get_predictions()
    split = client.invoke(rows, params={"x": 1})
    array = client.invoke(rows.to_numpy()).get_predictions()
    said = {"version": client.get_version(), "warnings": split["warnings"],
            "client": [table[0].tolist(), split["predictions"], array[0].tolist()]}
    model = joblib.load("model.joblib")
    signature = infer_signature(rows, model.predict(rows))
    mlflow.sklearn.save_model(model, "saved", signature=signature, serialization_format="cloudpickle",
                              pip_requirements=[])
    loaded = mlflow.pyfunc.load_model("saved")
    said["theirs"] = []
    for kind, body in told["requests"]:
        try:
            schema = loaded.metadata.get_input_schema()
            answer = scoring_server.invocations(body.encode(), kind, loaded, schema)
            said["theirs"].append([answer.status, answer.response])
        except MlflowException as error:
            said["theirs"].append([error.get_http_status_code(), error.serialize_as_json()])
    json.dump(said, open("said.json", "w"))
"""


def requests_of(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """What a client may send: taken in every format, or refused for every reason."""
    split = rows.to_dict("split")
    records, columns = rows.to_dict("records"), rows.to_dict("list")
    reverse = rows[rows.columns[::-1]]
    json_bodies: list[Any] = [
        {"dataframe_split": split},
        {"dataframe_split": {"columns": split["columns"], "data": split["data"]}},
        {"dataframe_split": reverse.to_dict("split")},
        {"dataframe_split": rows.assign(target=1).to_dict("split")},
        {"dataframe_records": records},
        {"dataframe_records": records, "params": {"x": 1}},
        {"dataframe_records": records, "other": 1},
        {"instances": records},
        {"inputs": columns},
        {},
        [],
        7,
        {"dataframe_records": records, "inputs": columns},
        {"dataframe_split": {"columns": split["columns"]}},
        {"dataframe_split": split | {"names": []}},
        {"dataframe_split": []},
        {"dataframe_records": {}},
        {"dataframe_records": [{"mean radius": 1.0}]},
        {"dataframe_records": [record | {"mean radius": "wide"} for record in records]},
    ]
    csv = rows.to_csv(index=False)
    return [
        *(("application/json", json.dumps(body)) for body in json_bodies),
        ("application/json; charset=UTF-8", json.dumps({"inputs": columns})),
        ("text/csv", csv),
        ("text/csv", rows.to_csv()),
        ("text/csv", "a,b\n1,2\n"),
        ("application/json", "{"),
        ("application/json; charset=utf-16", "{}"),
        ("application/json; other=1", "{}"),
        ("application/x-pickle", "{}"),
    ]


def test_mlflows_client_and_server_agree_with_ours(
    both: Server, forest: RandomForestClassifier, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """MLflow's client gets the model's answers; each request is answered as MLflow's own server does."""
    rows = frame.head(3)
    where = urlsplit(both.url)
    told = {
        "rows": rows.to_dict("list"),
        "host": where.hostname,
        "port": where.port,
        "requests": requests_of(rows),
    }
    (tmp_path / "told.json").write_text(json.dumps(told))
    joblib.dump(forest, tmp_path / "model.joblib")

    done = run_client(CLIENT, "file:" + str(tmp_path), tmp_path, PYTHONWARNINGS="ignore")

    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads((tmp_path / "said.json").read_text())
    expected = forest.predict(rows).tolist()
    assert said["client"] == [expected] * 3
    assert said["warnings"] == ["`params` was ignored"]
    assert said["version"].startswith("mlwright ")
    for (kind, body), (status, answer) in zip(requests_of(rows), said["theirs"], strict=True):
        ours = ask(both.url, "POST", "/invocations", body.encode(), {"content-type": kind})
        assert ours.status == status, (kind, body[:80], ours.body, answer[:200])
        if status == 200:
            assert ours.json["predictions"] == json.loads(answer)["predictions"] == expected
        elif status == 400:
            assert {"error_code", "message"} <= set(ours.json) & set(json.loads(answer))
        else:
            assert ours.headers["content-type"].startswith("text/plain")


def invoke(server: Server, body: Any) -> Answered:
    return post(server.url, body, "/invocations")


def test_rows_without_names_are_in_the_models_order(
    both: Server, forest: RandomForestClassifier, frame: pd.DataFrame
) -> None:
    """`instances` and `inputs` may be lists of rows, as clients of tensors send them."""
    rows = frame.head(3)
    values = rows.to_numpy().tolist()

    answers = [invoke(both, {key: values}).json["predictions"] for key in ("instances", "inputs")]

    assert answers == [forest.predict(rows).tolist()] * 2


def test_nan_is_a_value_that_is_missing(both: Server, frame: pd.DataFrame) -> None:
    """A column that may not be missing refuses NaN by its row; the answer of a refusal is MLflow's."""
    rows = frame.head(2).astype(object)
    rows.iloc[1, 0] = math.nan

    answered = invoke(both, {"dataframe_split": rows.to_dict("split")})

    assert answered.status == 400
    assert answered.json == {
        "error_code": "BAD_REQUEST",
        "message": "row 1: `mean radius` must be a finite number, not NaN",
    }


class Nothing:
    """A runtime that is never asked."""

    classes: ClassVar[list[Any]] = []

    def __call__(self, columns: Columns, *, proba: bool) -> Outputs:
        raise NotImplementedError


def test_what_may_be_missing_may_be_nan_or_left_out() -> None:
    """NaN, null and a record without the column are None, in a column where a value may be missing."""
    inputs = (Column("a", "number", nullable=True), Column("b", "integer", nullable=True))
    signature = small_signature(*inputs, example={"a": 1.0, "b": 1})
    spec = ModelSpec("m@1", VERSION, "sklearn", "/nowhere", signature)
    with ThreadPoolExecutor(1) as thread:
        invocation = Invocation(Served(spec, ReplicaSpec((spec,)), Nothing(), thread))
    records = [{"a": 1, "b": 2}, {"b": math.nan}, {"a": None, "b": 3}]

    taken, ignored = invocation.read(json.dumps({"instances": records}).encode(), "application/json")

    assert taken == [[1.0, None, None], [2, None, 3]]
    assert ignored == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"dataframe_split": {"columns": ["\ud800"], "data": [[1]]}}, "is missing"),
        ({"inputs": [[1, 2]]}, "row 0 has 2 values, and there are 30 columns"),
        ({"instances": []}, "must hold at least one row"),
        ({"inputs": {"mean radius": 1}}, "must have a list for each column, not the number 1"),
        ({"dataframe_records": [7]}, "row 0 must be an object, not the number 7"),
        ({"inputs": [[0.5] * 30] * 10_001}, "more than the 10000 rows"),
    ],
)
def test_what_does_not_fit_is_told(both: Server, body: Any, said: str) -> None:
    """The message says what, and where."""
    answered = invoke(both, body)

    assert answered.status == 400
    assert said in answered.json["message"]


def test_far_too_many_values_are_not_read(both: Server) -> None:
    """Millions of empty lists are refused before each of them takes memory."""
    answered = invoke(both, b'{"inputs": [' + b"[]," * 5_000_000 + b"[]]}")

    assert answered.status == 413


@pytest.mark.parametrize("path", ["/ping", "/health", "/version"])
def test_it_says_that_it_is_there(both: Server, path: str) -> None:
    """Whoever looks for a server of MLflow's finds one."""
    answered = ask(both.url, "GET", path)

    assert answered.status == 200
    assert answered.headers["content-type"] == "application/json"
