"""Limits of memory: what a worker is refused, and what is said of it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from mlwright.compute import limits, process
from mlwright.compute.limits import KillCounts, MemoryGroup
from tests.conftest import write

MIB = 2**20
DONE = "1 loop, best of 1"


def run(code: str, **how: object) -> str:
    """What a worker says that runs some Python: the error it raised, or how long it took."""
    with tempfile.TemporaryFile() as words:
        worker = process.start_python(
            Path(sys.executable), "timeit", ["-n1", "-r1", "-s", code, ""], cpus=1, words=words, pass_fds=[],
            **how,  # type: ignore[arg-type]
        )  # fmt: skip
        worker.wait()
        words.seek(0)
        return words.read().decode()


@pytest.mark.parametrize(("asked", "refused"), [(100 * MIB, False), (300 * MIB, True)])
def test_memory_over_the_limit_is_refused(asked: int, refused: bool) -> None:
    """A process gets what it asks for up to its limit; beyond that Python raises MemoryError."""
    words = run(f"bytearray({asked})", memory_bytes=256 * MIB)

    assert ("MemoryError" in words, DONE in words) == (refused, not refused), words


def test_a_child_has_the_same_limit() -> None:
    """What a worker starts is refused as much; the limit stands in no variable of theirs."""
    child = f"import os; assert not [n for n in os.environ if 'MEMORY' in n]; bytearray({300 * MIB})"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    words = run(code, memory_bytes=256 * MIB)

    assert ("MemoryError" in words, DONE in words) == (True, True), words


def test_a_file_larger_than_the_limit_can_be_mapped(tmp_path: Path) -> None:
    """What is only read, and what is only reserved, does not count."""
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, 512 * MIB)
    code = (
        f"import mmap; f = open({str(path)!r}); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); m[-1];"
        f"n = mmap.mmap(-1, {512 * MIB}, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0)"
    )

    words = run(code, memory_bytes=256 * MIB)

    assert DONE in words, words


def test_gpus_are_those_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """None given leaves what the caller sees; an empty list hides all."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    code = "import os; print(repr(os.environ['CUDA_VISIBLE_DEVICES']))"

    seen = [run(code, gpus=gpus).splitlines()[0] for gpus in (None, (), ("2", "0"))]

    assert seen == ["'0,1,2'", "''", "'2,0'"]


def delegated(folder: Path, **files: str) -> list[Path]:
    """What looks like a control group that is ours to divide, and one in it that holds this process."""
    write(folder, {"cgroup.subtree_control": "cpu memory", "own/memory.max": "max", **files})
    return [folder / "own", folder]


def test_a_worker_gets_a_control_group_of_its_own(tmp_path: Path) -> None:
    """Beside the engine's group, with the limit and no swap; its kills and its peak are read from it."""
    group = limits.open_group("4f1d", 256 * MIB, delegated(tmp_path))
    assert group is not None

    assert group.take(42)
    assert group.kill()
    write(group.folder, {"memory.peak": "1000", "memory.events": "low 0\noom_kill 1"})

    assert group.folder == tmp_path / "mlwright-4f1d"
    written = {path.name: path.read_text() for path in group.folder.iterdir()}
    assert written == {
        "memory.max": str(256 * MIB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cgroup.procs": "42",
        "cgroup.kill": "1",
        "memory.peak": "1000",
        "memory.events": "low 0\noom_kill 1",
    }
    assert (group.peak_bytes(), group.was_killed()) == (1000, True)


@pytest.mark.parametrize(
    "files",
    [
        {"cgroup.subtree_control": "cpu"},
        {"own/memory.max": "1000000"},
        {"mlwright-4f1d": "in the way"},
    ],
)
def test_where_no_group_may_be_made_there_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    """Without the controller, beside a group with a limit of its own, or where the kernel refuses."""
    assert limits.open_group("4f1d", 256 * MIB, delegated(tmp_path, **files)) is None
    assert limits.open_group("4f1d", 256 * MIB, []) is None


def test_a_group_that_is_gone_answers_nothing(tmp_path: Path) -> None:
    """Nobody is killed by it, and removing it again is no error."""
    group = MemoryGroup(tmp_path / "none")

    group.remove()

    assert not group.take(1)
    assert not group.kill()
    assert group.peak_bytes() is None
    assert not group.was_killed()


def test_an_empty_group_is_given_back(tmp_path: Path) -> None:
    """Its folder is removed."""
    (tmp_path / "group").mkdir()

    MemoryGroup(tmp_path / "group").remove()

    assert not (tmp_path / "group").exists()


def test_who_wanted_too_much_is_told_how_much() -> None:
    """The limit, and the peak where it is known."""
    assert limits.memory_words(256 * MIB, 251 * MIB) == (
        "it asked for more than its limit of 256 MiB (peak 251 MiB)"
    )
    assert limits.memory_words(256 * MIB, None) == "it asked for more than its limit of 256 MiB"


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ((0, 5), (1, 6), "by the kernel: the container is at its limit of memory"),
        ((0, 5), (0, 6), "by the kernel, it seems: the machine was out of memory meanwhile"),
        ((0, 5), (0, 5), "by hand or by another program: the kernel was not out of memory"),
        ((None, None), (None, None), ""),
    ],
)
def test_who_killed_is_told_by_what_the_kernel_counts(
    before: tuple[int | None, int | None], now: tuple[int | None, int | None], told: str
) -> None:
    """Its kills for memory in the container and on the machine, before and after."""
    assert limits.killer(KillCounts(*before), KillCounts(*now)) == told


def test_a_kill_in_its_own_group_is_the_limits(tmp_path: Path) -> None:
    """Whatever else was counted."""
    write(tmp_path, {"memory.events": "oom_kill 2"})
    counts = KillCounts(0, 0)

    assert limits.killer(counts, counts, MemoryGroup(tmp_path)) == (
        "by the kernel, for more memory than its limit"
    )


def test_the_kernels_counts_are_read() -> None:
    """Twice in a row they are never less."""
    first, second = limits.kill_counts(), limits.kill_counts()

    assert (second.machine or 0) >= (first.machine or 0) >= 0
    assert (second.container or 0) >= (first.container or 0) >= 0


def test_a_killed_worker_is_told_by_whom() -> None:
    """A death by SIGKILL names the killer where it is known, and other deaths are as they were."""
    assert process.cause_of_death(-9, "by hand") == "its process was ended by SIGKILL (killed: by hand)"
    assert process.cause_of_death(-9) == (
        "its process was ended by SIGKILL (killed: out of memory, or by hand)"
    )
    assert process.cause_of_death(-11, "by hand") == (
        "its process was ended by SIGSEGV (a crash in native code)"
    )
    assert process.cause_of_death(-15, "by hand") == "its process was ended by SIGTERM"
