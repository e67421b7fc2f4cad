"""What steps do to their process and themselves, all in one run: each ends in its state, and says why."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import MlwrightError
from mlwright.tracking import Run, RunState
from mlwright.workflow import Request
from mlwright.workflow.attempts import Attempt
from mlwright.workflow.detail import logs, run_detail
from tests.conftest import PYPROJECT, lock_project, write
from tests.processes import alive, until

LOG_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Deed:
    """What a step does, and what shall be recorded of it.

    Args:
        body: of its function.
        state: of its attempt.
        told: patterns that are found in its error.
        options: of `@step`.
    """

    body: str
    state: str = "failed"
    told: tuple[str, ...] = ()
    options: str = ""


DEEDS = {
    "raises": Deed("raise ValueError('no good')", told=("ValueError: no good",)),
    "exits": Deed("os._exit(3)", told=("its process ended itself with status 3",)),
    "exits_well": Deed("os._exit(0)", told=("its process ended itself with status 0",)),
    "crashes": Deed("ctypes.string_at(0)", told=(r"SIGSEGV \(a crash in native code\)",)),
    "aborts": Deed("os.abort()", told=("SIGABRT",)),
    "is_killed": Deed("os.kill(os.getpid(), signal.SIGKILL)", told=(r"SIGKILL \(killed: ",)),
    "wants_memory": Deed(
        "return len(bytearray(1 << 30))",
        told=("MemoryError|for more memory than its limit", "its limit of 300 MiB", r"peak \d+ MiB"),
        options='(resources={"memory": "300MiB"})',
    ),
    "cannot_be_stored": Deed(
        "return open(__file__)", told=("the output `result`", "TextIOWrapper can be stored by no codec")
    ),
    "is_stored_by_half": Deed(
        # The first element is written to a file; of the second no JSON can be made.
        "return [b'x' * 10_000, 10**5000]",
        told=("ValueError: Exceeds the limit",),
    ),
    "gives_a_file_that_breaks_off": Deed(
        "return Path('/proc/self/mem')", told=("OSError: .*Input/output error",)
    ),
    "floods": Deed(
        """
        os.write(1, b"the beginning\\n")
        for _ in range(1000):
            os.write(1, b"x" * 1_000_000)
        os.write(1, b"the end\\n")
        """,
        "succeeded",
    ),
    "closes_stdout": Deed("sys.stdout.close(); os.close(1)", "succeeded"),
    "says_into_the_void": Deed(
        "sys.stdout.close(); print('x')", told=("ValueError: I/O operation on closed file",)
    ),
    "moves": Deed("os.chdir('/')", "succeeded"),
    "moves_to_nowhere": Deed("os.mkdir('x'); os.chdir('x'); os.rmdir(os.getcwd())", "succeeded"),
    "takes_its_folder_away": Deed("take_away(Path.cwd().parent)", "succeeded"),
    "takes_its_log_away_too": Deed("print('x'); take_away(Path.cwd().parent)", "succeeded"),
    "leaves_a_thread": Deed("threading.Thread(target=threading.Event().wait).start()", "succeeded"),
    "leaves_a_daemon_thread": Deed(
        "threading.Thread(target=threading.Event().wait, daemon=True).start()", "succeeded"
    ),
    "leaves_a_child": Deed("keep(subprocess.Popen(['sleep', '600']).pid)", "succeeded"),
    "leaves_a_daemon": Deed(
        """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                keep(os.getpid())
                Path("told").touch()
                os.execvp("sleep", ["sleep", "600"])
            os._exit(0)
        os.wait()
        while not os.path.exists("told"):
            time.sleep(0.002)
        """,
        "succeeded",
    ),
    "is_stubborn": Deed(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)
        """,
        told=("it took longer than 0.5 s",),
        options='(timeout="500ms")',
    ),
    "leaves_well": Deed("sys.exit(0)", told=("SystemExit: 0",)),
    "interrupts": Deed("raise KeyboardInterrupt", told=("KeyboardInterrupt",)),
    "recurses": Deed("return deeper(1)", told=("RecursionError: maximum recursion depth exceeded",)),
    "closes_what_it_has_not_opened": Deed("os.closerange(3, 1000)", told=("closed the connection",)),
    "closes_and_goes_on": Deed("os.closerange(3, 1000); time.sleep(600)", told=("closed the connection",)),
}

BEFORE = '''
    import ctypes
    import os
    import shutil
    import signal
    import subprocess
    import sys
    import threading
    import time
    from pathlib import Path

    from mlwright import pipeline, step

    KEPT = os.environ["KEPT"]

    def keep(pid):
        with open(KEPT, "a") as kept:
            kept.write(f"{pid}\\n")

    def take_away(folder):
        if "scratch" not in folder.parts:  # should a step ever begin somewhere else, it stays there
            raise RuntimeError(f"{folder} is no scratch folder")
        shutil.rmtree(folder)

    def deeper(depth):
        return deeper(depth + 1)

    @step
    def calm(after: str) -> dict[str, object]:
        """What a step finds that comes next."""
        print("calm")
        found = os.listdir(".")
        Path("written").write_text("here")
        return {
            "found": found,
            "threads": threading.active_count(),
            "on SIGTERM": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
            "a child said": subprocess.run(["echo", "here"], capture_output=True).stdout.decode(),
        }

    @step
    def behind(value: object) -> int:
        return 1
'''


def code() -> str:
    """The deeds as steps of one pipeline: each with a step behind it, and a calm one next."""
    text = textwrap.dedent(BEFORE)
    called = []
    for name, deed in DEEDS.items():
        body = textwrap.indent(textwrap.dedent(deed.body).strip(), "    ")
        text += f"\n@step{deed.options}\ndef {name}() -> object:\n{body}\n"
        called += [f"behind({name}())", f"calm({name!r})"]
    return f"{text}\n@pipeline\ndef deeds():\n" + textwrap.indent("\n".join(called), "    ") + "\n"


@dataclass(frozen=True, slots=True)
class Done:
    """A run that is over; attempts, results and logs by node."""

    run: Run
    error: MlwrightError | None
    attempts: dict[str, Attempt]
    results: dict[str, object]
    logs: dict[str, str]
    kept: list[int]


def run_of(folder: Path, text: str, workers: int) -> Done:
    """Run the only pipeline of a project."""
    files = {"pyproject.toml": f"{PYPROJECT}workers = {workers}\n", "pipelines/p.py": text}
    kept = folder / "kept"
    with Project.open(write(folder / "small", files)) as project, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEPT", str(kept))
        lock_project(project)
        run, error = project.pipelines.run(Request("deeds", {}))
        details = run_detail(project.rooms, run.id).attempts
        small = {
            each.attempt.node: json.loads(project.rooms.objects.get(each.outputs["result"].digest))
            for each in details
            if "result" in each.outputs and each.outputs["result"].codec == "json"
        }
        said = {attempt.node: text for attempt, text in logs(project.rooms, run.id)}
    attempts = {each.attempt.node: each.attempt for each in details}
    assert len(attempts) == len(details)
    return Done(run, error, attempts, small, said, [int(pid) for pid in kept.read_text().split()])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run of all deeds, by one worker at a time: what a step leaves, the next one finds."""
    return run_of(tmp_path_factory.mktemp("deaths"), code(), workers=1)


def nth(name: str, deed: str) -> str:
    """The node of the call of a step that stands with a deed."""
    number = list(DEEDS).index(deed) + 1
    return name if number == 1 else f"{name}-{number}"


@pytest.mark.parametrize("deed", DEEDS)
def test_however_a_step_ends_its_attempt_says_how(done: Done, deed: str) -> None:
    """Each way to die is a failure with its cause; a mess that is only left behind is none."""
    attempt = done.attempts[deed]

    assert attempt.state == DEEDS[deed].state, attempt.error
    assert attempt.error.startswith(f"step `{deed}` of run " if attempt.state == "failed" else "")
    for told in DEEDS[deed].told:
        assert re.search(told, attempt.error), attempt.error


@pytest.mark.parametrize("deed", DEEDS)
def test_the_step_that_comes_next_is_not_disturbed(done: Done, deed: str) -> None:
    """It is alone in its process, in an empty folder, and what it prints is its own log."""
    calm = nth("calm", deed)

    assert done.attempts[calm].state == "succeeded", done.attempts[calm].error
    assert done.results[calm] == {"found": [], "threads": 1, "on SIGTERM": True, "a child said": "here\n"}
    assert done.logs[calm] == "calm\n"


@pytest.mark.parametrize("deed", DEEDS)
def test_what_is_behind_a_death_is_skipped_and_nothing_else(done: Done, deed: str) -> None:
    """A dependant of what failed is skipped and says behind what; one of what succeeded runs."""
    behind = done.attempts[nth("behind", deed)]

    skipped = DEEDS[deed].state == "failed"
    assert behind.state == ("skipped" if skipped else "succeeded")
    assert behind.detail.get("note") == (f"behind `{deed}`" if skipped else None)


def test_the_run_fails_of_what_failed_first(done: Done) -> None:
    """All of it was tried, nothing is left running, and the first death is told with its place."""
    assert done.run.state is RunState.FAILED
    assert len(done.attempts) == 3 * len(DEEDS)
    assert done.error is not None
    assert "step `raises`" in done.error.message
    assert re.fullmatch(r"pipelines/p\.py:\d+ in raises", done.error.where or "")


def test_of_a_gigabyte_of_words_the_beginning_and_the_end_are_kept(done: Done) -> None:
    """A log keeps 16 MiB, and says how much it leaves out."""
    log = done.logs["floods"]

    assert LOG_BYTES < len(log) < LOG_BYTES + 200
    assert log.startswith("the beginning\nxxx") and log.endswith("xxxthe end\n")
    assert f"\n... {1_000_000_000 + 22 - LOG_BYTES:,} bytes are left out" in log


@pytest.mark.parametrize(
    ("deed", "last"),
    [
        ("raises", "ValueError: no good"),
        ("leaves_well", "SystemExit: 0"),
        ("interrupts", "KeyboardInterrupt"),
    ],
)
def test_what_a_step_raised_stands_in_its_log(done: Done, deed: str, last: str) -> None:
    """The traceback is told by the project's own paths, and nothing in it that is not the project's."""
    log = done.logs[deed]

    assert log.startswith('Traceback (most recent call last):\n  File "pipelines/p.py", line ')
    assert log.endswith(f"\n{last}\n")
    assert "session.py" not in log


def test_what_steps_have_left_behind_is_gone(done: Done) -> None:
    """A child, and a daemon that gave up its session and its parent, end with the step that began them."""
    assert len(done.kept) == 2
    assert not any(map(alive, done.kept))


FOREST = '''
    import os
    import signal
    import subprocess
    import time
    from pathlib import Path

    from mlwright import pipeline, step

    KEPT = Path(os.environ["KEPT"])

    def stay(pid=None):
        with KEPT.open("a") as kept:
            kept.write(f"{pid or os.getpid()}\\n")
        while pid is None:
            signal.pause()

    def pids():
        return KEPT.read_text().split() if KEPT.exists() else []

    def alive(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    @step(timeout="2s")
    def forest() -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            stay()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:  # whose parent is gone, in a session that is not its own
                stay()
            os._exit(0)
        # Without the mark that a worker gives to what it starts.
        stay(subprocess.Popen(["sleep", "600"], env={"PATH": os.environ["PATH"]}, start_new_session=True).pid)
        stay()

    @step
    def neighbour() -> bool:
        """Lives until the others have been there and are gone."""
        child = subprocess.Popen(["sleep", "600"])
        until = time.monotonic() + 60
        while len(pids()) < 4 or any(map(alive, pids())):
            if time.monotonic() > until:
                raise TimeoutError(f"still there: {pids()}")
            time.sleep(0.002)
        return child.poll() is None

    @pipeline
    def deeds():
        forest()
        neighbour()
'''


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same command, of somebody else."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_step_over_its_time_is_killed_with_its_whole_tree(
    tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    """What forks, forks twice, leaves its session and ignores SIGTERM is killed, and nobody beside it."""
    done = run_of(tmp_path, FOREST, workers=2)

    assert done.attempts["forest"].state == "failed"
    assert done.attempts["forest"].error.endswith("it took longer than 2 s")
    assert len(set(done.kept)) == 4
    until(lambda: not any(map(alive, done.kept)))
    assert done.attempts["neighbour"].state == "succeeded", done.attempts["neighbour"].error
    assert done.results["neighbour"] is True
    assert bystander.poll() is None
