"""Runs in OpenLineage's words: events as the specification wants them, and receivers of every temper."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mlwright.app import Project
from mlwright.kernel.errors import Invalid, MlwrightError, NotFound
from mlwright.kernel.ids import id_of, new_id, uuid_of
from mlwright.kernel.settings import ProjectFolder, Settings
from mlwright.tracking import Run, RunState
from mlwright.versioning.summaries import ColumnSummary, TableSummary
from mlwright.workflow.attempts import AttemptState
from mlwright.workflow.openlineage import events as telling
from mlwright.workflow.openlineage import events_of, facets, read_records, receiver_of
from mlwright.workflow.openlineage.records import Item
from mlwright.workflow.watch import RunView, Unwatched
from tests.conftest import PYPROJECT, Maker, mlwright
from tests.openlineage import KEYS, Unlike, judge
from tests.processes import until

Opener = Callable[[dict[str, str]], Project]
Event = dict[str, Any]

PIPELINE = '''
from mlwright import Dataset, pipeline, step
from mlwright.steps import gate

@step(tags={"team": "wards"})
def read(data: Dataset) -> list[str]:
    return data.open().read().decode().splitlines()

@step
def score(lines: list[str], least: int = 1) -> dict[str, float]:
    if least < 0:
        raise ValueError("least is negative")
    return {"lines": len(lines)}

@step
def double(number: int) -> int:
    return number * 2

@pipeline
def count(data: Dataset = Dataset("patients@latest"), least: int = 1):
    """Count lines."""
    gate(score(read(data), least), "lines > 1")
    double.map([1, 2])
'''
WAITING = """
import time
from pathlib import Path
from mlwright import pipeline, step

@step
def wait() -> int:
    while not Path({go!r}).exists():
        time.sleep(0.01)
    return 1

@pipeline
def p():
    wait()
"""
FILES = {"pipelines/p.py": PIPELINE, "patients.csv": "age,ill\n41,0\n63,1\n"}
FILE = PYPROJECT + '\n[tool.mlwright.openlineage]\nfile = "told/lineage.jsonl"\n'


@pytest.fixture(autouse=True)
def judged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every event that a test makes, also one that nobody takes, is as the specification wants it."""
    made: list[Event] = []
    make = telling._event

    def kept(*given: Any) -> Event:
        made.append(make(*given))
        return made[-1]

    monkeypatch.setattr(telling, "_event", kept)
    yield
    for event in made:
        judge(event)


class Warned(Unwatched):
    """Keeps what a run warns of."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def warned(self, what: str) -> None:
        self.told.append(what)


def counted(opened: Opener, pyproject: str = PYPROJECT) -> Project:
    """A project with a dataset and a pipeline that counts its lines."""
    project = opened({**FILES, "pyproject.toml": pyproject})
    project.datasets.add(project.root / "patients.csv", "patients")
    return project


def run(project: Project, watcher: Warned | None = None, **parameters: Any) -> Run:
    """Run it, whatever comes of it."""
    return project.pipelines.run(project.request("count", parameters), watcher)[0]


def told(events: list[Event]) -> list[tuple[str, str]]:
    """What happened to which job."""
    return [(event["job"]["name"], event["eventType"]) for event in events]


def of(events: list[Event], job: str, kind: str = "COMPLETE") -> Event:
    """The one event of a job."""
    (found,) = [each for each in events if (each["job"]["name"], each["eventType"]) == (job, kind)]
    return found


def test_a_run_is_told_from_begin_to_end(opened: Opener) -> None:
    """START comes first and COMPLETE last; between them each attempt begins and ends, as part of the run."""
    project = counted(opened)
    done = run(project)

    events = project.openlineage(done.id)

    for event in events:
        judge(event)
    assert told(events)[0] == ("count", "START")
    assert told(events)[-1] == ("count", "COMPLETE")
    assert sorted(told(events)[1:-1]) == sorted(
        (f"count.{name}", kind)
        for name in ("read", "score", "gate", "double", "double")
        for kind in ("START", "COMPLETE")
    )
    steps = events[1:-1]
    parents = [each["run"]["facets"]["parent"] for each in steps]
    assert {parent["run"]["runId"] for parent in parents} == {str(uuid_of(done.id))}
    assert {parent["job"]["name"] for parent in parents} == {"count"}
    times = [event["eventTime"] for event in events]
    assert times == sorted(times)


def test_what_was_read_and_made_is_named(opened: Opener) -> None:
    """A dataset lies in the workspace, with version, columns, size; what a step makes the next one takes."""
    project = counted(opened)
    events = project.openlineage(run(project).id)

    read, score = of(events, "count.read"), of(events, "count.score")
    (data,) = read["inputs"]
    (made,) = read["outputs"]

    workspace = f"mlwright://{project.rooms.workspace.id}"
    assert (data["namespace"], data["name"]) == (workspace, "datasets/patients")
    assert data["facets"]["version"]["datasetVersion"] == "1"
    assert [field["name"] for field in data["facets"]["schema"]["fields"]] == ["age", "ill"]
    assert data["inputFacets"]["inputStatistics"]["size"] == 18
    assert (made["namespace"], made["name"]) == (workspace, "artifacts/count/read/result")
    assert [(each["name"], each["facets"]["version"]) for each in score["inputs"]] == [
        (made["name"], made["facets"]["version"])
    ]
    assert read["run"]["facets"]["tags"]["tags"] == [{"key": "team", "value": "wards", "source": "USER"}]
    begun = events[0]["run"]["facets"]
    assert {each["key"]: each["value"] for each in begun["executionParameters"]["parameters"]} == {
        "data": "patients@latest",
        "least": "1",
    }
    (environment,) = begun["mlwright_environment"]["environments"]
    assert environment["lock"] == f"b3:{project.environments.current().digest}"


def test_a_failure_is_told_with_its_message(opened: Opener) -> None:
    """The step that failed and the run end with FAIL and say why; what stands behind has nothing to tell."""
    project = counted(opened)
    events = project.openlineage(run(project, least=-1).id)

    step, whole = of(events, "count.score", "FAIL"), of(events, "count", "FAIL")

    for event in events:
        judge(event)
    assert "least is negative" in step["run"]["facets"]["errorMessage"]["message"]
    assert "in score" in step["run"]["facets"]["errorMessage"]["stackTrace"]
    assert "least is negative" in whole["run"]["facets"]["errorMessage"]["message"]
    assert whole["outputs"] == step["outputs"] == []
    assert ("count.gate", "START") not in told(events)


def test_what_is_reused_is_told_with_what_stands_for_it(opened: Opener) -> None:
    """A reused step completes at once, with the outputs of the attempt that it names."""
    project = counted(opened)
    first, second = (project.openlineage(run(project).id) for _ in range(2))

    made, again = of(first, "count.read"), of(second, "count.read")

    judge(again)
    assert again["outputs"] == made["outputs"]
    assert again["inputs"] == made["inputs"]
    assert again["run"]["facets"]["mlwright_step"]["state"] == "reused"
    assert (
        again["run"]["facets"]["mlwright_step"]["reuses"] == made["run"]["facets"]["mlwright_step"]["attempt"]
    )


@pytest.mark.parametrize(
    ("state", "attempts", "kind"),
    [
        (RunState.CANCELLED, AttemptState.CANCELLED, "ABORT"),
        (RunState.LOST, AttemptState.LOST, "ABORT"),
        (RunState.RUNNING, AttemptState.RUNNING, None),
    ],
)
def test_an_end_is_told_as_what_it_is(
    opened: Opener, state: RunState, attempts: AttemptState, kind: str | None
) -> None:
    """Cancelled and lost runs and steps are aborted; what goes on has no end yet."""
    project = counted(opened)
    records = read_records(project.rooms, run(project), "small")
    steps = [replace(each, attempt=replace(each.attempt, state=attempts)) for each in records.steps]

    events = events_of(replace(records, run=replace(records.run, state=state), steps=tuple(steps)))

    for event in events:
        judge(event)
    assert {event["eventType"] for event in events} == {"START", kind} - {None}


def test_a_table_that_was_summarised_has_its_quality_told() -> None:
    """Empty cells, different values, range and deciles go into the words of OpenLineage."""
    ages = ColumnSummary("age", "int64", "number", 2, 8, minimum=1, maximum=9, deciles=tuple(range(1, 10)))
    names = ColumnSummary("name", "string", "text", 0, 10_000, more=True, minimum="a", maximum="z")

    metrics = facets.column_metrics([ages, names], 12)

    assert metrics["age"] == {
        "nullCount": 2,
        "distinctCount": 8,
        "count": 10,
        "min": 1,
        "max": 9,
        "quantiles": {f"0.{tenth}": tenth for tenth in range(1, 10)},
    }
    assert metrics["name"] == {"nullCount": 0, "count": 12}


def test_every_facet_that_can_be_told_is_as_specified(opened: Opener) -> None:
    """Also those that few runs have: columns with quality, an address it came from, code in Git."""
    project = counted(opened)
    records = read_records(project.rooms, run(project), "small")
    ages = ColumnSummary("age", "int64", "number", 2, 8, minimum=1, maximum=9, deciles=tuple(range(1, 10)))
    item = Item(
        "datasets/fetched",
        "1",
        "dataset",
        "",
        18,
        files=1,
        rows=12,
        columns=(("age", "int64"), ("of no type", "")),
        table=TableSummary("patients.csv", "csv", 12, (ages,)),
        source="https://data.example/our files/patients.csv?day=1",
    )
    snapshot = replace(records.snapshot, git_remote="git@code.example:our group/a.git", git_commit="0" * 40)

    events = events_of(replace(records, snapshot=snapshot, inputs=(item,), outputs=(item,)))

    for event in events:
        judge(event)
    found = {
        name
        for event in events
        for place in (event["run"], event["job"], *event["inputs"], *event["outputs"])
        for kind in ("facets", "inputFacets", "outputFacets")
        for name in place.get(kind, {})
    }
    assert found == set(KEYS.values()) - {"errorMessage"}


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://code.example/group/name.git", "https://code.example/group/name"),
        ("https://code.example/group/name", "https://code.example/group/name"),
        ("https://code.example/our group/nàme.git", "https://code.example/our%20group/n%C3%A0me"),
        ("https://code.example/our%20group/name", "https://code.example/our%20group/name"),
        ("git@code.example:our group/name.git", "https://code.example/our%20group/name"),
        ("git@code.example:group/name.git", "https://code.example/group/name"),
        ("ssh://code.example:2222/group/name.git", "https://code.example/group/name"),
        ("/srv/git/name.git", ""),
        ("../name", ""),
        ("file:///srv/name", ""),
        ("host:name", ""),
        ("", ""),
    ],
)
def test_the_address_of_a_repository_is_one_for_people(remote: str, url: str) -> None:
    """However Git reaches it; a repository on this disk has none."""
    assert facets.web_address(remote) == url


@given(st.binary(min_size=16, max_size=16))
def test_an_id_and_its_uuid_are_the_same(data: bytes) -> None:
    """Both ways, for each of the 128 bits."""
    number = int.from_bytes(data)

    identity = id_of(type(uuid_of(new_id()))(int=number))

    assert uuid_of(identity).int == number
    assert len(identity) == 26


def test_an_event_leads_back_to_its_run(opened: Opener) -> None:
    """The `runId` of an event is a reference: of a run, or of an attempt at a step."""
    project = counted(opened)
    done = run(project)
    events = project.openlineage(done.id)

    step = of(events, "count.score")

    assert project.lineage.find(events[0]["run"]["runId"]) == done.end
    found = project.lineage.find(step["run"]["runId"])
    assert (found.kind, found.id) == ("attempt", step["run"]["facets"]["mlwright_step"]["attempt"])


def test_the_judge_refuses_what_the_specification_does() -> None:
    """A judge that takes everything would prove nothing."""
    event: Event = {
        "eventType": "START",
        "eventTime": "2026-11-23T00:00:00Z",
        "producer": "urn:mlwright:0",
        "schemaURL": facets.EVENT,
        "run": {"runId": str(uuid_of(new_id())), "facets": {"processing_engine": facets.engine()}},
        "job": {"namespace": "a", "name": "b"},
    }
    judge(event)
    for wrong in (
        {"eventType": "BEGAN"},
        {"eventTime": "yesterday"},
        {"eventTime": "2026-11-23"},
        {"producer": "mlwright 0"},
        {"producer": None},
        {"schemaURL": facets.EVENT.replace("2-0-2", "2-0-1")},
        {"run": {"runId": "01ABC"}},
        {"job": {"name": "b"}},
        {"inputs": [{"namespace": "a"}]},
        {"more": 1},
        {"run": event["run"] | {"facets": {"other": facets.engine()}}},
        {"run": event["run"] | {"facets": {"processing_engine": facets.engine() | {"version": 1}}}},
        {"run": event["run"] | {"facets": {"jobType": facets.job_type("step")}}},
        *({"run": event["run"] | {"facets": {"processing_engine": wrong}}} for wrong in _wrong_facets()),
    ):
        with pytest.raises(Unlike):
            judge(event | wrong)
    for name in ("eventTime", "producer", "schemaURL", "run", "job"):
        with pytest.raises(Unlike):
            judge({key: value for key, value in event.items() if key != name})


def _wrong_facets() -> Iterator[Any]:
    right = facets.engine()
    for name in ("_producer", "_schemaURL", "version"):
        yield {key: value for key, value in right.items() if key != name}
    yield right | {"_producer": "no address"}
    yield right | {"_schemaURL": right["_schemaURL"].replace("1-1-1", "1-1-0")}
    yield right | {"more": "than there is"}
    yield right | {"name": None}
    yield "text"


# Receivers


def test_a_file_has_the_events_that_the_records_have(make_project: Maker) -> None:
    """What was written while the run went is what `lineage RUN --format openlineage` prints afterwards."""
    root = make_project({**FILES, "pyproject.toml": FILE})
    mlwright("datasets", "add", "patients.csv", "--name", "patients", cwd=root)

    done = mlwright("run", "count", cwd=root)
    printed = mlwright("lineage", "latest", "--format", "openlineage", cwd=root)

    lines = (root / "told/lineage.jsonl").read_text().splitlines()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(lines) == sorted(printed.stdout.splitlines())
    assert len(lines) == 12


def test_the_file_is_no_code(opened: Opener) -> None:
    """The file grows with every run; the snapshots of code do not take it in."""
    project = counted(opened, FILE)

    first, second = run(project), run(project)

    taken = [project.rooms.snapshots.take().digest for _ in range(2)]
    assert (project.root / "told/lineage.jsonl").exists()
    assert len(set(taken)) == 1
    assert project.lineage.find(f"b3:{taken[0]}").kind == "snapshot"
    assert first.id != second.id


class Receiver(ThreadingHTTPServer):
    """A server that keeps what it is sent, and answers as it is told."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked: list[tuple[str, str, Event]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Authorization", ""), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def receiving(status: int = 201) -> Iterator[Receiver]:
    """A receiver on loopback."""
    with Receiver(status) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_server_is_sent_every_event_once(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is one POST, with the key that a variable holds."""
    monkeypatch.setenv("LINEAGE_KEY", "s3cret")
    watcher = Warned()
    with receiving() as server:
        more = f'\n[tool.mlwright.openlineage]\nurl = "{server.url}"\napi_key = "env:LINEAGE_KEY"\n'
        project = counted(opened, PYPROJECT + more)

        done = run(project, watcher)

    sent = [event for _, _, event in server.asked]
    assert {(path, key) for path, key, _ in server.asked} == {("/api/v1/lineage", "Bearer s3cret")}
    assert sorted(map(json.dumps, sent)) == sorted(map(json.dumps, project.openlineage(done.id)))
    assert watcher.told == []


class Meanwhile(Unwatched):
    """Lets a run go on when a receiver has heard of it and of its step."""

    def __init__(self, server: Receiver, go: Path) -> None:
        self._server = server
        self._go = go
        self.heard = False

    def began(self, run: RunView) -> None:
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        until(lambda: {("p", "START"), ("p.wait", "START")} <= {*told([e for _, _, e in self._server.asked])})
        self.heard = True
        self._go.touch()


def test_a_receiver_hears_while_the_run_goes_on(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """That a run and a step began is told before they end."""
    go = tmp_path / "go"
    project = opened({"pipelines/p.py": WAITING.format(go=str(go))})
    with receiving() as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        watcher = Meanwhile(server, go)

        project.pipelines.run(project.request("p", {}), watcher)

    assert watcher.heard
    assert told([event for _, _, event in server.asked]) == [
        ("p", "START"),
        ("p.wait", "START"),
        ("p.wait", "COMPLETE"),
        ("p", "COMPLETE"),
    ]


def test_openlineages_own_variables_are_heard(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """OPENLINEAGE_URL, _API_KEY and _NAMESPACE do without settings; OPENLINEAGE_DISABLED turns all off."""
    with receiving() as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        monkeypatch.setenv("OPENLINEAGE_API_KEY", "other")
        monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "wards")
        project = counted(opened)
        run(project)
        sent = len(server.asked)
        monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
        run(project)

    assert len(server.asked) == sent == 12
    assert {key for _, key, _ in server.asked} == {"Bearer other"}
    assert {event["job"]["namespace"] for _, _, event in server.asked} == {"wards"}


def test_a_key_stays_with_the_address_it_belongs_to(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables' key is not sent to a project's receiver; one that no header can hold is not shown."""
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "of another server")
    with receiving() as server:
        run(counted(opened, f'{PYPROJECT}\n[tool.mlwright.openlineage]\nurl = "{server.url}"\n'))
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        monkeypatch.setenv("OPENLINEAGE_API_KEY", "ключ-hush")
        with pytest.raises(Invalid, match="letters that no header can") as refusal:
            run(counted(opened))

    assert {key for _, key, _ in server.asked} == {""}
    assert "hush" not in str(refusal.value)


def test_nobody_there_does_not_fail_a_run(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run succeeds, and one warning says how many events did not arrive, and where they are."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{port}")
    watcher = Warned()

    done = run(counted(opened), watcher)

    assert done.state is RunState.SUCCEEDED
    (warning,) = watcher.told
    assert warning.startswith("OpenLineage: 12 events of run ")
    assert f"did not get to http://127.0.0.1:{port}/api/v1/lineage" in warning
    assert warning.endswith("--format openlineage")


def test_a_receiver_that_never_answers_does_not_hold_a_run(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a run waits a moment, not for ever."""
    watcher = Warned()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")

        done = run(counted(opened), watcher)

    assert done.state is RunState.SUCCEEDED
    (warning,) = watcher.told
    assert "did not get to" in warning


@pytest.mark.parametrize(("status", "asked"), [(401, 12), (422, 12), (503, 3)])
def test_what_a_server_refuses_is_counted(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, status: int, asked: int
) -> None:
    """What is refused is not sent again; a server that is down for the moment is asked a few times."""
    watcher = Warned()
    with receiving(status) as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)

        done = run(counted(opened), watcher)

    assert done.state is RunState.SUCCEEDED
    (warning,) = watcher.told
    assert f"12 events of run {done.id[:10]}" in warning
    assert f"it answered {status}" in warning
    assert len(server.asked) >= asked


def test_a_warning_goes_where_errors_go(make_project: Maker) -> None:
    """Standard output stays JSON for a program; the exit code is that of the run."""
    root = make_project({**FILES, "pyproject.toml": FILE})
    mlwright("datasets", "add", "patients.csv", "--name", "patients", cwd=root)
    (root / "told").write_text("in the way")

    done = mlwright("run", "count", "--json", cwd=root)

    assert done.returncode == 0
    assert json.loads(done.stdout)["run"]["state"] == "succeeded"
    assert done.stderr.startswith("warning: OpenLineage: 12 events of run ")
    assert done.stderr.count("\n") == 1


def folder(tmp_path: Path, **told: str) -> ProjectFolder:
    return ProjectFolder(tmp_path, "small", Settings(openlineage=told))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"path": "x"}, "unknown setting `path`"),
        ({"file": "x", "url": "http://a"}, "two receivers"),
        ({"url": "http://a", "api_key": "s3cret"}, "`api_key` holds no key, but says where it is"),
        ({"url": "http://user:s3cret@a"}, "holds no credentials"),
        ({"url": "http://a?key=s3cret"}, "holds no credentials"),
        ({"url": "ftp://a"}, "no web address"),
        ({"url": "http://"}, "no web address"),
        ({"url": "http://a:99999"}, "no web address"),
        ({"url": "http://a", "api_key": "env:NOT_SET"}, "NOT_SET"),
        ({"url": "http://a", "api_key": "file:/not/there"}, "/not/there"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(tmp_path: Path, told: dict[str, str], message: str) -> None:
    """Before anything runs, in one message with a way on, and without what is secret."""
    with pytest.raises((Invalid, NotFound), match=message) as refusal:
        receiver_of(folder(tmp_path, **told), {})

    assert "s3cret" not in refusal.value.render()


def test_a_wrong_setting_is_said_before_a_run_begins(opened: Opener) -> None:
    """Nothing is recorded of a run that would have told nobody, though it was asked to."""
    project = counted(opened, PYPROJECT + '\n[tool.mlwright.openlineage]\nurl = "nowhere"\n')

    with pytest.raises(MlwrightError, match="no web address"):
        run(project)

    assert project.runs.count() == 0


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://a:5000", "http://a:5000/api/v1/lineage"),
        ("http://a:5000/", "http://a:5000/api/v1/lineage"),
        ("https://a/collect", "https://a/collect"),
    ],
)
def test_an_address_without_a_path_has_the_usual_one(tmp_path: Path, url: str, asked: str) -> None:
    """As OpenLineage's own clients have it."""
    receiver = receiver_of(folder(tmp_path, url=url), {})

    assert receiver is not None
    assert receiver.shown == asked


def test_a_run_made_again_elsewhere_is_told_to_nobody(make_project: Maker) -> None:
    """`runs reproduce` has a workspace of its own, whose runs are nobody's news."""
    root = make_project({**FILES, "pyproject.toml": FILE})
    with Project.open(root) as project:
        project.datasets.add(root / "patients.csv", "patients")
        done = project.run("count")
        before = (root / "told/lineage.jsonl").read_bytes()

        project.reproduce(done.id, root.parent / "again")

    assert (root / "told/lineage.jsonl").read_bytes() == before
    assert list((root.parent / "again").rglob("lineage.jsonl")) == []
