"""Pages of answers that end early where they would become too long."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mlwright.kernel.pages import Found
from mlwright.server.protocols.mlflow.pages import in_blocks, told_page
from tests.server.conftest import Up

PROFILE = "x" * 7_000_000


def page_of(names: list[str], token: str = "") -> Found[str]:
    return Found(names, token, ending=lambda count: f"after {names[count - 1]}")


@pytest.mark.parametrize(
    ("names", "token", "told"),
    [
        ([], "", {}),
        (["a"], "", {"things": ["a"]}),
        (["a"], "more", {"things": ["a"], "next_page_token": "more"}),
        (["a" * 90], "", {"things": ["a" * 90]}),
        (["a" * 90, "b"], "", {"things": ["a" * 90], "next_page_token": "after " + "a" * 90}),
        (
            ["a" * 10, "b" * 10, "c" * 30],
            "more",
            {"things": ["a" * 10, "b" * 10], "next_page_token": "after bbbbbbbbbb"},
        ),
    ],
)
def test_a_page_ends_before_it_is_too_long(
    names: list[str], token: str, told: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has at least one result; its token is that of where it ends."""
    monkeypatch.setattr("mlwright.server.protocols.mlflow.limits.PAGE_BYTES", 50)

    assert json.loads(told_page("things", page_of(names, token), names).body) == told


def test_no_more_is_read_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes behind the end of the page is not asked for."""
    monkeypatch.setattr("mlwright.server.protocols.mlflow.limits.PAGE_BYTES", 50)
    read: list[int] = []

    def tell(some: list[str]) -> Iterator[str]:
        read.append(len(some))
        yield from some

    told_page("things", page_of(["a" * 20] * 500), in_blocks(["a" * 20] * 500, tell))

    assert read == [50]


def test_runs_with_large_datasets_come_page_by_page(up: Up) -> None:
    """Every run is told once, with its datasets, whatever the client wanted on a page."""
    experiment = up.experiment("large")
    runs = [up.run(experiment) for _ in range(5)]
    for run in runs:
        dataset = {"name": "d", "digest": "1", "source_type": "s", "source": "s", "profile": PROFILE}
        assert up.post("runs/log-inputs", {"run_id": run, "datasets": [{"dataset": dataset}]}).status == 200

    found: list[str] = []
    sizes = []
    asked = {"experiment_ids": [experiment], "max_results": 1000}
    while True:
        answer = up.post("runs/search", asked).json
        sizes.append(len(answer["runs"]))
        found += [each["info"]["run_id"] for each in answer["runs"]]
        assert all(
            each["inputs"]["dataset_inputs"][0]["dataset"]["profile"] == PROFILE for each in answer["runs"]
        )
        if "next_page_token" not in answer:
            break
        asked["page_token"] = answer["next_page_token"]

    assert sorted(found) == sorted(runs)
    assert sizes == [2, 2, 1]


def test_experiments_with_long_tags_come_page_by_page(up: Up) -> None:
    """So it is with experiments, whose tags are told with them."""
    made = [up.experiment(f"tagged {number}") for number in range(3)]
    for identity in made:
        for number in range(200):
            tag = {"key": f"t{number}", "value": "é" * 20_000}
            assert up.post("experiments/set-experiment-tag", {"experiment_id": identity, **tag}).status == 200

    first = up.post("experiments/search", {"filter": "name LIKE 'tagged %'", "max_results": 10}).json
    second = up.post(
        "experiments/search",
        {"filter": "name LIKE 'tagged %'", "max_results": 10, "page_token": first["next_page_token"]},
    ).json

    assert [len(each["experiments"]) for each in (first, second)] == [2, 1]
    assert "next_page_token" not in second


def test_too_many_bytes_of_datasets_are_refused(up: Up) -> None:
    """The limit of a run is told, and what was there stays."""
    run = up.run()
    dataset = {"digest": "1", "source_type": "s", "source": "s", "profile": PROFILE}
    answers = [
        up.post("runs/log-inputs", {"run_id": run, "datasets": [{"dataset": {**dataset, "name": name}}]})
        for name in "abcd"
    ]

    assert [answer.status for answer in answers] == [200, 200, 200, 400]
    assert "25,165,824" in answers[3].message
    told = up.get("runs/get", run_id=run).json["run"]["inputs"]["dataset_inputs"]
    assert [each["dataset"]["name"] for each in told] == ["a", "b", "c"]
