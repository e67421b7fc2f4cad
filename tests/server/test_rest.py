"""The REST API as anybody's client sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlwright.app import Project
from mlwright.kernel.digest import digest_of
from tests.conftest import PYPROJECT, lock_project, mlwright, write
from tests.server.conftest import Answered, Up

V1 = "/api/v1/"
TABLE = "name,age\nana,3\nbo,5\n"
PIPELINE = """
    from mlwright import Dataset, log_metric, pipeline, step

    @step
    def count(data: Dataset, weight: float = 1.5) -> dict:
        print("counting")
        for at in range(3):
            log_metric("loss", 1 / (at + 1), step=at)
        log_metric("odd", float("nan"))
        return {"files": len(data.files), "note": "<b>&</b>"}

    @pipeline
    def counting(data: Dataset = Dataset("people@latest"), weight: float = 1.5, seats: int = 1):
        count(data, weight)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a dataset of two versions, and a run."""
    files = {"pyproject.toml": PYPROJECT, "pipelines/p.py": PIPELINE, "people.csv": TABLE}
    root = write(tmp_path_factory.mktemp("rest") / "small", files)
    with Project.open(root) as opened:
        lock_project(opened)
        opened.datasets.add(root / "people.csv", "people")
        write(root, {"people.csv": TABLE + "cy,8\n"})
        opened.datasets.add(root / "people.csv", "people", message="one more")
        opened.run("counting")
    return root


def ask(up: Up, path: str, **headers: str) -> Answered:
    """Ask for something below `/api/v1/`."""
    return up.ask(
        "GET", V1 + path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def send(up: Up, method: str, path: str, body: Any) -> Answered:
    """Send JSON."""
    return up.ask(method, V1 + path, json.dumps(body), changing(up))


def changing(up: Up, **headers: str) -> dict[str, str]:
    """The headers of a change."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"content-type": "application/json", "authorization": f"Bearer {up.token}", **named}


def test_runs_are_listed_a_page_at_a_time(up: Up, project: Path) -> None:
    """A page tells the runs with their last values, and the token of the next."""
    with Project.open(project) as opened:
        opened.run("counting", weight=2.5)

    first = ask(up, "runs?limit=1&order_by=params.weight%20desc").json
    second = ask(up, f"runs?limit=1&order_by=params.weight%20desc&token={first['token']}").json

    assert [each["parameters"]["weight"] for each in (*first["found"], *second["found"])] == ["2.5", "1.5"]
    assert first["found"][0]["metrics"] == {"loss": pytest.approx(1 / 3), "odd": None}
    assert second["token"] == ""


def test_a_run_is_shown_with_all_that_stands_behind_it(up: Up) -> None:
    """One answer holds parameters, steps, outputs and what it was made with, named to people."""
    shown = ask(up, "runs/latest").json

    assert shown["run"]["state"] == "succeeded"
    assert shown["attempts"][0]["attempt"]["node"] == "count"
    assert shown["labels"]["data:people@latest"] == "dataset people@2"


def test_the_points_of_a_metric_are_told(up: Up) -> None:
    """Each point has its step, and what is no number is null."""
    points = ask(up, "runs/latest/metrics/loss").json
    odd = ask(up, "runs/latest/metrics/odd").json

    assert [(each["step"], each["value"]) for each in points] == [
        (0, 1.0),
        (1, 0.5),
        (2, pytest.approx(1 / 3)),
    ]
    assert [each["value"] for each in odd] == [None]


def test_logs_are_told_and_streamed(up: Up) -> None:
    """What was printed is answered at once, or as server-sent events that end with `end`."""
    told = ask(up, "runs/latest/logs").json
    streamed = ask(up, "runs/latest/logs/follow")

    assert [each["text"] for each in told] == ["counting\n"]
    assert streamed.headers["content-type"].startswith("text/event-stream")
    events = streamed.body.decode().split("\n\n")
    assert '"text":"counting"' in events[0]
    assert events[-2:] == ["event: end\ndata: {}", ""]


def test_what_has_not_changed_is_not_sent_again(up: Up) -> None:
    """An answer has an ETag; who has it already is told so."""
    first = ask(up, "datasets/people@1")
    again = ask(up, "datasets/people@1", if_none_match=first.headers["etag"])
    weak = ask(up, "datasets/people@1", if_none_match=f'"other", W/{first.headers["etag"]}')
    other = ask(up, "datasets/people@2", if_none_match=first.headers["etag"])

    assert (first.status, again.status, weak.status, other.status) == (200, 304, 304, 200)
    assert again.body == b""


def test_a_change_of_what_is_not_as_it_was_read_is_refused(start: Callable[..., Up]) -> None:
    """With If-Match a card is written only over the text that was read; what has no ETag is not changed."""
    up = start()
    made = up.post("logged-models", {"experiment_id": "0", "name": "net"}).json["model"]["info"]
    place = made["artifact_uri"].removeprefix("mlflow-artifacts:/")
    up.ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{place}/MLmodel", b"flavors:\n  onnx:\n    data: m\n")
    up.post("registered-models/create", {"name": "net"})
    named = {"source": f"models:/{made['model_id']}", "model_id": made["model_id"]}
    up.post("model-versions/create", {"name": "net", **named})
    read = ask(up, "models/net@1/card").headers["etag"]

    def put(path: str, body: dict[str, str], tag: str) -> int:
        return up.ask("PUT", V1 + path, json.dumps(body), changing(up, if_match=tag)).status

    first = put("models/net@1/card", {"text": "mine"}, f'"other", {read}')
    late = put("models/net@1/card", {"text": "theirs"}, read)
    weak = put("models/net@1/card", {"text": "weak"}, "W/" + ask(up, "models/net@1/card").headers["etag"])
    kept = ask(up, "models/net@1/card")
    there = put("models/net@1/card", {"text": "any"}, "*")
    alias = put("models/net@1/aliases/champion", {}, read)

    assert (first, late, weak, there, alias) == (200, 412, 412, 200, 412)
    assert "mine" in kept.body.decode()
    assert "champion" not in ask(up, "models/net@1").body.decode()


def test_the_bytes_of_an_artifact_are_sent_in_ranges(up: Up) -> None:
    """A file is whole by its digest, or the bytes that were asked for, and a browser saves it."""
    listed = ask(up, "artifacts?run=latest").json
    reference = listed[0]["reference"]
    whole = ask(up, f"content/artifacts/{reference}")
    part = ask(up, f"content/artifacts/{reference}", range="bytes=1-7")
    table = ask(up, "content/datasets/people@1/people.csv")
    beyond = ask(up, "content/datasets/people@1/people.csv", range="bytes=1000-")

    assert digest_of(whole.body) == listed[0]["artifact"]["digest"]
    assert whole.headers["content-disposition"].startswith("attachment")
    assert (part.status, part.body) == (206, whole.body[1:8])
    assert table.body == TABLE.encode()
    assert beyond.status == 416


def test_an_alias_moves_and_goes(up: Up) -> None:
    """An alias is put where it shall point, tried first without change, and deleted."""
    tried = send(up, "PUT", "datasets/people@1/aliases/golden", {"dry_run": True})
    missing = ask(up, "datasets/people@golden")
    moved = send(up, "PUT", "datasets/people@1/aliases/golden", {"reason": "checked"})
    there = ask(up, "datasets/people@golden")
    gone = up.ask("DELETE", f"{V1}datasets/people/aliases/golden", headers=changing(up))

    assert tried.json["changes"][0]["action"] == moved.json["changes"][0]["action"]
    assert (tried.status, missing.status, moved.status, gone.status) == (200, 404, 200, 200)
    assert there.json["version"]["number"] == 1
    assert there.json["moves"][0]["reason"] == "checked"


def test_lists_of_versions_and_tokens_are_told_a_page_at_a_time(up: Up) -> None:
    """Each page tells as many as were asked for; the token of another search is refused."""
    first = ask(up, "datasets?name=people&limit=1").json
    second = ask(up, f"datasets?name=people&limit=1&token={first['token']}").json
    newest = ask(up, "datasets?newest=true&limit=1").json
    foreign = ask(up, f"datasets?limit=1&token={first['token']}")
    models = ask(up, "models?limit=1").json
    tokens = up.ask("GET", f"{V1}tokens?limit=1", headers=changing(up)).json
    many = ask(up, "datasets?limit=1001")

    assert [each["version"]["number"] for each in first["found"] + second["found"]] == [2, 1]
    assert first["token"] and not second["token"]
    assert [each["version"]["name"] for each in newest["found"]] == ["people"]
    assert (foreign.status, many.status, many.json["where"]) == (422, 422, "limit")
    assert models == {"found": [], "token": ""}
    assert len(tokens["found"]) == 1


def test_a_key_that_was_refused_is_free(up: Up) -> None:
    """A refusal lets go of the key, and what is no key is refused."""
    path, keyed = f"{V1}runs/latest/cancel", changing(up, idempotency_key="k-1")

    refused = [up.ask("POST", path, "{}", keyed).status for _ in range(2)]
    bad = up.ask("POST", path, "{}", {**keyed, "idempotency-key": "x" * 256})

    assert refused == [409, 409]
    assert (bad.status, bad.json["where"]) == (422, "idempotency-key")


def test_a_question_keeps_no_key(up: Up) -> None:
    """Nobody without a token has anything kept: a plan is a question, and its key does not count."""
    keyed = {"content-type": "application/json", "idempotency-key": "k-2"}

    answers = [
        up.ask("POST", f"{V1}pipelines/counting/plan", json.dumps({"parameters": {"weight": each}}), keyed)
        for each in (1.5, 2.5)
    ]

    assert [each.status for each in answers] == [200, 200], answers[1].body
    described = ask(up, "openapi.json").json["paths"][f"{V1}pipelines/{{pipeline}}/plan"]["post"]
    assert "idempotency-key" not in [each["name"] for each in described["parameters"]]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "where"),
    [
        ("GET", "runs?limit=0", None, 422, "limit"),
        ("GET", "runs?limit=many", None, 422, "limit"),
        ("GET", "runs?limit=1&limit=2", None, 422, "limit"),
        ("GET", "runs?colour=red", None, 422, "colour"),
        ("GET", "runs?filter=metrics.a%20%3E", None, 422, None),
        ("GET", "runs?token=garbage", None, 422, None),
        ("GET", "runs?pipeline=%00", None, 422, None),
        ("GET", "runs?pipeline=%FF", None, 400, None),
        ("GET", "runs/nothing", None, 404, None),
        ("GET", "nothing", None, 404, None),
        ("GET", "lineage/%2Fetc%2Fpasswd", None, 404, None),
        ("GET", "lineage/people.csv", None, 404, None),
        ("GET", f"impact/{'x' * 300}", None, 404, None),
        ("GET", "events?subject=%2Fdev%2Fzero", None, 404, None),
        ("GET", "environments/..%2F..%2Fetc%2Fx.py", None, 404, None),
        ("POST", "runs/latest", {}, 405, None),
        ("POST", "runs/latest/cancel", {}, 409, None),
        ("POST", "runs/latest/cancel", {"how": "hard"}, 422, "how"),
        ("POST", "runs/latest/cancel?how=hard", {}, 422, "query"),
        ("POST", "runs/latest/cancel", [], 422, None),
        ("PUT", "datasets/people@1/aliases/9", {}, 422, None),
        ("PUT", "datasets/people@1/aliases/a", {"dry_run": "yes"}, 422, "dry_run"),
        ("DELETE", "datasets", None, 422, "references"),
    ],
)
def test_what_cannot_be_done_is_a_problem_document(
    up: Up, method: str, path: str, body: Any, status: int, where: str | None
) -> None:
    """A refusal says what is wrong and where, as RFC 9457 has it."""
    answered = (
        up.ask(method, V1 + path, headers=changing(up)) if body is None else send(up, method, path, body)
    )

    assert answered.status == status
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.json["status"] == status
    assert answered.json["detail"]
    if where is not None:
        assert answered.json["where"] == where


def test_a_body_must_be_json_and_say_so(up: Up) -> None:
    """What a form of another site could send is refused, as is JSON that is none or too deep."""
    path = f"{V1}runs/latest/cancel"
    form = up.ask("POST", path, "a=b", changing(up, content_type="application/x-www-form-urlencoded"))
    plain = up.ask("POST", path, "{}", changing(up, content_type="text/plain"))
    broken = up.ask("POST", path, "{", changing(up, content_type="application/json"))
    deep = up.ask("POST", path, "[" * 100_000, changing(up, content_type="application/json"))

    assert [each.status for each in (form, plain, broken, deep)] == [415, 415, 400, 400]


def test_what_a_path_does_not_take_is_told_with_what_it_takes(up: Up) -> None:
    """A wrong method is answered with those that there are; HEAD is GET without its body."""
    wrong = up.ask("PATCH", f"{V1}runs")
    head = up.ask("HEAD", f"{V1}runs")

    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, POST")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0


@pytest.fixture(scope="module")
def told(up: Up, project: Path) -> Iterator[Any]:
    """Runs a command here, and by the server's answers: both outcomes."""

    def run(*arguments: str) -> tuple[Any, Any]:
        here = mlwright(*arguments, cwd=project)
        there = mlwright(*arguments, cwd=project.parent, MLWRIGHT_URL=up.url, MLWRIGHT_TOKEN=up.token)
        return tuple((each.returncode, each.stdout, each.stderr) for each in (here, there))

    yield run


FREE = re.compile(r"[\d.]+ GiB")
"""What is free on the disk, on which others write."""


@pytest.mark.parametrize(
    "line",
    [
        "runs list --metric loss>0 --param weight>0",
        "runs show latest",
        "runs show latest --json",
        "runs metrics latest --json",
        "runs metrics latest loss",
        "runs diff latest latest",
        "runs profile latest --json",
        "runs logs latest --follow",
        "runs why latest count",
        "runs show nothing",
        "datasets list people",
        "datasets diff people@1 people@2 --json",
        "datasets search peop",
        "datasets alias people@1 old --dry-run",
        "models list",
        "environments show",
        "artifacts list",
        "artifacts show latest/count --json",
        "lineage people@1 --down",
        "lineage people@1 --format mermaid",
        "workspace show",
    ],
)
def test_a_command_says_the_same_of_a_server(told: Any, line: str) -> None:
    """With `MLWRIGHT_URL` a command needs no project, and its output and exit code are the same."""
    here, there = ([FREE.sub("", str(each)) for each in told_] for told_ in told(*line.split()))

    assert there == here


def test_a_command_that_needs_files_says_so(told: Any) -> None:
    """What works on the files of a project is refused where there are none."""
    _, there = told("datasets", "status")

    assert there[0] == 2
    assert "MLWRIGHT_URL" in there[2]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:5000", "ftp://here", "http://[::1", "http://here/?x=1", "http://a:b@here", "http://h e"],
)
def test_what_is_no_address_of_a_server_is_refused(project: Path, address: str) -> None:
    """It is looked at before anything is asked."""
    refused = mlwright("runs", "list", cwd=project, MLWRIGHT_URL=address)

    assert refused.returncode == 2
    assert "no address of a server" in refused.stderr


def test_what_goes_to_this_machine_goes_to_no_proxy(up: Up, project: Path) -> None:
    """The workspace's own token stays here, whatever the environment says of proxies."""
    proxied = {"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"}

    listed = mlwright("runs", "list", cwd=project, MLWRIGHT_URL=up.url, **proxied)

    assert (listed.returncode, listed.stderr) == (0, "")


def test_a_number_beyond_64_bits_is_told(up: Up, project: Path) -> None:
    """MessagePack has no word for it; it is told as a text."""
    with Project.open(project) as opened:
        run = opened.run("counting", seats=2**70)

    shown = mlwright("runs", "show", run.id, cwd=project, MLWRIGHT_URL=up.url)

    assert str(2**70) in shown.stdout


def test_a_server_that_is_away_is_named(project: Path) -> None:
    """Who is asked and does not answer is told with its address."""
    away = mlwright("runs", "list", cwd=project, MLWRIGHT_URL="http://127.0.0.1:9")

    assert away.returncode == 6
    assert "http://127.0.0.1:9" in away.stderr
