"""`runs logs --follow`: what steps print is told while they print it, each line once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.app import Project
from mlwright.compute import this_machine
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import NotFound
from mlwright.sdk import workplace
from mlwright.sdk.workplace import LOG
from mlwright.tracking import RunState
from mlwright.workflow.attempts import Attempt, AttemptState, begin, finish
from mlwright.workflow.detail import logs
from mlwright.workflow.follow import Follower, LineSplitter, follow, rest_of
from tests.conftest import COMMAND, Maker, mlwright
from tests.processes import until

Opener = Callable[[dict[str, str]], Project]

TALKING = """
    import time
    from pathlib import Path
    from mlwright import pipeline, step

    def wait_for(path):
        while not Path(path).exists():
            time.sleep(0.005)

    @step(cache=False)
    def talk(n: int, folder: str) -> int:
        print("first", n)
        wait_for(f"{folder}/go")
        for index in range(200):
            print("line", n, index)
        print("last", n, end="")
        return n

    @step
    def quiet() -> int:
        return 1

    @step
    def after(parts: list[int], one: int) -> int:
        print("after", sum(parts), one)
        return 1

    @pipeline
    def talking(folder: str, count: int = 3):
        after(talk.map(list(range(count)), folder=folder), quiet())
"""
RETRIED = """
    from pathlib import Path
    from mlwright import pipeline, step

    @step(retries=1)
    def flaky(mark: str) -> int:
        print("try", Path(mark).exists())
        if not Path(mark).exists():
            Path(mark).touch()
            raise ValueError("once")
        return 1

    @pipeline
    def retried(mark: str):
        flaky(mark)
"""


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start the installed command; what it says is a pipe."""
    return subprocess.Popen(
        [str(COMMAND), *arguments],
        cwd=cwd,
        env={**os.environ, "CI": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rest(follower: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process says until it ends; `communicate` would lose what was read ahead of the first line."""
    assert follower.stdout is not None and follower.stderr is not None
    with follower:
        return follower.stdout.read(), follower.stderr.read()


@pytest.fixture
def running(make_project: Maker, tmp_path: Path) -> Iterator[tuple[Path, Path, subprocess.Popen[str]]]:
    """A run in the background, that waits for a file before it prints all but its first lines."""
    root = make_project({"pipelines/p.py": TALKING})
    folder = tmp_path / "signals"
    folder.mkdir()
    engine = start("run", "talking", "-p", f"folder={folder}", cwd=root)
    with Project.open(root) as project:
        until(project.runs.list)
    yield root, folder, engine
    (folder / "go").touch()
    if engine.poll() is None:
        engine.kill()
    engine.communicate()


def test_what_is_printed_is_told_before_the_run_has_ended_and_each_line_once(
    running: tuple[Path, Path, subprocess.Popen[str]],
) -> None:
    """Lines of running steps come while they wait; at the end all that `logs` shows was told, once."""
    root, folder, engine = running
    follower = start("runs", "logs", "latest", "--follow", cwd=root)
    assert follower.stdout is not None

    first = follower.stdout.readline()
    assert engine.poll() is None
    (folder / "go").touch()
    more, errors = rest(follower)

    told = [first.rstrip("\n"), *more.splitlines()]
    shown = mlwright("runs", "logs", "latest", cwd=root).stdout.splitlines()
    assert first.startswith("talk[") and "] | first " in first
    assert (follower.returncode, errors) == (0, "")
    assert Counter(told) == Counter(shown)
    assert len(told) == 3 * 202 + 1
    for source in {line.partition(" | ")[0] for line in shown}:
        assert [each for each in told if each.startswith(source)] == [
            each for each in shown if each.startswith(source)
        ]


def test_what_was_printed_so_far_is_shown_without_following(
    running: tuple[Path, Path, subprocess.Popen[str]],
) -> None:
    """`runs logs` of a run that goes on has the lines of its running steps; a step may not have begun."""
    root, folder, engine = running

    def shown() -> set[str]:
        return set(mlwright("runs", "logs", "latest", cwd=root).stdout.splitlines())

    workers = min(3, this_machine().cpus)
    until(lambda: shown() == {f"talk[{n}] | first {n}" for n in range(workers)})
    one = mlwright("runs", "logs", "latest", "talk[0]", "--json", cwd=root)
    silent = mlwright("runs", "logs", "latest", "after", cwd=root)
    assert engine.poll() is None
    (folder / "go").touch()

    assert [each["text"] for each in json.loads(one.stdout)] == ["first 0\n"]
    assert silent.returncode == 3
    assert "has no step `after` so far" in silent.stderr
    assert "mlwright runs logs " in silent.stderr and "after --follow" in silent.stderr


def test_one_element_can_be_followed(running: tuple[Path, Path, subprocess.Popen[str]]) -> None:
    """With a step, only its lines are told; an element is a step."""
    root, folder, _ = running
    follower = start("runs", "logs", "latest", "talk[1]", "--follow", "--json", cwd=root)

    (folder / "go").touch()
    told, _ = rest(follower)

    lines = told.splitlines()
    assert len(lines) == 202
    assert lines[0] == '{"step":"talk[1]","number":1,"line":"first 1"}'
    assert lines[-1] == '{"step":"talk[1]","number":1,"line":"last 1"}'


def test_ctrl_c_ends_it_quietly_and_the_run_goes_on(
    running: tuple[Path, Path, subprocess.Popen[str]],
) -> None:
    """The follower exits 130 with one line; nobody cancels the run."""
    root, folder, engine = running
    follower = start("runs", "logs", "latest", "--follow", cwd=root)
    assert follower.stdout is not None
    follower.stdout.readline()

    follower.send_signal(signal.SIGINT)
    _, errors = rest(follower)

    assert follower.returncode == 130
    assert errors.strip() == "error: interrupted"
    assert engine.poll() is None
    (folder / "go").touch()
    assert engine.wait(timeout=60) == 0


def test_what_a_killed_run_had_printed_is_told(
    running: tuple[Path, Path, subprocess.Popen[str]],
) -> None:
    """After `kill -9` of the engine the follower ends by itself, and has told what was printed until then."""
    root, _, engine = running
    follower = start("runs", "logs", "latest", "--follow", cwd=root)
    assert follower.stdout is not None
    first = follower.stdout.readline()

    engine.kill()
    more, _ = rest(follower)

    told = [first, *more.splitlines(keepends=True)]
    began = {line.partition("] | first ")[0] for line in told}
    assert follower.returncode == 0
    assert len(told) == len(began) >= 1
    with Project.open(root) as project:
        assert project.runs.get("latest").state is RunState.LOST


def test_a_run_that_has_ended_is_told_at_once(opened: Opener, tmp_path: Path) -> None:
    """Following shows what `logs` shows, tries and reused steps too, and ends."""
    project = opened({"pipelines/p.py": RETRIED})
    project.run("retried", mark=str(tmp_path / "mark"))
    first = list(follow(project.rooms, "latest", pause=_never))
    project.run("retried", mark=str(tmp_path / "mark"))

    again = list(follow(project.rooms, "latest", "flaky", pause=_never))

    lines = [(attempt.number, line) for attempt, line in first]
    assert lines[0] == (1, "try False")
    assert lines[-1] == (2, "try True")
    assert (1, "ValueError: once") in lines
    assert [line for _, line in again] == ["try True"]
    assert again[0][0].state is AttemptState.REUSED


def test_a_step_that_the_run_does_not_have_is_named_when_it_has_ended(opened: Opener, tmp_path: Path) -> None:
    """While a run goes on, a step may still begin; afterwards its absence is told."""
    project = opened({"pipelines/p.py": RETRIED})
    project.run("retried", mark=str(tmp_path / "mark"))

    with pytest.raises(NotFound, match=r"no step `flanky`") as refusal:
        list(follow(project.rooms, "latest", "flanky", pause=_never))

    assert refusal.value.hint == "did you mean `flaky`?"


def test_all_elements_or_one_of_them_are_shown(opened: Opener, tmp_path: Path) -> None:
    """Without following too: `talk` means all its elements, `talk[1]` one, and a wrong index is told."""
    project = opened({"pipelines/p.py": TALKING})
    (tmp_path / "go").touch()
    project.run("talking", folder=str(tmp_path))

    told = {
        step: {attempt.node for attempt, _ in logs(project.rooms, "latest", step)}
        for step in ("talk", "talk[1]")
    }

    assert told == {"talk": {"talk[0]", "talk[1]", "talk[2]"}, "talk[1]": {"talk[1]"}}
    with pytest.raises(NotFound, match=r"has 3 elements: there is no `talk\[3\]`"):
        logs(project.rooms, "latest", "talk[3]")


class Engine:
    """Stands in for one whose records lag behind: it records what it is told to, when it is told to."""

    def __init__(self, project: Project) -> None:
        self.project = project
        with project.rooms.database.transaction() as tx:
            self.run, _ = project.runs.begin(
                tx, project="small", pipeline="p", seed=0, parameters={}, pins={}
            )
        self.home = project.rooms.workspace.scratch / self.run.id / "w1"
        self.home.mkdir(parents=True)
        self.log = self.home / LOG

    def begin(self, node: str) -> Attempt:
        attempt = begin(self.run.id, node, AttemptState.RUNNING, worker="w1")
        with self.project.rooms.database.transaction() as tx:
            self.project.rooms.attempts.add(tx, [attempt])
        return attempt

    def print(self, text: str) -> None:
        with self.log.open("a") as file:
            file.write(text)

    def take(self) -> Digest:
        """What a worker does when an attempt has ended that printed something."""
        kept = self.home / "kept.log"
        self.log.rename(kept)
        self.log.touch()
        return self.project.rooms.objects.put(kept, take=True).digest

    def end(self, attempt: Attempt, log: Digest | None, state: AttemptState = AttemptState.SUCCEEDED) -> None:
        done = finish(attempt, state, log=log, worker="w1")
        with self.project.rooms.database.transaction() as tx:
            self.project.rooms.attempts.end(tx, [done])


@pytest.fixture
def engine(opened: Opener) -> Engine:
    return Engine(opened({}))


def told(follower: Follower, looks: int = 1) -> list[str]:
    return [f"{attempt.node} {line}" for _ in range(looks) for attempt, line in follower.look()]


def test_what_the_next_attempt_prints_is_not_told_as_this_ones(engine: Engine) -> None:
    """When an attempt ends between two looks, what stands in its worker's new file is the next one's."""
    with Follower(engine.project.rooms, engine.run) as follower:
        first = engine.begin("a")
        engine.print("one\n")
        before = told(follower)
        log = engine.take()
        engine.print("two\n")
        engine.end(first, log)
        second = engine.begin("b")
        meanwhile = told(follower, 2)
        engine.print("three\n")
        engine.end(second, engine.take())
        after = told(follower, 2)

    assert (before, meanwhile, after) == ([], ["a one", "b two"], ["b three"])


def test_what_was_printed_so_far_is_told_of_whoever_still_runs_a_moment_later(engine: Engine) -> None:
    """What stands in the file of an attempt that ended meanwhile may be the next one's: its log is told."""
    rooms, run = engine.project.rooms, engine.run
    first = engine.begin("a")
    engine.print("one\nhalf a li")
    still = logs(rooms, run.id, pause=lambda _: None)
    ended = logs(rooms, run.id, pause=lambda _: engine.end(first, engine.take()))
    silent = engine.begin("b")
    nothing = logs(rooms, run.id, "b", pause=_never)

    assert [(attempt.node, text) for attempt, text in still] == [("a", "one\nhalf a li")]
    assert [(attempt.node, text) for attempt, text in ended] == [("a", "one\nhalf a li")]
    assert nothing == []
    assert silent.state is AttemptState.RUNNING


def test_of_what_was_printed_so_far_a_long_one_has_its_end(engine: Engine) -> None:
    """Whole lines, 1 MiB at most."""
    engine.begin("a")
    engine.print("".join(f"{index:099}\n" for index in range(12_000)))

    ((_, text),) = logs(engine.project.rooms, engine.run.id, pause=lambda _: None)

    lines = text.splitlines()
    assert len(text) <= 2**20 < len(text) + 100
    assert (lines[0], lines[-1]) == (f"{12_000 - len(lines):099}", f"{11_999:099}")


def test_nothing_printed_yet_is_not_nothing_printed(engine: Engine) -> None:
    """Of a run that goes on, something may still come."""
    engine.begin("a")

    yet = mlwright("runs", "logs", "latest", cwd=engine.project.root)

    assert yet.stdout == "nothing was printed yet\n"


def test_no_line_is_told_twice_when_records_lag_behind_a_silent_attempt(engine: Engine) -> None:
    """A silent attempt is still recorded as running while the next one prints into the same file.

    Its lines are told under the wrong name then, but once.
    """
    with Follower(engine.project.rooms, engine.run) as follower:
        silent = engine.begin("silent")
        engine.print("one\ntw")
        early = told(follower, 2)
        engine.end(silent, None)
        second = engine.begin("b")
        engine.print("o\nthree\n")
        later = told(follower, 2)
        engine.end(second, engine.take())
        last = told(follower)

    assert early == ["silent one"]
    assert later + last == ["b two", "b three"]


def test_no_line_is_told_twice_when_the_next_attempt_is_recorded_when_it_has_ended(engine: Engine) -> None:
    """What was told under a silent attempt's name is not told again with the whole log of a brief one."""
    with Follower(engine.project.rooms, engine.run) as follower:
        silent = engine.begin("silent")
        engine.print("one\n")
        early = told(follower, 2)
        engine.print("two\n")
        engine.end(silent, None)
        engine.end(engine.begin("brief"), engine.take())
        last = told(follower, 2)

    assert (early, last) == (["silent one"], ["brief two"])


def test_no_line_is_lost_when_records_lag_behind_one_that_printed(engine: Engine) -> None:
    """An attempt printed and ended, but is recorded as running while the next prints: both are told, once."""
    with Follower(engine.project.rooms, engine.run) as follower:
        first = engine.begin("a")
        engine.print("mine\n")
        log = engine.take()
        engine.print("yours\n")
        early = told(follower, 2)
        engine.end(first, log)
        second = engine.begin("b")
        engine.print("yours too\n")
        later = told(follower, 2)
        engine.end(second, engine.take())
        last = told(follower)

    assert sorted(line.partition(" ")[2] for line in early + later + last) == ["mine", "yours", "yours too"]
    assert "a mine" in later


def test_the_rest_of_a_line_waits_for_its_end(engine: Engine) -> None:
    """Half a line is told when it is whole, or when its attempt has ended."""
    with Follower(engine.project.rooms, engine.run) as follower:
        attempt = engine.begin("a")
        engine.print("ha")
        half = told(follower, 3)
        engine.print("lf\nno end")
        whole = told(follower, 2)
        engine.end(attempt, engine.take())
        end = told(follower)

    assert (half, whole, end) == ([], ["a half"], ["a no end"])


def test_what_was_told_is_not_told_again_in_later_looks(engine: Engine) -> None:
    """An attempt that has ended is told once, however often one looks."""
    with Follower(engine.project.rooms, engine.run) as follower:
        attempt = engine.begin("a")
        engine.print("one\n")
        engine.end(attempt, engine.take())

        assert told(follower, 3) == ["a one"]


def test_what_a_lost_attempt_printed_is_told_to_its_end(engine: Engine) -> None:
    """Where nobody kept a log, the file is read to its end, by whoever began to follow it before or after."""
    with Follower(engine.project.rooms, engine.run) as follower:
        attempt = engine.begin("a")
        engine.print("one\n")
        early = told(follower, 2)
        engine.print("two\nthr")
        engine.end(attempt, None, AttemptState.LOST)
        last = told(follower, 2)
    with Follower(engine.project.rooms, engine.run) as follower:
        again = told(follower)

    assert (early, last) == (["a one"], ["a two", "a thr"])
    assert again == early + last


pieces = st.lists(
    st.sampled_from(["a", "b", "\n", "\r", "\r\n", "\x0b", "\x1c", "\x85", "\u2028", "é", "😀"]).map(
        str.encode
    ),
    max_size=12,
)


@given(pieces, st.data())
def test_lines_come_out_as_if_all_had_come_at_once(parts: list[bytes], data: st.DataObject) -> None:
    """However bytes are cut into pieces, within letters too, the lines are those of the whole."""
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    splitter = LineSplitter()

    told = [
        line
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)
        for line in splitter.feed(whole[start:end])
    ]

    assert [*told, *splitter.end()] == whole.decode(errors="replace").splitlines()


@given(printed=st.binary(min_size=60, max_size=120), told_bytes=st.integers(0, 120))
def test_the_rest_of_a_shortened_log_begins_where_it_was_told_to(
    printed: bytes, told_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of a log that kept its beginning and its end, what was told is not told again; nothing kept is lost."""
    told_bytes = min(told_bytes, len(printed))
    log = tmp_path_factory.mktemp("logs") / "log"
    log.write_bytes(printed)
    limit, half = 1 << 6, 1 << 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workplace, "_LOG_BYTES", limit)
        workplace.shorten(log)

    rest = rest_of(log.read_bytes(), told_bytes)

    tail_begins = len(printed) - half
    if len(printed) <= limit or told_bytes >= tail_begins:
        assert rest == printed[told_bytes:]
    elif told_bytes <= half:
        assert rest == log.read_bytes()[told_bytes:]
    else:
        assert rest == log.read_bytes()[half:]


def _never(seconds: float) -> None:
    raise AssertionError("a run that has ended is not waited for")
