"""Whatever dies between the first byte and the last flush: nothing half-written is visible."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlwright.kernel.digest import digest_of
from mlwright.storage import LocalObjects
from tests.exams.objects import digests_in
from tests.processes import run_python

DATA = b"written by a process that is killed" * 1000

PUT_AND_DIE = """
    import os, signal, sys
    from pathlib import Path
    from mlwright.storage import LocalObjects

    root, data, form, point = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    passed = []

    def deadly(name):
        real = getattr(os, name)
        def call(*arguments, **options):
            if len(passed) == point:
                os.kill(os.getpid(), signal.SIGKILL)
            passed.append(name)
            return real(*arguments, **options)
        setattr(os, name, call)

    for name in ("utime", "open", "mkdir", "fchmod", "fsync", "replace", "close", "unlink"):
        deadly(name)
    objects = LocalObjects(root, root.parent / "verified")
    source = data.read_bytes() if form == "bytes" else data
    objects.put(source, take=form == "take")
    print(*passed)
"""


@pytest.mark.parametrize("form", ["bytes", "file", "take"])
def test_a_kill_at_any_point_of_a_put_leaves_nothing_half(tmp_path: Path, form: str) -> None:
    """`kill -9` before each call to the disk: the object is whole or not there, a second put works."""
    source, point, finished = tmp_path / "source", 0, False

    while not finished:
        root = tmp_path / f"store-{point}"
        source.write_bytes(DATA)
        done = run_python(PUT_AND_DIE, root, source, form, point)
        finished = done.returncode == 0
        assert finished or done.returncode == -signal.SIGKILL, done.stderr

        survivor = LocalObjects(root, tmp_path / f"verified-{point}")
        seen = digests_in(survivor)
        assert seen in ([], [digest_of(DATA)])
        assert all(survivor.get(digest) == DATA for digest in seen)
        assert survivor.get(survivor.put(DATA).digest) == DATA
        point += 1

    assert {"fsync", "fchmod", "replace"} <= set(done.stdout.split())
    assert point > 6


STRACE = shutil.which("strace")


def strace(*options: str, code: str, arguments: tuple[object, ...]) -> subprocess.CompletedProcess[str]:
    """Run Python text with faults in its system calls."""
    assert STRACE is not None
    line = [STRACE, "-f", "-qq", "-o", "/dev/null", *options, sys.executable, "-B", "-c", code]
    return subprocess.run([*line, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(STRACE is None, reason="strace is not installed: no fault can be put into a system call")
@pytest.mark.parametrize("when", [1, 2])
def test_a_failed_flush_is_no_success(tmp_path: Path, when: int) -> None:
    """When fsync answers EIO, put says that the disk failed; the next one writes the bytes anew."""
    code = (
        "import sys; from pathlib import Path; from mlwright.storage import LocalObjects\n"
        "objects = LocalObjects(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "for _ in range(2):\n"
        "    try: print(objects.put(b'bytes').digest)\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
        "    print(sum(1 for file in objects.root.glob('incoming/*')))\n"
    )
    faults = ["-e", "trace=fsync", "-e", f"inject=fsync:error=EIO:when={when}"]

    done = strace(*faults, code=code, arguments=(tmp_path / "objects", tmp_path / "verified"))

    first, left, second, left_again = done.stdout.splitlines()
    assert re.fullmatch(r"Unavailable the disk cannot be written: .*", first), done.stdout + done.stderr
    assert second == digest_of(b"bytes")
    assert left == left_again == "0"
