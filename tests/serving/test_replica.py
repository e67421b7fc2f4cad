"""A real replica over HTTP."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from mlwright.kernel.errors import WorkFailed
from mlwright.serving import Client, ReplicaSpec, Server, start, version_behind
from tests.serving.conftest import PYTHON, VERSION, Answered, ask, changed, post, refused, until

MIB = 2**20


@pytest.fixture
def row(spec: ReplicaSpec) -> dict[str, Any]:
    return dict(spec.models[0].signature.example.input)


@pytest.fixture
def connection(served: Server) -> Iterator[HTTPConnection]:
    parts = urlsplit(served.url)
    made = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    yield made
    made.close()


def is_problem(answered: Answered, status: int) -> bool:
    """Whether it is a problem document of that status."""
    return (
        answered.status == status == answered.json["status"]
        and answered.headers["content-type"] == "application/problem+json"
        and bool(answered.json["title"])
        and bool(answered.json["detail"])
    )


def test_predictions_are_the_models_own(
    client: Client, forest: RandomForestClassifier, frame: pd.DataFrame
) -> None:
    """A hundred rows are answered as the model answers them directly, probabilities included."""
    rows = frame.sample(100, random_state=1)

    answer = client.predict(rows.to_dict("records"), proba=True)

    assert answer.predictions == forest.predict(rows).tolist()
    assert answer.probabilities is not None
    given = np.array([[each["benign"], each["malignant"]] for each in answer.probabilities])
    assert np.array_equal(given, forest.predict_proba(rows))


def test_columns_are_answered_as_rows(served: Server, frame: pd.DataFrame) -> None:
    """A request by column gets the same predictions."""
    rows = frame.head(20)

    by_row = post(served.url, {"rows": rows.to_dict("records")})
    by_column = post(served.url, {"columns": rows.to_dict("list")})

    assert by_row.status == by_column.status == 200
    assert by_row.json["predictions"] == by_column.json["predictions"]


def test_an_answer_leads_back_to_its_model(served: Server, row: dict[str, Any]) -> None:
    """The id stands in the body and in a header, and holds the id of the version; no two are the same."""
    answers = [post(served.url, {"rows": [row]}) for _ in range(3)]

    for answered in answers:
        assert answered.headers["x-mlwright-prediction-id"] == answered.json["id"]
        assert answered.headers["x-mlwright-model"] == answered.json["model"] == "diagnosis@1"
        assert version_behind(answered.json["id"]) == VERSION
        assert "probabilities" not in answered.json
    assert len({answered.json["id"] for answered in answers}) == 3


BAD: dict[str, tuple[Callable[[dict[str, Any]], Any], int | None, str]] = {
    "a missing column": (lambda row: [without(row, "mean radius")], 0, "mean radius"),
    "an extra column": (lambda row: [row, row | {"mean radus": 1}], 1, "mean radus"),
    "a wrong type": (lambda row: [row, row, row | {"mean radius": "wide"}], 2, "mean radius"),
    "NaN": (lambda row: [row | {"mean texture": float("nan")}], 0, "mean texture"),
    "an empty list": (lambda row: [], None, "rows"),
}


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_names_the_field(served: Server, row: dict[str, Any], case: str) -> None:
    """What does not fit the signature is 422, with the row and the field."""
    rows, at_row, field = BAD[case]

    answered = post(served.url, {"rows": rows(row)})

    assert is_problem(answered, 422)
    assert [(error.get("row"), error["field"]) for error in answered.json["errors"]] == [(at_row, field)]


@pytest.mark.parametrize("body", [b"", b"not json", b"\x00\xff\xfe", b"{", b"[" * 100_000])
def test_what_is_not_json_is_400(served: Server, body: bytes) -> None:
    """Bytes that are not JSON, or JSON no parser can hold, are the client's mistake."""
    assert is_problem(post(served.url, body), 400)


def test_a_hundred_megabytes_are_refused(served: Server, row: dict[str, Any], client: Client) -> None:
    """A client that sends 100 MB of right JSON gets to its answer, 413, and the replica goes on."""
    line = json.dumps(row).encode()
    body = b'{"rows": [' + b",".join([line] * (100 * MIB // len(line))) + b"]}"

    answered = post(served.url, body)

    assert len(body) > 99 * MIB
    assert is_problem(answered, 413)
    assert client.predict([row]).predictions


def test_a_declared_size_is_enough_to_refuse(served: Server) -> None:
    """Nothing of a body has to arrive before the answer that it is too large."""
    parts = urlsplit(served.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as stream:
        stream.sendall(
            b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: 104857600\r\nexpect: 100-continue\r\n\r\n"
        )

        answer = stream.recv(100)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_of_unknown_size_is_counted(connection: HTTPConnection, row: dict[str, Any]) -> None:
    """A chunked body is refused once it is larger than the limit, and the connection can be used again."""
    connection.request("POST", "/predict", iter([b" " * MIB] * 20), encode_chunked=True)
    too_large = connection.getresponse()
    document = json.loads(too_large.read())

    connection.request("POST", "/predict", json.dumps({"rows": [row]}))

    assert (too_large.status, document["status"]) == (413, 413)
    assert connection.getresponse().status == 200


def test_the_limits_are_a_setting(
    make_spec: Callable[..., ReplicaSpec], forest: RandomForestClassifier, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """A replica keeps to the limits of its spec, in bytes and in rows."""
    rows = frame.head(3).to_dict("records")
    body = json.dumps({"rows": rows[:2]}).encode()
    limited = make_spec(forest, frame, body_bytes=len(body), rows=2)

    with start(limited, PYTHON, folder=tmp_path) as server:
        assert post(server.url, body).status == 200
        assert is_problem(post(server.url, {"columns": {"mean radius": [1, 2, 3]}}), 422)
        assert is_problem(post(server.url, {"rows": rows}), 413)


@pytest.mark.parametrize("kind", ["text/html", "application/x-www-form-urlencoded", "application/jsonx"])
def test_another_content_type_is_415(served: Server, row: dict[str, Any], kind: str) -> None:
    """Only JSON and tables are taken."""
    assert is_problem(post(served.url, {"rows": [row]}, content_type=kind), 415)


def test_an_encoded_body_is_415(served: Server, row: dict[str, Any]) -> None:
    """Compressed content is refused by name, before it is read."""
    answered = post(served.url, {"rows": [row]}, content_encoding="gzip")

    assert is_problem(answered, 415)
    assert "gzip" in answered.json["detail"]


@pytest.mark.parametrize("headers", [{}, {"content-type": "Application/JSON; charset=utf-8"}])
def test_json_may_be_declared_or_not(served: Server, row: dict[str, Any], headers: dict[str, str]) -> None:
    """A missing content type is taken for JSON, and a parameter of it does not matter."""
    body = json.dumps({"rows": [row]}).encode()

    assert ask(served.url, "POST", "/predict", body, headers).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405),
        ("DELETE", "/health/live", 405),
        ("GET", "/nothing", 404),
        ("POST", "/predict/", 404),
        ("GET", "/docs/../../etc/passwd", 404),
    ],
)
def test_what_is_not_there_is_a_problem_too(served: Server, method: str, path: str, status: int) -> None:
    """Unknown paths and methods are answered as every other mistake."""
    answered = ask(served.url, method, path)

    assert is_problem(answered, status)
    assert ("allow" in answered.headers) == (status == 405)


def test_a_strange_query_is_named(served: Server, row: dict[str, Any]) -> None:
    """A value of `proba` that means nothing is refused by its name."""
    answered = post(served.url, {"rows": [row]}, "/predict?proba=perhaps")

    assert is_problem(answered, 422)
    assert answered.json["errors"] == [{"field": "proba", "message": "must be 1 or 0"}]


def test_a_regression_answers_numbers(
    make_spec: Callable[..., ReplicaSpec], frame: pd.DataFrame, tmp_path: Path
) -> None:
    """A model without probabilities answers numbers, and says that it has none when it is asked for them."""
    model = RandomForestRegressor(n_estimators=3, random_state=0).fit(frame, frame["mean area"])
    rows = frame.head(5)

    with start(make_spec(model, frame), PYTHON, folder=tmp_path) as server:
        answered = post(server.url, {"rows": rows.to_dict("records")})
        asked = post(server.url, {"rows": rows.to_dict("records")}, "/predict?proba=1")

    assert answered.json["predictions"] == model.predict(rows).tolist()
    assert is_problem(asked, 422)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/predict", b'{"rows":[ROW]}', 200),
        ("/predict?proba=1", b'{"rows":[ROW,ROW]}', 200),
        ("/predict", b'{"rows":[{}]}', 422),
        ("/predict", b"{", 400),
        ("/models/diagnosis/predict", b'{"rows":[ROW]}', 200),
        ("/invocations", b'{"dataframe_records":[ROW]}', 200),
        ("/invocations", b"[]", 400),
        ("/v2/models/diagnosis/infer", b'{"inputs":[]}', 400),
    ],
)
def test_a_body_in_chunks_is_answered_as_a_whole_one(
    served: Server, row: dict[str, Any], path: str, body: bytes, status: int
) -> None:
    """Without a task is answered what has a length and comes at once; nobody sees whether it was so."""
    body = body.replace(b"ROW", json.dumps(row).encode())

    declared = {"content-type": "application/json"}

    whole = ask(served.url, "POST", path, body, declared)
    chunks = ask(served.url, "POST", path, iter([body]), declared)

    assert whole.status == chunks.status == status
    assert sorted(whole.headers) == sorted(chunks.headers)
    told, again = (dict(each.json) | {"id": ""} for each in (whole, chunks))
    assert told == again


def test_a_connection_is_kept(connection: HTTPConnection, row: dict[str, Any]) -> None:
    """Answers, and refusals that read their request, leave the connection open for the next."""
    ports, statuses = set(), []

    requests: list[list[dict[str, Any]]] = [[row], [], [row], [{}], [row]]
    for rows in requests:
        connection.request("POST", "/predict", json.dumps({"rows": rows}))
        response = connection.getresponse()
        statuses.append(response.status)
        response.read()
        assert connection.sock is not None
        ports.add(connection.sock.getsockname())

    assert statuses == [200, 422, 200, 422, 200]
    assert len(ports) == 1


def test_health_is_answered_while_the_model_works(
    make_spec: Callable[..., ReplicaSpec], tmp_path: Path
) -> None:
    """A prediction that takes its time keeps nobody from asking whether the replica is there."""
    pipe, paper = tmp_path / "pipe", tmp_path / "paper"
    os.mkfifo(pipe)  # reading it takes until somebody writes
    paper.write_text("benign benign malignant")
    table = pd.DataFrame({"paper": [str(paper)]})
    # A model that reads the files it is asked about, and so waits on the pipe.
    words = make_column_transformer((CountVectorizer(input="filename"), "paper"))
    model = make_pipeline(words, DecisionTreeClassifier()).fit(table, ["short"])

    with (
        start(make_spec(model, table), PYTHON, folder=tmp_path) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        pending = pool.submit(post, server.url, {"rows": [{"paper": str(pipe)}]})
        with pipe.open("w") as writing:  # opened: the model reads
            live, ready = (ask(server.url, "GET", f"/health/{which}") for which in ("live", "ready"))
            still = not pending.done()
            writing.write("benign")

        assert pending.result().json["predictions"] == ["short"]

    assert (live.status, ready.status, still) == (200, 200, True)


def ended(pipe: Path) -> bool:
    """Whether somebody reads a pipe, who finds that it is empty."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_nobody_is_answered_before_it_is_ready(spec: ReplicaSpec, tmp_path: Path) -> None:
    """While the model loads, a client waits; with bad bytes it is never ready, and the port is free again."""
    slow = tmp_path / "object"
    os.mkfifo(slow)  # reading it takes until somebody writes
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    with ThreadPoolExecutor(2) as pool:
        starting = pool.submit(start, changed(spec, path=str(slow)), PYTHON, folder=tmp_path, port=port)
        until(lambda: starting.done() or not refused(url))
        asking = pool.submit(ask, url, "GET", "/health/live")
        until(lambda: starting.done() or ended(slow))  # which is no model

        with pytest.raises(WorkFailed, match="diagnosis@1 cannot be loaded"):
            starting.result()
        with pytest.raises(OSError):
            asking.result()

    assert refused(url)


def test_several_models_are_asked_by_their_names(
    spec: ReplicaSpec, row: dict[str, Any], tmp_path: Path
) -> None:
    """One server answers for two models by name; `/predict` asks the first, unknown fields are ignored."""
    second = structs.replace(spec.models[0], model="relapse@7")
    both = ReplicaSpec((spec.models[0], second), unknown_fields="ignore")
    asked = {"rows": [row | {"ward": "b"}]}

    with start(both, PYTHON, folder=tmp_path) as server:
        paths = ("/predict", "/models/diagnosis/predict", "/models/relapse/predict")
        answered = [post(server.url, asked, path).json["model"] for path in paths]
        unknown = post(server.url, asked, "/models/nobody/predict")
        document = ask(server.url, "GET", "/openapi.json").json

    assert answered == ["diagnosis@1", "diagnosis@1", "relapse@7"]
    assert is_problem(unknown, 404)
    assert set(paths) < set(document["paths"])


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["rows", "columns", "mean radius", "x"]), inner, max_size=3)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    query=st.text(max_size=10).map(lambda text: f"?proba={text.encode().hex()}"),
)
def test_nothing_a_client_sends_is_our_mistake(served: Server, body: bytes, query: str) -> None:
    """Any bytes and any JSON get an answer below 500."""
    assert post(served.url, body).status < 500
    assert post(served.url, body, f"/predict{query}").status < 500
