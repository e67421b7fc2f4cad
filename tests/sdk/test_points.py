"""Points: what a step measures is there at once, whoever measures it and whatever becomes of him."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from mlwright.kernel.errors import Unavailable
from mlwright.sdk import report
from mlwright.sdk.points import SLOT_BYTES, PointLog, points_path
from mlwright.tracking import Series, read_journal
from tests.processes import run_python, start_python

KILLS = 60 if os.environ.get("MLWRIGHT_SOAK") == "1" else 6


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Path]:
    """An open journal."""
    path = tmp_path / "attempt.jsonl"
    report.open_journal(path, tmp_path)
    yield path
    report.close_journal()


def steps(journal: Path) -> dict[str, list[int]]:
    """The steps of each metric, in their order."""
    found: dict[str, list[int]] = {}
    for each in read_journal(journal):
        if isinstance(each, Series):
            assert list(each.points.values) == [step / 2 for step in each.points.steps]
            found.setdefault(each.name, []).extend(each.points.steps)
    return found


def count_up(name: str, points: int) -> None:
    """Log a metric of which each value is half of its step."""
    for step in range(points):
        report.log_metric(name, step / 2, step=step)


COUNT = """
    import sys
    from pathlib import Path
    from mlwright.sdk import report

    report.open_journal(Path(sys.argv[1]), Path(sys.argv[1]).parent)
    told = sys.stdout.buffer.raw
    step = 0
    while True:
        report.log_metric("loss", step / 2, step=step)
        told.write(b"%d\\n" % step)
        step += 1
"""


@pytest.mark.soak
def test_what_was_logged_before_a_kill_is_there(tmp_path: Path) -> None:
    """The last call that returned before `kill -9` is in the journal, and all before it; nothing else is."""
    for round_ in range(KILLS):
        journal = tmp_path / f"{round_}.jsonl"
        with start_python(COUNT, journal) as process:
            assert process.stdout is not None
            for _ in range(500 * round_ + 1):
                process.stdout.readline()

            process.kill()

            told = process.stdout.read().splitlines(keepends=True)
        found = steps(journal)["loss"]
        whole = [line for line in told if line.endswith("\n")]
        returned = int(whole[-1]) + 1 if whole else 500 * round_ + 1
        assert found == list(range(len(found)))
        assert returned <= len(found) <= returned + 1


def test_many_points_are_more_than_the_first_pages(journal: Path) -> None:
    """What is set aside grows with what is logged; at the end no more is kept than was written."""
    count_up("loss", 20_000)
    file = Path(points_path(journal, 0))
    set_aside = file.stat().st_size

    report.close_journal()

    assert set_aside > file.stat().st_size == 20_001 * SLOT_BYTES
    assert steps(journal) == {"loss": list(range(20_000))}


def test_another_process_sees_a_point_at_once(journal: Path) -> None:
    """Nothing is closed or flushed before it is read."""
    report.log_metric("loss", 0.5, step=1)

    done = run_python(
        "import sys; from mlwright.tracking import read_journal; print(*read_journal(sys.argv[1])[0].points)",
        journal,
    )

    assert done.stdout.startswith("(1, "), done.stderr
    assert done.stdout.endswith(", 0.5)\n")


def test_threads_that_end_with_the_attempt_log_nothing_late(tmp_path: Path) -> None:
    """Threads that go on when the journal is closed write nothing more to it, and none of them fails."""
    journal, failed = tmp_path / "attempt.jsonl", []
    report.open_journal(journal, tmp_path)
    log = report._journal
    assert log is not None
    begun, ended = threading.Barrier(5), threading.Event()

    def go_on() -> None:
        try:
            begun.wait()
            step = 0
            while not ended.is_set():
                log.points.put(log.points.point("loss", step / 2, step))
                step += 1
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=go_on) for _ in range(4)]
    for each in threads:
        each.start()
    begun.wait()
    while not Path(points_path(journal, 0)).exists():
        pass

    report.close_journal()

    whole = Path(points_path(journal, 0)).read_bytes()
    log.points.put(log.points.point("loss", 1.0, 2))
    ended.set()
    for each in threads:
        each.join()
    assert failed == []
    assert Path(points_path(journal, 0)).read_bytes() == whole
    assert sorted(Path(tmp_path).iterdir()) == [Path(points_path(journal, 0))]


FORK = """
    import os, sys, threading
    from pathlib import Path
    from mlwright.sdk import report

    report.open_journal(Path(sys.argv[1]), Path(sys.argv[1]).parent)
    ended = threading.Event()

    def busy():
        step = 0
        while not ended.is_set():
            report.log_metric("busy", step / 2, step=step)
            step += 1

    def count(name):
        for step in range(3000):
            report.log_metric(name, step / 2, step=step)

    other = threading.Thread(target=busy)
    other.start()
    count("parent")
    children = []
    for number in range(8):
        child = os.fork()
        if not child:
            grandchild = os.fork()
            count(f"child {number}" if grandchild else f"grandchild {number}")
            if grandchild:
                os.waitpid(grandchild, 0)
            os._exit(0)
        children.append(child)
    count("parent again")
    for child in children:
        os.waitpid(child, 0)
    ended.set()
    other.join()
    report.close_journal()
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_children_log_while_a_thread_does(tmp_path: Path) -> None:
    """Each point of a process that forks while it logs is there once, and so are its children's."""
    done = run_python(FORK, tmp_path / "attempt.jsonl")

    found = steps(tmp_path / "attempt.jsonl")
    busy = found.pop("busy")
    assert (done.returncode, busy) == (0, list(range(len(busy)))), done.stderr
    names = ["parent", "parent again", *(f"{who} {n}" for who in ("child", "grandchild") for n in range(8))]
    assert found == {name: list(range(3000)) for name in names}


POOL = """
    import multiprocessing, sys
    from pathlib import Path
    from mlwright.sdk import report

    def work(number):
        report.log_metric("pool", number / 2, step=number)

    report.open_journal(Path(sys.argv[1]), Path(sys.argv[1]).parent)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pool.map(work, range(500))
    print(report.close_journal())
"""


def test_the_workers_of_a_pool_log(tmp_path: Path) -> None:
    """What only the processes of multiprocessing measured counts, though they are ended without a word."""
    done = run_python(POOL, tmp_path / "attempt.jsonl")

    assert (done.stdout, done.stderr) == ("True\n", "")
    assert Counter(steps(tmp_path / "attempt.jsonl")["pool"]) == Counter(range(500))


HANDLER = """
    import itertools, signal, sys
    from pathlib import Path
    from mlwright.sdk import report

    report.open_journal(Path(sys.argv[1]), Path(sys.argv[1]).parent)
    heard = itertools.count()

    def handle(number, frame):
        for step in itertools.islice(heard, 20):
            report.log_metric("handler", step / 2, step=step)

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.001)
    for step in range(100_000):
        report.log_metric("loop", step / 2, step=step)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(next(heard))
"""


def test_a_handler_of_a_signal_may_log(tmp_path: Path) -> None:
    """Also one that interrupts a call of its own thread: nothing waits for itself, nothing is lost."""
    done = run_python(HANDLER, tmp_path / "attempt.jsonl")

    heard = int(done.stdout)
    assert heard, done.stderr
    found = steps(tmp_path / "attempt.jsonl")
    assert found["loop"] == list(range(100_000))
    assert sorted(found["handler"]) == list(range(heard))


def test_a_point_that_the_end_of_the_attempt_overtakes_is_dropped(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that has its place and is about to write has nothing left to write to, and does not fail."""
    report.log_metric("loss", 0.5, step=1)

    def late(body: bytes, place: int) -> int:
        report.close_journal()
        return crc32(body, place)

    monkeypatch.setattr("mlwright.sdk.points.crc32", late)
    report.log_metric("loss", 1.0, step=2)

    assert steps(journal) == {"loss": [1]}


@pytest.mark.parametrize("disk", ["256k"], indirect=True)
def test_a_full_disk_is_an_error_and_kills_nobody(disk: Path) -> None:
    """What was logged before it is there; once there is room, logging goes on."""
    journal = disk / "attempt.jsonl"
    (disk / "ballast").write_bytes(bytes(128 << 10))
    report.open_journal(journal, disk)

    with pytest.raises(Unavailable, match="the disk is full"):
        count_up("loss", 10_000)
    before = len(steps(journal)["loss"])
    (disk / "ballast").unlink()
    count_up("again", 100)
    report.close_journal()

    assert before > 1000
    assert steps(journal) == {"loss": list(range(before)), "again": list(range(100))}


def test_two_attempts_have_files_of_their_own(tmp_path: Path) -> None:
    """A retry of a step lies beside the first try, under the name of its own journal."""
    logs = [PointLog(tmp_path / f"{name}.jsonl") for name in ("one", "two")]

    for number, log in enumerate(logs):
        log.put(log.point("loss", number / 2, number))
        assert log.close()

    assert [steps(tmp_path / f"{name}.jsonl") for name in ("one", "two")] == [{"loss": [0]}, {"loss": [1]}]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one.0.points", "two.0.points"]
