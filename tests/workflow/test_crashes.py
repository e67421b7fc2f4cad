"""`kill -9` of a run, its engine or a worker, at moments spread over the whole run, looked at from outside.

Nothing of the engine's own code looks at the records here: they are read with SQL, the objects from their
files, and what was executed from a file outside the project that every step appends a line to.

`make test` kills 20 runs, `make soak` 200.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlwright.app import Project
from tests.conftest import COMMAND, PYPROJECT, lock_project, write
from tests.processes import alive, until
from tests.workflow.outside import Outside

SOAK = os.environ.get("MLWRIGHT_SOAK") == "1"
MOMENTS = 200 if SOAK else 20
MARK = "MLWRIGHT_TEST_CRASH"
LOST_S = 15.0
"""After so long at most, whoever looks sees that a run is lost."""

PIPELINE = '''
    """A few dozen steps; each says in a file outside the project that it was begun."""

    import os
    import random
    import subprocess
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
        subprocess.Popen(["sleep", "600"], start_new_session=True)
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
HELD = {*("link", *(f"link-{number}" for number in range(2, 11))), "block", "measure"}
"""What does not stand behind the step that waits."""


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
    """A project, and the processes that were started in it for one seed.

    Args:
        ended: the terminal states that were seen so far, by run or attempt.
        done: the steps that were recorded as succeeded so far.
    """

    root: Path
    seed: int
    folder: Path
    pipeline: str = "crashing"
    rounds: list[Round] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    @property
    def mark(self) -> str:
        """Told to all processes of this case by a variable."""
        return f"{self.folder / self.pipeline}-{self.seed}"

    @property
    def outside(self) -> Outside:
        """The project's workspace."""
        return Outside(self.root)

    def start(self, *arguments: str, **variables: str) -> Round:
        """Start the command."""
        name = f"{self.mark}-{len(self.rounds)}"
        ledger, words = Path(f"{name}.ledger"), Path(f"{name}.words")
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

    def resumed(self) -> Round:
        """Resume the pipeline that waits, which waits no longer."""
        Path(f"{self.mark}-{len(self.rounds)}.ledger.go").touch()
        resumed = self.go_on(random.Random(0))
        assert resumed.process.wait(timeout=60) == 0, resumed.told()
        self.look(resumed)
        return resumed

    def look(self, gone: Round) -> None:
        """Look at what a process that has ended left behind."""
        known = list(self.outside.runs(self.seed))
        if known:
            until(lambda: self.show(known[-1])["state"] != "running", within_s=LOST_S)
        runs, tries = self.outside.runs(self.seed), self.outside.tries(self.seed)
        assert "running" not in {*runs.values(), *(each.state for each in tries)}
        self.outside.check(self.seed)
        succeeded = [each for each in tries if each.state == "succeeded"]
        # Also over the runs that continue each other: what has succeeded is reused.
        assert max(Counter(each.node for each in succeeded).values(), default=1) == 1
        assert not self.done & set(gone.executed()), "what was recorded is done again"
        ended = self.outside.states(self.seed)
        assert {identity: ended[identity] for identity in self.ended} == self.ended
        self.ended, self.done = ended, {each.node for each in succeeded}
        # What a step reported is recorded with its success.
        for each in succeeded:
            name, number = each.node.partition("-")[0], int(each.node.partition("-")[2] or 1)
            if name == "block":
                assert each.log is not None
                assert self.outside.bytes_of(each.log) == f"block {number}\n".encode()
            if name == "measure":
                assert self.outside.metrics(each.run)[f"measured {number}"] == 5000 * number

    def show(self, run: str) -> dict[str, Any]:
        """What the next command says of a run."""
        command = [str(COMMAND), "runs", "show", run, "--json"]
        done = subprocess.run(command, cwd=self.root, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        shown: dict[str, Any] = json.loads(done.stdout)["run"]
        return shown

    def nothing_is_left(self) -> None:
        """No process of any of the rounds, and no scratch folder."""
        until(lambda: not self.processes(), within_s=LOST_S)
        assert list((self.outside.local / "local/scratch").iterdir()) == []

    def processes(self) -> list[int]:
        """Those that are left of this case."""
        wanted = f"{MARK}={self.mark}\0".encode()
        return [pid for pid in everyone() if alive(pid) and wanted in about(pid, "environ")]

    def workers(self, engine: int, name: str = "") -> list[int]:
        """The workers of an engine; only the one of a name, if that is given."""
        found = []
        for pid in self.processes():
            words = about(pid, "cmdline").split(b"\0")
            stat = about(pid, "stat").rpartition(b")")[2].split()  # nothing, of one that has ended meanwhile
            ours = b"mlwright.sdk.session" in words and stat and int(stat[1]) == engine
            if ours and words[-2].endswith(name.encode()):
                found.append(pid)
        return found


def everyone() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def about(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its environment made and its pipelines traced."""
    root = tmp_path_factory.mktemp("crashes") / "small"
    write(root, {"pyproject.toml": PYPROJECT + "workers = 2\n", "pipelines/p.py": PIPELINE})
    with Project.open(root) as project:
        lock_project(project)
    for pipeline in ("crashing", "holding"):
        case = Case(root, 1_000_000, root.parent, pipeline)
        Path(f"{case.mark}-0.ledger.go").touch()
        done = case.start("run", pipeline, "--seed", str(case.seed))
        assert done.process.wait(timeout=60) == 0, done.told()
    return root


@pytest.mark.soak
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_whatever_is_killed_at_any_moment_the_work_is_finished_and_nothing_is_done_twice(
    root: Path, tmp_path: Path, moment: int
) -> None:
    """A killed run is lost for whoever looks next; resumed, it redoes only what was not recorded."""
    rng = random.Random(moment)
    case = Case(root, moment, tmp_path)
    variables = {"SHAKY": "1"} if moment % 3 == 0 else {}
    # Many are killed more than once; the moments of the first kill are spread evenly over the whole run.
    cuts = [(moment + rng.random()) / MOMENTS, *(rng.random() for _ in range(rng.choice([0, 0, 0, 1, 2])))]

    for cut in cuts:
        if "succeeded" not in case.outside.runs(case.seed).values():
            begun = case.go_on(rng, **variables)
            kill(case, begun, cut, rng)
            case.look(begun)
    if "succeeded" not in case.outside.runs(case.seed).values():
        begun = case.go_on(rng, **variables)
        assert begun.process.wait(timeout=120) == 0, begun.told()
        case.look(begun)

    *cut_short, (last, state) = case.outside.runs(case.seed).items()
    assert state == "succeeded"
    assert {each for _, each in cut_short} <= {"lost", "failed"}
    assert case.done == STEPS
    assert case.outside.value(last, "total") == {
        "link": case.outside.value(last, "link-10"),
        "measured": 75_000,
        "squares": 140,
        "shaky": 1,
    }
    case.nothing_is_left()


def kill(case: Case, begun: Round, cut: float, rng: random.Random) -> None:
    """Kill the whole group, only the engine or only a worker, a part `cut` of the way through the work.

    The way is counted in steps that have begun, so that it is as long on a busy machine; the first tenth
    of it lies before the first step.
    """
    process = begun.process
    left = len(STEPS - {step for each in case.rounds for step in each.executed()})
    steps = 0 if cut < 0.1 else 1 + int((cut - 0.1) / 0.9 * left)
    until(lambda: len(begun.executed()) >= steps or process.poll() is not None, within_s=60)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=rng.uniform(0.0, 0.03 if steps else 0.3))
    victim, how = process.pid, rng.choice([os.killpg, os.killpg, os.kill])
    if rng.random() < 0.25 and (workers := case.workers(process.pid)):
        victim, how = rng.choice(workers), os.kill
    with contextlib.suppress(ProcessLookupError):
        how(victim, signal.SIGKILL)
    process.wait(timeout=120)


@pytest.mark.parametrize("how", [os.killpg, os.kill])
def test_only_what_was_in_flight_is_done_again(
    root: Path, tmp_path: Path, how: Callable[[int, int], None]
) -> None:
    """When all but one step were recorded and the engine, or its group, is killed, that one is done again."""
    case = Case(root, 2_000_000 + (how is os.kill), tmp_path, "holding")
    begun = held(case)

    how(begun.process.pid, signal.SIGKILL)
    begun.process.wait(timeout=60)
    case.look(begun)
    resumed = case.resumed()

    lost, last = case.outside.runs(case.seed).items()
    assert (lost[1], last[1]) == ("lost", "succeeded")
    assert case.outside.states_of(lost[0])["holds"] == "lost"
    assert resumed.executed() == ["holds", "link-11"]
    case.nothing_is_left()


def test_a_killed_worker_takes_only_its_own_step_with_it(root: Path, tmp_path: Path) -> None:
    """The run goes on to its end, says what became of the step, and is resumed with that step."""
    case = Case(root, 3_000_000, tmp_path, "holding")
    begun = held(case)
    ((name,),) = case.outside.rows(
        "SELECT worker FROM attempt WHERE node = 'holds' AND state = 'running' AND run_id = :run",
        run=next(iter(case.outside.runs(case.seed))),
    )

    (victim,) = case.workers(begun.process.pid, name)
    os.kill(victim, signal.SIGKILL)

    assert begun.process.wait(timeout=60) == 1
    assert "step `holds`" in begun.told() and "its process was ended by SIGKILL (killed: " in begun.told()
    case.look(begun)
    resumed = case.resumed()
    failed, last = case.outside.runs(case.seed).items()
    assert (failed[1], last[1]) == ("failed", "succeeded")
    assert case.outside.states_of(failed[0]) == dict.fromkeys(HELD, "succeeded") | {
        "holds": "failed",
        "link-11": "skipped",
    }
    assert resumed.executed() == ["holds", "link-11"]
    case.nothing_is_left()


def held(case: Case) -> Round:
    """Start the pipeline that waits, until all that it need not wait for is recorded."""
    begun = case.start("run", case.pipeline, "--seed", str(case.seed))
    wanted = {**dict.fromkeys(HELD, "succeeded"), "holds": "running"}

    def recorded() -> bool:
        assert begun.process.poll() is None, begun.told()
        runs = list(case.outside.runs(case.seed))
        return bool(runs) and case.outside.states_of(runs[0]) == wanted

    until(recorded)
    return begun
