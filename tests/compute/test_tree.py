"""Ending a worker with all that it has started, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlwright.compute import process, tree
from tests.conftest import write
from tests.processes import alive, start_python, until

TOKEN = "4f1d"

HERE = """
    import os, signal, subprocess, sys, time
    from pathlib import Path

    folder = Path({folder!r})
    def here():
        (folder / f"{{os.getpid()}}.part").touch()
        (folder / f"{{os.getpid()}}.part").rename(folder / str(os.getpid()))
    def stay():
        here()
        while True:
            signal.pause()
    def forked(function):
        if os.fork() == 0:
            function()
            os._exit(0)
    def detached():
        os.setsid()
        stay()
    def deaf():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        stay()
    def heavy():
        kept = bytearray(b"x") * (200 << 20)
        stay()
    def orphan():
        forked(detached)
    def unmarked(**how):
        text = "import signal\\nwhile True: signal.pause()"
        child = subprocess.Popen([sys.executable, "-c", text], env={{}}, **how)
        (folder / str(child.pid)).touch()
    def breeder():
        os.setsid()
        if os.fork():
            os._exit(0)
        here()
        while True:
            if os.fork() == 0:
                os.setsid()
                if os.fork():
                    os._exit(0)
                time.sleep(30)
                os._exit(0)
            os.wait()
            time.sleep(0.001)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where each process says that it is there, by a file of its number."""
    made = tmp_path / "pids"
    made.mkdir()
    return made


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a worker that runs some Python."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(code: str, token: str = TOKEN) -> subprocess.Popen[bytes]:
        text = textwrap.dedent(HERE).format(folder=str(folder)) + textwrap.dedent(code)
        with tempfile.TemporaryFile() as words:
            worker = process.start_python(
                Path(sys.executable),
                "timeit",  # a module whose `main(arguments)` runs what it is given
                ["-n1", "-r1", "-s", text, ""],
                cpus=1,
                words=words,
                pass_fds=[],
                token=token,
            )
        started.append(worker)
        return worker

    yield start_one
    for worker in started:
        worker.kill()
        worker.wait()
    for pid in pids(folder):
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def pids(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[str]]:
    """A child of ours that is no worker, with one of its own."""
    child = start_python(
        """
        import os, signal
        if os.fork():
            print("there", flush=True)
        while True:
            signal.pause()
        """,
        MLWRIGHT_WORKER=f"{TOKEN}0",
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "there\n"
    yield child
    tree.end_tree(child.pid, "")
    child.communicate()


WAYS = ["stay", "detached", "deaf", "orphan"]


@pytest.mark.parametrize(
    "way",
    [
        *(f"forked({way})" for way in WAYS),
        "unmarked(start_new_session=True)",
        "forked(lambda: unmarked(start_new_session=True)); os.wait()",
    ],
)
def test_what_a_worker_has_started_ends_with_it(
    start: Callable[[str], subprocess.Popen[bytes]], bystander: subprocess.Popen[str], folder: Path, way: str
) -> None:
    """Children, those in sessions of their own, orphans, those deaf to signals, those without mark."""
    worker = start(f"{way}; {way}; stay()")
    until(lambda: len(pids(folder)) == 3)

    tree.end_tree(worker.pid, TOKEN)

    assert not any(map(alive, pids(folder)))
    assert worker.wait() == -signal.SIGKILL
    assert alive(bystander.pid)


@pytest.mark.parametrize("way", [*(f"forked({way})" for way in WAYS), "unmarked()"])
@pytest.mark.parametrize("death", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGSEGV)"])
def test_what_a_dead_worker_has_left_is_ended(
    start: Callable[[str], subprocess.Popen[bytes]],
    bystander: subprocess.Popen[str],
    folder: Path,
    way: str,
    death: str,
) -> None:
    """Its orphans are found by their mark or their session; how it died is still to be read."""
    worker = start(f"{way}; {way}\nwhile len(list(folder.glob('*[0-9]'))) < 2: time.sleep(0.001)\n{death}")
    assert tree.has_ended(worker.pid, 30.0)
    left = pids(folder)

    tree.end_tree(worker.pid, TOKEN)

    assert len(left) == 2
    assert not any(map(alive, left))
    assert worker.wait() in {3, -signal.SIGSEGV}
    assert alive(bystander.pid)


@pytest.mark.parametrize(
    "code", ["heavy()", "forked(heavy)\nwhile not pids(): time.sleep(0.001)\nos._exit(3)"]
)
def test_they_are_gone_when_it_returns(
    start: Callable[[str], subprocess.Popen[bytes]], folder: Path, code: str
) -> None:
    """Giving back much memory takes its time, and the next worker may need it."""
    worker = start(f"pids = lambda: list(folder.glob('*[0-9]'))\n{code}")
    until(lambda: pids(folder))
    if "_exit" in code:
        assert tree.has_ended(worker.pid, 30.0)

    tree.end_tree(worker.pid, TOKEN)

    assert not any(map(alive, pids(folder)))


def test_one_that_starts_others_without_end_is_ended(
    start: Callable[[str], subprocess.Popen[bytes]], folder: Path
) -> None:
    """What is started while the others are being stopped is found too."""
    worker = start("forked(breeder); stay()")
    until(lambda: len(pids(folder)) == 2)

    tree.end_tree(worker.pid, TOKEN)

    assert not [path for path in Path("/proc").glob("[0-9]*") if marked(path)]


def marked(path: Path) -> bool:
    try:
        return f"{tree.MARK}={TOKEN}\0".encode() in (path / "environ").read_bytes()
    except OSError:
        return False


def test_a_process_that_is_no_child_of_ours_is_left_alone(
    start: Callable[[str], subprocess.Popen[bytes]], folder: Path
) -> None:
    """The number of a worker that was waited for may be another's: only marks count then."""
    worker = start("forked(detached); stay()")
    until(lambda: len(pids(folder)) == 2)
    (grandchild,) = set(pids(folder)) - {worker.pid}

    tree.end_tree(grandchild, "another")

    assert alive(grandchild)
    assert alive(worker.pid)


def test_a_worker_within_a_worker_bears_both_marks(
    start: Callable[[str], subprocess.Popen[bytes]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of it is ended with either, by the mark alone; no other mark ends it."""
    monkeypatch.setenv(tree.MARK, "outer")
    worker = start("forked(detached); stay()")
    until(lambda: len(pids(folder)) == 2)

    tree.end_marked("oute")
    tree.end_marked("er:4")
    before = [alive(pid) for pid in pids(folder)]
    tree.end_marked("outer")

    assert before == [True, True]
    assert not any(map(alive, pids(folder)))
    assert worker.wait() == -signal.SIGKILL


def test_whether_a_worker_has_ended_is_asked_without_waiting_for_it(
    start: Callable[[str], subprocess.Popen[bytes]], folder: Path
) -> None:
    """Not while it runs; its status is kept for who waits; one that was waited for has ended."""
    worker = start("stay()")
    until(lambda: pids(folder))

    running = tree.has_ended(worker.pid, 0.01)
    worker.terminate()

    assert not running
    assert tree.has_ended(worker.pid, 30.0)
    assert worker.wait() == -signal.SIGTERM
    assert tree.has_ended(worker.pid)


def test_a_kernels_lists_of_children_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it keeps them, every thread's list counts, and no other process is looked at."""
    stat = "{} (a name) of ) S {} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 77 0 0"
    for pid, parent in ((10, 1), (11, 10), (12, 10), (13, 12), (14, 10)):
        write(tmp_path, {f"{pid}/stat": stat.format(pid, parent), f"{pid}/task/{pid}/children": ""})
    write(tmp_path, {"10/task/10/children": "11 ", "10/task/15/children": "12 99 "})
    write(tmp_path, {"12/task/12/children": "13 "})
    monkeypatch.setattr(tree, "_PROC", str(tmp_path))

    found = [(each.pid, each.parent, each.state, each.began) for each in tree._below(10)]

    assert sorted(found) == [(10, 1, "S", 77), (11, 10, "S", 77), (12, 10, "S", 77), (13, 12, "S", 77)]
