"""Runs that are asked for over HTTP: what was accepted is recorded, and no end of a server loses one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlwright.app import Project
from mlwright.kernel import leases
from tests.conftest import COMMAND, Maker, mlwright
from tests.processes import alive, until
from tests.server.conftest import Answered, Up

PIPELINES = """
    import time
    from pathlib import Path
    from mlwright import Dataset, pipeline, step

    @step(cache=False)
    def note(place: str, word: str) -> str:
        with Path(place).open("a") as file:
            file.write(word + "\\n")
        return word

    @step(cache=False)
    def wait(place: str) -> str:
        while not Path(place).exists():
            time.sleep(0.01)
        return "done"

    @step
    def made() -> int:
        return 1

    @step
    def check(x: int, place: str) -> int:
        if not Path(place).exists():
            raise ValueError("it is not there")
        return x

    @step
    def read(table: Path) -> int:
        return 0

    @pipeline
    def noting(place: str, word: str = "word"):
        note(place, word)

    @pipeline
    def waiting(place: str):
        wait(place)

    @pipeline
    def thinking(place: str):
        while not Path(place + ".go").exists():
            time.sleep(0.01)
        note(place, "thought")

    @pipeline
    def checking(place: str):
        check(made(), place)

    @pipeline
    def reading(data: Dataset = Dataset("nothing@latest")):
        read(data)
"""
DIES = """
    import os, sys

    if "mlwright.workflow.queued" in sys.orig_argv:
        print("no memory for this", flush=True)
        os._exit(7)
"""


class Queued:
    """A project, and the servers that answer for it one after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = Project.open(root)
        self.servers: list[Up] = []

    def up(self, **variables: str) -> Up:
        """One more server."""
        self.servers.append(Up(self.root, "--port", "0", **variables))
        return self.servers[-1]

    def kill(self) -> None:
        """The server is no more, as if the power had gone for it alone."""
        self.servers[-1].signal(signal.SIGKILL)
        self.servers[-1].close()

    def state(self, run: str) -> str:
        """Where a run stands."""
        return str(self.project.runs.get(run).state)

    def close(self) -> None:
        """End all of it."""
        for server in self.servers:
            server.close()
        for run in self.project.runs.list(limit=1000):
            if not run.state.ended:
                self.project.runs.cancel(run)
        until(lambda: all(run.state.ended for run in self.project.runs.list(limit=1000)))
        self.project.close()


@pytest.fixture
def queued(make_project: Maker) -> Iterator[Queued]:
    """A small project with pipelines that wait, and tell."""
    made = Queued(make_project({"pipelines/flows.py": PIPELINES, "scripts/say.py": "print('said')"}))
    yield made
    made.close()


def asked(up: Up, path: str, **body: Any) -> Answered:
    """POST JSON to the REST API."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {up.token}"}
    return up.ask("POST", f"/api/v1{path}", json.dumps(body), headers)


def there(up: Up) -> dict[str, str]:
    """The variables by which a command asks a server."""
    return {"MLWRIGHT_URL": up.url, "MLWRIGHT_TOKEN": up.token}


def start(up: Up, pipeline: str, snapshot: str = "", **parameters: Any) -> str:
    """A run is accepted; its id."""
    answered = asked(up, "/runs", pipeline=pipeline, parameters=parameters, snapshot=snapshot)
    assert answered.status == 202, answered.body
    assert answered.headers["location"] == f"/api/v1/runs/{answered.json['id']}"
    return str(answered.json["id"])


def test_what_was_accepted_is_run_once_though_the_server_is_killed(queued: Queued, tmp_path: Path) -> None:
    """Twenty servers are killed right after an answer, or a little later: each run happens, and once."""
    place = tmp_path / "words"
    runs = []

    def owned(run: str, *kinds: str) -> bool:
        owners = leases.owners(queued.project.rooms.database)
        return any(f"{kind} {run}" in owners for kind in kinds) or queued.state(run) != "scheduled"

    for number in range(20):
        up = queued.up()
        runs.append(start(up, "noting", place=str(place), word=f"word-{number}"))
        if number % 4:
            oldest = next((run for run in runs if queued.state(run) == "scheduled"), runs[-1])
            until(lambda: owned(oldest, *[("run", "start"), ("run",), ()][number % 4 - 1]))  # noqa: B023
        queued.kill()
    queued.up()

    until(lambda: all(queued.state(run) == "succeeded" for run in runs), within_s=60)
    assert Counter(place.read_text().split()) == Counter(f"word-{number}" for number in range(20))
    assert len(queued.project.runs.list(limit=1000)) == 20


def test_a_run_in_preparation_is_begun_again_when_all_was_killed(queued: Queued, tmp_path: Path) -> None:
    """Server and process die together before the run began: the next server starts it, once."""
    place = tmp_path / "words"
    run = start(queued.up(), "thinking", place=str(place))
    database = queued.project.rooms.database
    until(lambda: leases.owner(database, f"run {run}") is not None)
    owner = leases.owner(database, f"run {run}")
    assert owner is not None

    queued.kill()
    os.kill(owner.pid, signal.SIGKILL)
    until(lambda: not owner.alive)
    before = queued.state(run)
    place.with_name("words.go").touch()
    queued.up()

    until(lambda: queued.project.runs.get(run).state.ended)
    assert (before, queued.state(run)) == ("scheduled", "succeeded")
    assert place.read_text() == "thought\n"
    until(lambda: not leases.owners(database).keys() & {f"run {run}", f"start {run}"})


def test_a_run_goes_on_without_its_server_and_the_next_one_counts_it(queued: Queued, tmp_path: Path) -> None:
    """One run at a time is one run at a time, whoever has started it."""
    up, go = queued.up(), tmp_path / "go"
    first = start(up, "waiting", place=str(go))
    second = start(up, "noting", place=str(tmp_path / "words"))
    until(lambda: queued.state(first) == "running")
    queued.kill()
    owner = leases.owner(queued.project.rooms.database, f"run {first}")
    third = start(queued.up(), "noting", place=str(tmp_path / "words"))
    held = [queued.state(run) for run in (first, second, third)]

    go.touch()
    until(lambda: queued.state(third) == "succeeded")

    assert owner is not None
    assert held == ["running", "scheduled", "scheduled"]
    began = [queued.project.runs.get(run).started_us or 0 for run in (first, second, third)]
    assert began == sorted(began)
    until(lambda: not alive(owner.pid))


def test_a_stop_leaves_runs_and_says_so(queued: Queued, tmp_path: Path) -> None:
    """SIGTERM ends the server, not what it has started; it says what goes on and what waits."""
    command = [str(COMMAND), "up", "--port", "0"]
    with subprocess.Popen(command, cwd=queued.root, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split(" at ")[1].split()[0]
        for _ in range(2):
            place = f"place={tmp_path / 'go'}"
            mlwright("run", "waiting", "-p", place, "--no-wait", cwd=queued.root, MLWRIGHT_URL=url)
        runs = [run.id for run in queued.project.runs.list()][::-1]
        until(lambda: queued.state(runs[0]) == "running")
        server.terminate()
        said = server.stdout.read()

    assert said.splitlines()[-1] == "stopped; 1 run goes on; 1 run waits for the next mlwright up"
    assert [queued.state(run) for run in runs] == ["running", "scheduled"]


def test_a_run_that_waits_is_cancelled_at_once_and_one_that_runs_soon(queued: Queued, tmp_path: Path) -> None:
    """Cancelling is one request for both; MLflow's clients see what is to come as SCHEDULED."""
    up = queued.up()
    first, second = (start(up, "waiting", place=str(tmp_path / "go")) for _ in range(2))
    until(lambda: queued.state(first) == "running")
    told = up.get("runs/get", run_id=second).json["run"]["info"]["status"]
    listed = up.ask("GET", "/api/v1/runs?state=scheduled").json

    waited = asked(up, f"/runs/{second}/cancel")
    ran = asked(up, f"/runs/{first}/cancel")
    again = asked(up, f"/runs/{second}/cancel")

    assert told == "SCHEDULED"
    assert [each["run"]["id"] for each in listed["found"]] == [second]
    assert (waited.status, waited.json["state"]) == (200, "cancelled")
    assert (ran.status, ran.json["wanted"]) == (200, "cancelled")
    assert again.status == 409
    until(lambda: queued.state(first) == "cancelled")


def test_a_run_is_continued_by_one_other(queued: Queued, tmp_path: Path) -> None:
    """What failed is resumed as a new run that waits; a second one is refused while that is active."""
    up, place = queued.up(), tmp_path / "place"
    blocker = start(up, "waiting", place=str(tmp_path / "go"))
    failed = start(up, "checking", place=str(place))
    early = asked(up, f"/runs/{failed}/resume")
    (tmp_path / "go").touch()
    until(lambda: queued.state(failed) == "failed")
    (tmp_path / "go").unlink()
    place.touch()
    blocker = start(up, "waiting", place=str(tmp_path / "go"))

    resumed = asked(up, f"/runs/{failed}/resume")
    second = asked(up, f"/runs/{failed}/resume")
    asked(up, f"/runs/{blocker}/cancel")

    until(lambda: queued.state(resumed.json["id"]) == "succeeded")
    assert (early.status, resumed.status, second.status) == (409, 202, 409)
    shown = up.ask("GET", f"/api/v1/runs/{resumed.json['id']}").json
    assert shown["made_with"]["continues"]["id"] == failed
    assert {each["attempt"]["node"]: each["attempt"]["state"] for each in shown["attempts"]} == {
        "made": "reused",
        "check": "succeeded",
    }


def test_an_edit_after_the_answer_changes_nothing(queued: Queued, tmp_path: Path) -> None:
    """The code of a run is that of its acceptance; a run's own code can be run again, by any name of it."""
    up, words = queued.up(), tmp_path / "words"
    blocker = start(up, "waiting", place=str(tmp_path / "go"))
    first = start(up, "noting", place=str(words))
    file = queued.root / "pipelines/flows.py"
    file.write_text(file.read_text().replace('word + "\\n"', '"edited " + word + "\\n"'))
    (tmp_path / "go").touch()
    until(lambda: queued.state(first) == "succeeded")
    code = queued.project.rooms.snapshots.get(
        up.ask("GET", f"/api/v1/runs/{first}").json["made_with"]["code"]["id"]
    )

    runs = [start(up, "noting", name, place=str(words)) for name in (first, code.digest[:10], "")]

    until(lambda: all(queued.state(run) == "succeeded" for run in runs))
    assert queued.state(blocker) == "succeeded"
    assert words.read_text().splitlines() == ["word", "word", "word", "edited word"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"pipeline": "noted"}, 404, "there is no pipeline `noted`"),
        ({}, 422, "`pipeline` is missing"),
        ({"pipeline": "noting", "parameters": {"plase": "x"}}, 422, "no parameter `plase`"),
        ({"pipeline": "noting", "parameters": {"place": 3}}, 422, "must be text"),
        ({"pipeline": "noting"}, 422, "needs the parameter `place`"),
        ({"pipeline": "noting", "seed": -1}, 422, "seed"),
        ({"pipeline": "noting", "executor": "moon"}, 422, "no executor `moon`"),
        ({"pipeline": "noting", "snapshot": "abcdef"}, 404, "neither a code snapshot nor a run"),
        ({"pipeline": "scripts/gone.py"}, 404, "no script scripts/gone.py in the code"),
        ({"pipeline": "../other/say.py"}, 404, "no script ../other/say.py in the code"),
        ({"pipeline": "scripts/say.py", "parameters": {"x": 1}}, 422, "arguments, not parameters"),
    ],
)
def test_a_bad_request_is_refused_at_the_door(
    known: Up, body: dict[str, Any], status: int, words: str
) -> None:
    """What can be known then is said then, and nothing is recorded."""
    before = known.ask("GET", "/api/v1/runs").json

    answered = asked(known, "/runs", **body)

    assert (answered.status, words in answered.json["detail"]) == (status, True), answered.body
    assert known.ask("GET", "/api/v1/runs").json == before


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A server that knows what `noting` takes, since it has run."""
    from tests.conftest import PYPROJECT, lock_project, write

    root = write(
        tmp_path_factory.mktemp("known") / "small",
        {"pyproject.toml": PYPROJECT, "pipelines/flows.py": PIPELINES, "scripts/say.py": "print('said')"},
    )
    with Project.open(root) as project:
        lock_project(project)
        project.run("noting", place=str(root.parent / "words"))
    up = Up(root)
    yield up
    up.close()


def test_a_process_that_dies_before_its_run_began_is_told(queued: Queued, tmp_path: Path) -> None:
    """The run has failed, with how the process ended, its last words, and the file that has all of them."""
    (tmp_path / "sitecustomize.py").write_text(DIES.replace("\n    ", "\n"))
    up = queued.up(PYTHONPATH=str(tmp_path))

    run = start(up, "noting", place=str(tmp_path / "words"))

    until(lambda: queued.state(run) == "failed")
    error = queued.project.runs.get(run).error
    assert error is not None
    assert "ended itself with status 7\nno memory for this" in error["message"]
    assert Path(error["where"]).read_text() == "no memory for this\n"
    assert error["where"] in mlwright("runs", "show", run, cwd=queued.root).stdout


def test_a_command_follows_a_run_to_its_end(queued: Queued, tmp_path: Path) -> None:
    """With MLWRIGHT_URL the words and the status are those of a run here, whatever ends it."""
    named = there(queued.up())

    def run(*arguments: str) -> tuple[int, str]:
        done = mlwright("run", *arguments, cwd=tmp_path, **named)
        return done.returncode, done.stdout + done.stderr

    succeeded = run("noting", "-p", f"place={tmp_path / 'words'}")
    failed = run("checking", "-p", "place=/nowhere")
    missing = run("reading")
    script = run("scripts/say.py", "--x", "1")
    refused = mlwright("run", "noting", "--no-wait", cwd=queued.root)

    assert succeeded[0] == 0
    assert [line.split()[:2] for line in succeeded[1].splitlines()][-2:-1] == [["note", "succeeded"]]
    assert failed[0] == 1
    assert "ValueError: it is not there" in failed[1]
    assert missing[0] == 3
    assert "there is no dataset" in missing[1]
    assert script[0] == 0
    assert (refused.returncode, "hint: start one: mlwright up" in refused.stderr) == (2, True)


def test_ctrl_c_cancels_the_run_on_the_server(queued: Queued, tmp_path: Path) -> None:
    """Who follows a run ends it with Ctrl-C, as one that runs here."""
    named = there(queued.up())
    command = [str(COMMAND), "run", "waiting", "-p", f"place={tmp_path / 'go'}"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | named, stderr=subprocess.PIPE, text=True
    ) as follower:
        until(lambda: [str(run.state) for run in queued.project.runs.list()] == ["running"])
        follower.send_signal(signal.SIGINT)
        said = follower.communicate(timeout=60)[1]

    (run,) = queued.project.runs.list()
    assert (follower.returncode, str(run.state)) == (130, "cancelled")
    assert "was cancelled" in said


def test_two_servers_of_one_database_start_each_run_once(queued: Queued, tmp_path: Path) -> None:
    """What two queues find at the same time, one of them starts."""
    words = tmp_path / "words"
    up = queued.up()
    runs = [start(up, "noting", place=str(words), word=f"word-{number}") for number in range(6)]
    queued.kill()
    code = (
        "import sys\nfrom mlwright.app import Project\nfrom mlwright.server.queue import Queue\n"
        "with Project.open(sys.argv[1]) as project:\n"
        "    queue = Queue(project.rooms)\n    queue.begin()\n    sys.stdin.read()\n    queue.end()\n"
    )
    command = [sys.executable, "-c", code, str(queued.root)]

    servers = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
    until(lambda: all(queued.state(run) == "succeeded" for run in runs), within_s=60)
    for server in servers:
        server.communicate()

    assert Counter(words.read_text().split()) == Counter(f"word-{number}" for number in range(6))
