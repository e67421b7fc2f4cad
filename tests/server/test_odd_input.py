"""Odd input over MLflow's protocol: kept faithfully, or refused at once with what is wrong."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import API, DEADLINE_S, Answered, Up

NAMES = ["가나다", "שלום", "naïve", "İstanbul", "中文/指标", "a b:c-d.e_f", "٣"]
WORDS = [
    "",
    "🦄",
    "가나다",
    "שלום עולם",
    "e\u0301",
    "\u202eabc",
    "' OR 1=1 --",
    '"; DROP TABLE run',
    "\r\n\t",
    "%00",
]


def refused(answer: Answered, *words: str) -> None:
    """It is the request's fault, and the message has these words."""
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), answer.body[:300]
    assert all(word in answer.message for word in words), answer.message
    assert len(answer.message) < 1000


def metric(run: str, **given: Any) -> dict[str, Any]:
    return {"run_id": run, "key": "m", "value": 1, "timestamp": 1, **given}


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("0.1", 0.1),
        ("-0.0", -0.0),
        ("5e-324", 5e-324),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("9223372036854775808", float(2**63)),
        ("123456789012345678901234567890", 123456789012345678901234567890.0),
        ("1e22", 1e22),
        ('"NaN"', "NaN"),
        ('"Infinity"', "Infinity"),
        ('"-Infinity"', "-Infinity"),
        ('"0.1"', 0.1),
    ],
)
def test_every_float_comes_back(up: Up, sent: str, told: float | str) -> None:
    """NaN, the infinities, the sign of zero and the smallest float are what they were, in every answer."""
    run = up.run()
    up.post("runs/log-metric", f'{{"run_id": "{run}", "key": "m", "value": {sent}, "timestamp": 1}}')

    last = up.data(run)["metrics"]["m"]["value"]
    past = up.get("metrics/get-history", run_id=run, metric_key="m").json["metrics"][0]["value"]

    for value in (last, past):
        assert value == told
        if isinstance(told, float):
            assert struct.pack("<d", value) == struct.pack("<d", told)


@pytest.mark.parametrize("step", [0, -1, 2**63 - 1, -(2**63), "9007199254740993", 3.0])
def test_every_step_of_64_bits_comes_back(up: Up, step: Any) -> None:
    """Steps are whole numbers of 64 bits, as numbers or texts."""
    run = up.run()
    up.post("runs/log-metric", metric(run, step=step))

    assert up.data(run)["metrics"]["m"]["step"] == int(step)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"value": "abc"}, "value"),
        ({"value": True}, "value"),
        ({"value": [1]}, "value"),
        ({"value": None}, "value"),
        ({"timestamp": None}, "timestamp"),
        ({"timestamp": -1}, "timestamp"),
        ({"timestamp": 1.5}, "timestamp"),
        ({"timestamp": 2**63}, "timestamp"),
        ({"timestamp": 2**63 - 1}, "timestamp"),
        ({"timestamp": 10**400}, "timestamp"),
        ({"step": 2**63}, "step"),
        ({"step": "1_0"}, "step"),
        ({"step": {}}, "step"),
        ({"key": 5}, "key"),
        ({"key": ""}, "key"),
        ({"key": None}, "key"),
        ({"key": "../up"}, "../up"),
        ({"key": "/root"}, "/root"),
        ({"key": "a//b"}, "a//b"),
        ({"key": "."}, "."),
        ({"key": "a\0b"}, "name"),
        ({"key": "a'b"}, "name"),
        ({"key": "🦄"}, "name"),
        ({"key": "k" * 10_000}, "250"),
        ({"run_id": ["r"]}, "run_id"),
    ],
)
def test_what_is_wrong_with_a_metric_is_named(up: Up, given: dict[str, Any], field: str) -> None:
    """The field, or the limit, stands in the message."""
    refused(up.post("runs/log-metric", metric(up.run(), **given)), field)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"metrics": [{"key": "a", "value": 1, "timestamp": 1}, {"key": "b"}]}, ["metrics[1].value"]),
        ({"metrics": [{"key": "a", "value": 1, "timestamp": 1, "step": "x"}]}, ["metrics[0].step"]),
        ({"metrics": {"key": "a"}}, ["metrics"]),
        ({"metrics": [{"key": "a", "value": 1, "timestamp": 1}] * 1001}, ["metrics", "1000 items"]),
        ({"params": [{"key": f"p{n}"} for n in range(101)]}, ["params", "100 items"]),
        ({"tags": [{"key": f"t{n}"} for n in range(101)]}, ["tags", "100 items"]),
        ({"params": [{"key": "p", "value": "1"}, {"key": "p", "value": "1"}]}, ["p", "Duplicate"]),
        ({"params": [{"key": "p", "value": 5}]}, ["params[0].value"]),
        ({"params": [{"key": "p", "value": "v" * 70_000}]}, ["Param value", "65536"]),
        ({"params": [{"key": "p", "value": "a\0b"}]}, ["NUL"]),
        ({"tags": [{"key": "t", "value": "v" * 70_000}]}, ["tags[0].value", "65536"]),
        ({"tags": [{"key": "k" * 10_000, "value": "v"}]}, ["tags[0].key", "250"]),
        ({"tags": [{"value": "v"}]}, ["tags[0].key"]),
        ({"tags": [None]}, ["tags"]),
        (
            {
                "metrics": [{"key": "a", "value": 1, "timestamp": 1}] * 950,
                "tags": [{"key": f"t{n}"} for n in range(51)],
            },
            ["1000", "1001"],
        ),
    ],
)
def test_what_is_wrong_with_a_batch_is_named(up: Up, batch: dict[str, Any], words: list[str]) -> None:
    """The place in the batch, or the limit, stands in the message."""
    refused(up.post("runs/log-batch", {"run_id": up.run(), **batch}), *words)


def test_names_and_values_of_all_scripts_come_back(up: Up) -> None:
    """Hangul, right-to-left, combining marks, emoji, quotes: what is kept is what was sent."""
    run = up.run()
    metrics = [{"key": name, "value": 1, "timestamp": 1} for name in NAMES]
    params = [{"key": f"p{n}", "value": word} for n, word in enumerate(WORDS)]
    tags = [{"key": f"t{n}", "value": word} for n, word in enumerate(WORDS)]

    assert (
        up.post("runs/log-batch", {"run_id": run, "metrics": metrics, "params": params, "tags": tags}).json
        == {}
    )
    data = up.data(run)

    assert set(data["metrics"]) == set(NAMES)
    assert [data["params"][f"p{n}"] for n in range(len(WORDS))] == WORDS
    assert [data["tags"][f"t{n}"] for n in range(len(WORDS))] == WORDS
    for name in NAMES:
        assert up.get("metrics/get-history", run_id=run, metric_key=name).json["metrics"][0]["key"] == name


def test_a_long_value_is_kept_whole(up: Up) -> None:
    """Up to the limit nothing is cut."""
    run, value = up.run(), "é" * 65_536

    up.post("runs/log-parameter", {"run_id": run, "key": "p", "value": value})

    assert up.data(run)["params"]["p"] == value


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"5",
        b"null",
        b"\xff\xfe{}",
        b'{"filter": "\xff", "run_id": "\xff"}',
        b'{"filter": "\\ud800", "run_id": "\\ud800"}',
        b'{"run_id": NaN, "filter": NaN}',
        b"{} trailing",
        b'{"x": ' + b"[" * 500_000 + b"]" * 500_000 + b"}",
        b'{"x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"max_results": ' + b"9" * 900_000 + b', "timestamp": ' + b"9" * 100_000 + b"}",
        b'{"runId": "r", "run_id": "r", "maxResults": 1, "max_results": 1}',
    ],
)
@pytest.mark.parametrize("method", ["runs/log-metric", "runs/log-batch", "runs/search", "experiments/search"])
def test_what_is_no_such_json_is_refused(up: Up, method: str, body: bytes) -> None:
    """Invalid UTF-8, half a surrogate pair, deep nesting, endless numbers: told briefly, and it goes on."""
    refused(up.post(method, body))

    assert up.ask("GET", "/health").status == 200


@pytest.mark.parametrize("method", ["runs/log-parameter", "runs/set-tag", "runs/log-batch"])
def test_ten_megabytes_are_refused_before_they_are_read(up: Up, method: str) -> None:
    """A body over the limit is refused with the limit, whether its length is declared or not."""
    body = json.dumps({"run_id": "r", "key": "p", "value": "v" * 10_000_000})

    declared = up.post(method, body)
    chunked = streamed(up, method, body.encode())

    for status, told in ((declared.status, declared.body), (chunked[0], chunked[1])):
        assert status == 413
        assert json.loads(told)["error_code"] == "INVALID_PARAMETER_VALUE"
        assert "bytes" in json.loads(told)["message"]


def streamed(up: Up, method: str, body: bytes) -> tuple[int, bytes]:
    """Send a body in pieces, of a length that is not declared."""
    connection = up.connect()
    try:
        pieces = (body[begin : begin + 65_536] for begin in range(0, len(body), 65_536))
        connection.request(
            "POST", API + method, pieces, {"content-type": "application/json"}, encode_chunked=True
        )
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_million_metrics_in_one_call_are_refused(up: Up) -> None:
    """Too many metrics are refused by their number, or by the bytes they take; the memory stays bounded."""
    before = memory_bytes(up)
    body = (
        '{"run_id": "r", "metrics": [' + ",".join(['{"key":"a","value":1,"timestamp":1}'] * 1_000_000) + "]}"
    )

    refused(
        up.post("runs/log-batch", '{"run_id": "r", "metrics": [' + ",".join(["{}"] * 1_000_000) + "]}"),
        "metrics",
        "1000 items",
    )
    assert up.post("runs/log-batch", body).status == 413
    assert memory_bytes(up) - before < 200 << 20


@pytest.mark.parametrize(
    ("begin", "field"),
    [
        ('{"run_id": "r", "datasets": [', "datasets"),
        ('{"runId": "r", "datasets": [', "datasets"),
        ('{"run_id": "r", "models": [', "models"),
        ('{"run_id": "r", "datasets": [{"tags": [', "datasets[0].tags"),
    ],
)
def test_a_body_of_empty_messages_costs_its_own_bytes(up: Up, begin: str, field: str) -> None:
    """A list that is too long is refused where its limit is reached: nothing is made of what comes behind."""
    before = memory_bytes(up)
    body = begin + ",".join(["{}"] * 7_900_000) + "]}"

    refused(up.post("runs/log-inputs", body), f"'{field}'", "items")

    assert memory_bytes(up) - before < 100 << 20


def memory_bytes(up: Up) -> int:
    """What the server holds in memory."""
    status = Path(f"/proc/{up.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"max_results": -1}, ["max_results", "-1"]),
        ({"max_results": 0}, ["max_results"]),
        ({"max_results": 50_001}, ["max_results", "50000"]),
        ({"max_results": 10**9}, ["max_results", "50000"]),
        ({"max_results": 10**12}, ["max_results"]),
        ({"max_results": "many"}, ["max_results"]),
        ({"page_token": "garbage"}, ["token"]),
        ({"page_token": "eyJvZmZzZXQiOiAxfQ=="}, ["token"]),
        ({"page_token": "\0" * 1000}, ["token"]),
        ({"page_token": 5}, ["page_token"]),
        ({"experiment_ids": "0"}, ["experiment_ids"]),
        ({"experiment_ids": ["x"]}, ["'x'"]),
        ({"experiment_ids": [str(2**63)]}, [str(2**63)]),
        ({"experiment_ids": [str(-(2**63) - 1)]}, [str(-(2**63) - 1)]),
        ({"experiment_ids": [0]}, ["experiment_ids"]),
        ({"filter": "metrics.auc >"}, []),
        ({"filter": "params.a = 'it''s"}, []),
        ({"filter": 5}, ["filter"]),
        ({"filter": "(" * 50_000}, []),
        ({"filter": "metrics.a > 1" + " and metrics.a > 1" * 10_000}, []),
        ({"order_by": ["metrics.a; DROP TABLE run"]}, []),
        ({"order_by": "metrics.a"}, ["order_by"]),
        ({"run_view_type": "BOGUS"}, ["run_view_type"]),
    ],
)
def test_searches_that_make_no_sense_are_refused(up: Up, asked: dict[str, Any], words: list[str]) -> None:
    """Page tokens, sizes and filters that are none are the request's fault."""
    refused(up.post("runs/search", {"experiment_ids": ["0"], **asked}), *words)


@pytest.mark.parametrize("pattern", ["%" * 5_000, "%a" * 2_000, "_" * 5_000, "'' or ''1''=''1"])
def test_patterns_that_could_run_away_do_not(up: Up, pattern: str) -> None:
    """LIKE with thousands of wildcards is answered or refused at once."""
    run = up.run()
    up.post("runs/set-tag", {"run_id": run, "key": "t", "value": "a" * 5_000})

    answer = up.post("runs/search", {"experiment_ids": ["0"], "filter": f"tags.t LIKE '{pattern}b'"})

    assert answer.status in {200, 400}


def test_an_encoded_body_is_refused(up: Up) -> None:
    """A compressed body, which could unfold without end, is not unfolded."""
    refused(up.post("runs/search", b"{}", content_encoding="gzip"), "gzip")


def test_a_query_that_is_no_text_is_refused(up: Up) -> None:
    """Percent-encoded bytes that are no UTF-8, and queries of thousands of fields."""
    refused(up.ask("GET", f"{API}runs/get?run_id=%ff"), "UTF-8")
    refused(up.ask("GET", f"{API}runs/get?" + "a=1&" * 5_100), "fields")


def test_unknown_fields_and_nulls_are_left_out(up: Up) -> None:
    """What a newer client adds is ignored, and null is as nothing."""
    body = {"experiment_id": "0", "start_time": None, "tags": None, "run_name": None, "newer": {"a": [1]}}

    assert up.post("runs/create", body).status == 200


def test_names_may_be_written_in_both_ways(up: Up) -> None:
    """`lowerCamelCase` names of fields mean the same, also inside of lists; both at once are refused."""
    run = up.post("runs/create", {"experimentId": "0", "runName": "camel"}).json["run"]["info"]

    tagged = up.post("runs/setTag", {"runId": run["run_id"]})
    answer = up.post("runs/log-metric", {"runId": run["run_id"], "key": "m", "value": 1, "timestamp": 1})

    assert run["run_name"] == "camel"
    assert tagged.status == 404
    assert answer.json == {}
    refused(up.post("runs/log-metric", {**metric("r"), "runId": "r"}), "runId", "run_id")


def test_a_request_that_ends_too_early_disturbs_nobody(up: Up) -> None:
    """A client that goes away in the middle of its body leaves nothing."""
    with socket.create_connection((up.host, up.port), timeout=DEADLINE_S) as stream:
        head = f"POST {API}experiments/create HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n"
        stream.sendall(head.encode() + b'{"name": "half"')

    assert up.get("experiments/get-by-name", experiment_name="half").status == 404


def test_what_is_no_http_is_refused(up: Up) -> None:
    """Bytes that are no request get an answer, and the connection is closed."""
    with socket.create_connection((up.host, up.port), timeout=DEADLINE_S) as stream:
        stream.sendall(b"\x16\x03\x01" * 100)
        answer = b"".join(iter(lambda: stream.recv(1 << 16), b""))

    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "head", [b"GET /" + b"a" * (1 << 20), b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (1 << 18)]
)
def test_a_head_without_end_is_cut_off(up: Up, head: bytes) -> None:
    """A path or headers that never end are refused before they fill the memory."""
    answer = b""
    with socket.create_connection((up.host, up.port), timeout=DEADLINE_S) as stream:
        try:
            stream.sendall(head)
            answer = b"".join(iter(lambda: stream.recv(1 << 16), b""))
        except ConnectionError:  # it has closed while we still wrote
            pass

    assert answer[:13] in {b"HTTP/1.1 431 ", b"HTTP/1.1 400 ", b""}
    assert up.ask("GET", "/health").status == 200
