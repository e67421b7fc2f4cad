"""The course of metrics over MLflow's protocol."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from tests.server.conftest import Up


def log(up: Up, run: str, values: list[tuple[int, int, float | str]], key: str = "loss") -> None:
    """Report values as (timestamp, step, value), a thousand at a time."""
    metrics = [{"key": key, "timestamp": at, "step": step, "value": value} for at, step, value in values]
    for begin in range(0, len(metrics), 1000):
        answer = up.post("runs/log-batch", {"run_id": run, "metrics": metrics[begin : begin + 1000]})
        assert answer.json == {}


def points(answer: Any) -> list[tuple[int, int, float | str]]:
    return [(each["timestamp"], each["step"], each["value"]) for each in answer.get("metrics", [])]


def test_the_course_of_a_metric_is_by_moment_step_and_value(up: Up) -> None:
    """Out of order or twice, every value is told once, in order; the last is that of the highest step."""
    run = up.run()
    log(up, run, [(3, 1, 0.5), (1, 2, 0.25), (2, 0, 1.0), (2, 0, -1.0), (3, 1, 0.5)])

    answer = up.get("metrics/get-history", run_id=run, metric_key="loss").json

    assert points(answer) == [(1, 2, 0.25), (2, 0, -1.0), (2, 0, 1.0), (3, 1, 0.5)]
    assert up.data(run)["metrics"]["loss"]["value"] == 0.25
    assert "next_page_token" not in answer


def test_a_long_course_is_told_page_by_page(up: Up) -> None:
    """Tokens lead through every value once, also over what is packed, and end."""
    run = up.run()
    values = [(n, n // 2, float(n)) for n in range(2500)]
    log(up, run, values[::-1])

    seen: list[tuple[int, int, float | str]] = []
    token = ""
    while True:
        more = {"page_token": token} if token else {}
        page = up.get("metrics/get-history", run_id=run, metric_key="loss", max_results=700, **more).json
        seen += points(page)
        if not (token := page.get("next_page_token", "")):
            break

    assert seen == values


def test_a_metric_that_is_not_there_has_no_course(up: Up) -> None:
    """Neither an unknown metric nor an unknown run is an error, as in MLflow."""
    assert up.get("metrics/get-history", run_id=up.run(), metric_key="none").json == {}
    assert up.get("metrics/get-history", run_id="nobody", metric_key="none").json == {}


def test_the_courses_of_many_runs_at_once(up: Up) -> None:
    """Each value is told with its run, by run; no more than are wanted in all."""
    runs = sorted(up.run() for _ in range(2))
    for run in runs:
        log(up, run, [(1, 1, 1.0), (2, 2, 2.0)])

    all_of_them = up.get("metrics/get-history-bulk", run_id=runs, metric_key="loss").json["metrics"]
    three = up.get("metrics/get-history-bulk", run_id=runs, metric_key="loss", max_results=3).json["metrics"]

    assert [(each["run_id"], each["value"]) for each in all_of_them] == [
        (runs[0], 1.0),
        (runs[0], 2.0),
        (runs[1], 1.0),
        (runs[1], 2.0),
    ]
    assert three == all_of_them[:3]


def test_a_course_is_drawn_from_few_of_its_values(up: Up) -> None:
    """So many points as are wanted, with the last, and within steps when they are given."""
    run = up.run()
    log(up, run, [(n, n, float(n % 7)) for n in range(3000)])
    ask = {"run_ids": run, "metric_key": "loss"}

    whole = up.get("metrics/get-history-bulk-interval", **ask).json
    few = points(up.get("metrics/get-history-bulk-interval", **ask, max_results=50).json)
    part = points(
        up.get("metrics/get-history-bulk-interval", **ask, max_results=50, start_step=100, end_step=1999).json
    )
    one = points(up.get("metrics/get-history-bulk-interval", **ask, max_results=1).json)

    assert {each["run_id"] for each in whole["metrics"]} == {run}
    assert len(whole["metrics"]) <= 2500
    assert 10 < len(few) <= 50
    assert few == sorted(few)
    assert few[-1] == (2999, 2999, 3.0)
    assert 10 < len(part) <= 50
    assert all(100 <= step <= 1999 for _, step, _ in part)
    assert part[-1][1] == 1999
    assert one == [(2999, 2999, 3.0)]


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("get-history", {"run_id": "r"}),
        ("get-history", {"run_id": "r", "metric_key": "m", "max_results": 0}),
        ("get-history", {"run_id": "r", "metric_key": "m", "max_results": "x"}),
        ("get-history", {"run_id": "r", "metric_key": "m", "page_token": "garbage"}),
        ("get-history", {"run_id": "r", "metric_key": "m", "page_token": "W10="}),
        ("get-history-bulk", {"metric_key": "m"}),
        ("get-history-bulk", {"run_id": "r"}),
        ("get-history-bulk", {"run_id": ["r"] * 101, "metric_key": "m"}),
        ("get-history-bulk-interval", {"metric_key": "m"}),
        ("get-history-bulk-interval", {"run_ids": ["r"] * 101, "metric_key": "m"}),
        ("get-history-bulk-interval", {"run_ids": "r", "metric_key": "m", "max_results": 2501}),
        ("get-history-bulk-interval", {"run_ids": "r", "metric_key": "m", "start_step": 1}),
        ("get-history-bulk-interval", {"run_ids": "r", "metric_key": "m", "start_step": 2, "end_step": 1}),
    ],
)
def test_questions_that_make_no_sense_are_refused(up: Up, method: str, query: dict[str, Any]) -> None:
    """What is missing, too many or no number is named."""
    assert up.get(f"metrics/{method}", **query).refused == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_token_beyond_64_bits_is_none(up: Up, place: int) -> None:
    """Numbers that no point has are in no token of this server's."""
    run = up.run()
    log(up, run, [(1, 1, 0.5)])
    numbers = [2**63 if each == place else 0 for each in range(3)]
    token = urlsafe_b64encode(json.dumps(numbers).encode()).decode()

    answer = up.get("metrics/get-history", run_id=run, metric_key="loss", page_token=token)

    assert answer.refused == (400, "INVALID_PARAMETER_VALUE")
