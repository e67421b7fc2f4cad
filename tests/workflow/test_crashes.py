"""`kill -9` of a run, of its engine or of a worker, at moments spread over the whole run, looked at from outside.

Nothing of the engine's own code looks at the records here: they are read with SQL, the objects from their
files, and what was executed from a file outside the project that every step appends a line to.

`make test` kills 20 runs, `make soak` 200.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest
from blake3 import blake3

from mlwright.app import Project
from tests.conftest import COMMAND, PYPROJECT, write
from tests.processes import alive, until

pytestmark = pytest.mark.soak

SOAK = os.environ.get("MLWRIGHT_SOAK") == "1"
MOMENTS = 200 if SOAK else 20
MARK = "MLWRIGHT_TEST_CRASH"
LOOK_S = 15.0
"""After so long at most, whoever looks sees that a run is lost."""

PIPELINE = '''
    """A few dozen steps; each says in a file outside the project that it was begun."""

    import os
    import random
    import time
    from pathlib import Path

    from mlwright import log_metric, pipeline, step
    from mlwright.steps import gate

    def began(node):
        with open(os.environ["LEDGER"], "ab", buffering=0) as ledger:
            ledger.write(f"{node}\\n".encode())

    def nth(name, number):
        return name if number == 1 else f"{name}-{number}"

    @step
    def link(number: int, before: int = 0) -> int:
        began(nth("link", number))
        return before + random.randrange(1000)

    @step
    def block(number: int) -> bytes:
        began(nth("block", number))
        print("block", number)
        return random.randbytes(5000 * number)

    @step
    def measure(number: int, data: bytes) -> int:
        began(nth("measure", number))
        log_metric(f"measured {number}", len(data))
        return len(data)

    @step
    def spread() -> list[int]:
        began("spread")
        return list(range(8))

    @step
    def square(value: int) -> int:
        began(f"square[{value}]")
        return value * value

    @step(retries=1)
    def shaky() -> int:
        began("shaky")
        tried = Path(os.environ["LEDGER"] + ".tried")
        if os.environ.get("SHAKY") and not tried.exists():
            tried.touch()
            raise OSError("the first try")
        return 1

    @step
    def total(link: int, measured: list[int], squares: list[int], shaky: int) -> dict[str, int]:
        began("total")
        return {"link": link, "measured": sum(measured), "squares": sum(squares), "shaky": shaky}

    @pipeline
    def crashing():
        last = 0
        for number in range(1, 11):
            last = link(number, last)
        measured = [measure(number, block(number)) for number in range(1, 6)]
        found = total(last, measured, square.map(spread()), shaky())
        gate(found, "squares == 140")

    @step
    def holds(link: int) -> int:
        began("holds")
        while not Path(os.environ["LEDGER"] + ".go").exists():
            time.sleep(0.002)
        return link

    @pipeline
    def holding():
        last = 0
        for number in range(1, 11):
            last = link(number, last)
        link(11, holds(last))
        measure(1, block(1))
'''
STEPS = {
    *("link", *(f"link-{number}" for number in range(2, 11))),
    *("block", *(f"block-{number}" for number in range(2, 6))),
    *("measure", *(f"measure-{number}" for number in range(2, 6))),
    *("spread", "shaky", "total", *(f"square[{index}]" for index in range(8))),
}
TERMINAL = {"succeeded", "failed", "cancelled", "lost", "reused", "checked", "skipped"}


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt as it is recorded."""

    id: str
    run: str
    node: str
    number: int
    state: str
    log: str | None


class Outside:
    """Looks at a workspace without any code of the engine's."""

    def __init__(self, root: Path) -> None:
        self.local = root / ".mlwright"

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """What the database answers."""
        with closing(apsw.Connection(str(self.local / "metadata.db"))) as connection:
            connection.set_busy_timeout(10_000)
            return list(connection.execute(sql, values))

    def runs(self, seed: int) -> dict[str, str]:
        """The runs with a seed and their states, oldest first."""
        found = self.rows("SELECT id, state FROM run WHERE seed = :seed ORDER BY created_us, id", seed=seed)
        return dict(found)  # type: ignore[arg-type]

    def tries(self, seed: int) -> list[Try]:
        """The attempts of all those runs, in the order they began."""
        return [
            Try(*row)
            for row in self.rows(
                "SELECT id, run_id, node, number, state, log FROM attempt"
                " WHERE run_id IN (SELECT id FROM run WHERE seed = :seed) ORDER BY created_us, id",
                seed=seed,
            )
        ]

    def states(self, seed: int) -> dict[str, str]:
        """The state of each run and attempt that has come to its end."""
        all_of_them = self.runs(seed) | {each.id: each.state for each in self.tries(seed)}
        return {identity: state for identity, state in all_of_them.items() if state in TERMINAL}

    def outputs(self, attempt: str) -> list[tuple[str, str, int]]:
        """What an attempt made: role, digest, size."""
        return self.rows(  # type: ignore[return-value]
            "SELECT edge.role, artifact.digest, artifact.size_bytes FROM edge JOIN artifact"
            " ON edge.from_kind = 'artifact' AND artifact.id = edge.from_id"
            " WHERE edge.to_kind = 'attempt' AND edge.to_id = :attempt AND edge.role LIKE 'output:%'",
            attempt=attempt,
        )

    def bytes_of(self, digest: str) -> bytes:
        """An object, from its row or its file, whose name is looked at."""
        rows = self.rows("SELECT data FROM inline WHERE digest = :digest", digest=digest)
        data = rows[0][0] if rows else (self.local / "objects" / digest[:2] / digest[2:]).read_bytes()
        assert blake3(data).hexdigest() == digest
        return bytes(data)

    def value(self, run: str, node: str) -> Any:
        """The JSON value that a node has in a run, also one that it reuses."""
        ((digest,),) = self.rows(
            "SELECT artifact.digest FROM attempt"
            " LEFT JOIN edge AS reuse ON reuse.from_id = attempt.id AND reuse.role = 'reuses'"
            " JOIN edge AS made ON made.to_id = coalesce(reuse.to_id, attempt.id) AND made.role = 'output:result'"
            " JOIN artifact ON artifact.id = made.from_id"
            " WHERE attempt.run_id = :run AND attempt.node = :node AND attempt.state IN ('succeeded', 'reused')",
            run=run,
            node=node,
        )
        return json.loads(self.bytes_of(digest))

    def check(self, seed: int) -> None:
        """What is recorded is whole, and nothing is recorded twice."""
        assert self.rows("PRAGMA quick_check") == [("ok",)]
        assert self.rows("PRAGMA foreign_key_check") == []
        tries = self.tries(seed)
        numbers = Counter((each.run, each.node, each.number) for each in tries)
        assert max(numbers.values(), default=1) == 1
        succeeded = [each for each in tries if each.state == "succeeded"]
        # Also over the runs that continue each other: what has succeeded is reused.
        assert max(Counter(each.node for each in succeeded).values(), default=1) == 1
        metrics = self.rows(
            "SELECT run_id, name, value FROM metric WHERE run_id IN (SELECT id FROM run WHERE seed = :seed)",
            seed=seed,
        )
        for each in succeeded:
            outputs = self.outputs(each.id)
            assert [role for role, _, _ in outputs] == ["output:result"]
            for _, digest, size in outputs:
                assert len(self.bytes_of(digest)) == size
            if each.log is not None:
                assert self.bytes_of(each.log).startswith(b"block ")
            elif each.node.startswith("block"):
                pytest.fail(f"{each.node} has lost what it printed")
            if each.node.startswith("measure"):
                number = int(each.node.partition("-")[2] or 1)
                assert (each.run, f"measured {number}", 5000.0 * number) in metrics


@dataclass(slots=True)
class Round:
    """One process that runs or resumes the pipeline, in a process group of its own."""

    process: subprocess.Popen[bytes]
    ledger: Path
    words: Path

    def executed(self) -> list[str]:
        """The steps that were begun, in their order."""
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []

    def told(self) -> str:
        """What it said."""
        return self.words.read_text()


@dataclass(slots=True)
class Case:
    """A project, and the processes that were started in it for one seed."""

    root: Path
    seed: int
    folder: Path
    pipeline: str = "crashing"
    rounds: list[Round] = field(default_factory=list)

    @property
    def mark(self) -> str:
        """Told to all processes of this case by a variable."""
        return f"{self.folder.name}-{self.pipeline}-{self.seed}"

    @property
    def outside(self) -> Outside:
        """The project's workspace."""
        return Outside(self.root)

    def start(self, *arguments: str, **variables: str) -> Round:
        """Start the command."""
        name = f"{self.mark}-{len(self.rounds)}"
        ledger, words = self.folder / f"{name}.ledger", self.folder / f"{name}.words"
        environment = os.environ | {"CI": "true", "LEDGER": str(ledger), MARK: self.mark} | variables
        with words.open("wb") as file:
            process = subprocess.Popen(
                [str(COMMAND), *arguments],
                cwd=self.root,
                env=environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.rounds.append(Round(process, ledger, words))
        return self.rounds[-1]

    def go_on(self, rng: random.Random, **variables: str) -> Round:
        """Run the pipeline, or resume the run that was cut short last, or one of those before it."""
        known = list(self.outside.runs(self.seed))
        if not known:
            return self.start("run", self.pipeline, "--seed", str(self.seed), **variables)
        return self.start("runs", "resume", rng.choice([known[-1], known[-1], known[0]]), **variables)

    def show(self, run: str) -> dict[str, Any]:
        """What the next command says of a run."""
        done = subprocess.run(
            [str(COMMAND), "runs", "show", run, "--json"],
            cwd=self.root,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()
        shown: dict[str, Any] = json.loads(done.stdout)["run"]
        return shown

    def processes(self) -> list[int]:
        """Those that are left of this case."""
        wanted = f"{MARK}={self.mark}\0".encode()
        return [pid for pid in everyone() if alive(pid) and wanted in about(pid, "environ")]

    def workers(self, engine: int) -> list[int]:
        """The workers of one of its processes."""
        return [
            pid
            for pid in self.processes()
            if b"mlwright.sdk.session" in about(pid, "cmdline")
            and int(about(pid, "stat").rpartition(b")")[2].split()[1]) == engine
        ]


def everyone() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def about(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its environment made and its pipelines traced."""
    root = write(
        tmp_path_factory.mktemp("crashes") / "small", {"pyproject.toml": PYPROJECT, "pipelines/p.py": PIPELINE}
    )
    with Project.open(root) as project:
        project.environments.lock()
    case = Case(root, 1_000_000, root.parent)
    for pipeline in ("crashing", "holding"):
        done = case.start("run", pipeline, "--seed", str(case.seed), GO="1")
        Path(f"{done.ledger}.go").touch()
        assert done.process.wait(timeout=60) == 0, done.told()
    return root


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_whatever_is_killed_at_any_moment_the_work_is_finished_and_nothing_is_done_twice(
    root: Path, tmp_path: Path, moment: int
) -> None:
    """A killed run is lost for whoever looks next; resumed, it redoes only what was not yet recorded."""
    rng = random.Random(moment)
    case = Case(root, moment, tmp_path)
    outside = case.outside
    variables = {"SHAKY": "1"} if moment % 3 == 0 else {}
    # Most are killed once, many twice, some more often; the moments of the first kill are spread evenly.
    cuts = [(moment + rng.random()) / MOMENTS, *(rng.random() for _ in range(rng.choice([0, 0, 1, 1, 2])))]
    ended: dict[str, str] = {}
    done: set[str] = set()

    for cut in cuts:
        round = case.go_on(rng, **variables)
        kill(case, round, cut, rng)
        look(case, round, ended, done)
        if "succeeded" in outside.runs(case.seed).values():
            break
    else:
        round = case.go_on(rng, **variables)
        assert round.process.wait(timeout=120) == 0, round.told()
        look(case, round, ended, done)

    *cut_short, last = outside.runs(case.seed).items()
    assert last[1] == "succeeded"
    assert {state for _, state in cut_short} <= {"lost", "failed"}
    assert STEPS <= done
    assert outside.value(last[0], "total") == {
        "link": outside.value(last[0], "link-10"),
        "measured": 75_000,
        "squares": 140,
        "shaky": 1,
    }
    until(lambda: not case.processes(), within_s=LOOK_S)
    assert [each.name for each in (outside.local / "local/scratch").iterdir()] == []


def kill(case: Case, round: Round, cut: float, rng: random.Random) -> None:
    """Kill the whole group, only the engine, or only a worker: a part `cut` of the way through the run.

    The way is counted in steps that have begun, so that it is as long on a busy machine.
    """
    process, steps = round.process, len(STEPS) - len(set().union(*(each.executed() for each in case.rounds)))
    at = round_up(cut, steps)
    waited = rng.uniform(0.0, 0.35 if at == 0 else 0.03)
    until(lambda: len(round.executed()) >= at or process.poll() is not None, within_s=60)
    try:
        process.wait(timeout=waited)
    except subprocess.TimeoutExpired:
        pass
    match rng.choice(["group", "group", "engine", "worker"]):
        case "group":
            send(process.pid, os.killpg)
        case "engine":
            send(process.pid, os.kill)
        case "worker":
            workers = case.workers(process.pid)
            send(rng.choice(workers) if workers else process.pid, os.kill)
    process.wait(timeout=120)


def round_up(cut: float, steps: int) -> int:
    """Before how many steps have begun: for the first tenth of the way, before any has."""
    return max(0, int((cut - 0.1) / 0.9 * (steps + 1)) + (cut > 0.1))


def send(pid: int, how: Any) -> None:
    try:
        how(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def look(case: Case, round: Round, ended: dict[str, str], done: set[str]) -> None:
    """Look at what a process that is gone has left behind.

    Args:
        ended: the terminal states that were seen before; those of now are added.
        done: the steps that were recorded as succeeded before; those of now are added.
    """
    outside, known = case.outside, list(case.outside.runs(case.seed))
    if known:
        until(lambda: case.show(known[-1])["state"] != "running", within_s=LOOK_S)
    runs, tries = outside.runs(case.seed), outside.tries(case.seed)
    if round.process.returncode == -signal.SIGKILL and known:
        assert runs[known[-1]] in {"lost", "succeeded", "failed"}
    assert "running" not in {*runs.values(), *(each.state for each in tries)}
    outside.check(case.seed)
    assert not done & set(round.executed()), "it was done again"
    now = outside.states(case.seed)
    assert now | ended == now
    ended |= now
    done |= {each.node for each in tries if each.state == "succeeded"}
