"""`kill -9` and Ctrl-C of adding, checking out and collecting, looked at from outside.

`make test` kills a dozen, `make soak` 200.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from mlwright.app import Project
from tests.conftest import COMMAND, mlwright
from tests.processes import start_python, until
from tests.storage.conftest import two_days_old

MIB = 1 << 20
ROUNDS = 200 if os.environ.get("MLWRIGHT_SOAK") == "1" else 10

ADD = """
    import sys
    from pathlib import Path
    from mlwright.app import Project
    from mlwright.storage import chunks, ingest

    ingest._PACK_BYTES = 200_000
    chunks._PACK_BYTES = 8 << 20
    with Project.open(sys.argv[1]) as project:
        print("ready", flush=True)
        sys.stdin.readline()
        version, new = project.datasets.add(Path(sys.argv[2]), sys.argv[3])
        print(version.reference, new, flush=True)
"""


def many_files(folder: Path) -> Path:
    """Two thousand small files, some of them alike."""
    folder.mkdir()
    for number in range(2000):
        (folder / f"{number:04}").write_bytes(b"%d" % (number % 1900) * 300)
    return folder


def large_file(path: Path) -> Path:
    """A file that is cut into pieces: 80 MiB, in which nothing repeats."""
    path.write_bytes(random.Random(0).randbytes(80 * MIB))
    return path


def stored(root: Path) -> list[Path]:
    return list((root / ".mlwright" / "objects").glob("??/*"))


def age(root: Path) -> None:
    for path in (root / ".mlwright" / "objects").glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            two_days_old(path)


def sound(root: Path) -> bool:
    for command in (["workspace", "verify"], ["datasets", "verify"]):
        look = mlwright(*command, cwd=root)
        assert look.returncode == 0, look.stdout + look.stderr
    return True


@pytest.mark.parametrize("what", ["many", "large"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_add_that_is_cut_short_shows_nothing_and_is_continued(
    root: Path, tmp_path: Path, what: str, how: signal.Signals
) -> None:
    """No version, no fault; a second try stores only what is missing; gc takes what is left of the first."""
    path = many_files(tmp_path / "many") if what == "many" else large_file(tmp_path / "large")
    process = start_python(ADD, root, path, "data")
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    until(lambda: stored(root) or process.poll() is not None, within_s=60)
    process.send_signal(how)
    told, _ = process.communicate(timeout=60)
    cut_short = "data@1" not in told
    before = {path.name for path in stored(root)}

    listed = mlwright("datasets", "list", cwd=root)
    again = mlwright("datasets", "add", str(path), "--name", "data", cwd=root)

    assert before
    assert ("data@1" not in listed.stdout) is cut_short
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("added data@1" if cut_short else "the same bytes are there already")
    assert sound(root)
    assert before <= {path.name for path in stored(root)}
    age(root)
    assert mlwright("gc", cwd=root).returncode == 0
    assert list((root / ".mlwright" / "objects" / "incoming").iterdir()) == []
    assert sound(root)
    written = mlwright("datasets", "checkout", "data", str(tmp_path / "out"), cwd=root)
    assert written.returncode == 0, written.stderr
    same = subprocess.run(["diff", "-r", str(path), str(tmp_path / "out")], capture_output=True)
    assert same.returncode == 0, same.stdout


@pytest.mark.parametrize("names", [("data", "data"), ("data", "other")])
def test_two_processes_add_the_same_folder(root: Path, tmp_path: Path, names: tuple[str, str]) -> None:
    """At once, under one name or two: each name has the version, and all is whole."""
    folder = many_files(tmp_path / "many")
    started = [start_python(ADD, root, folder, name) for name in names]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    told = [process.communicate(timeout=60)[0].split() for process in started]

    assert [process.returncode for process in started] == [0, 0], told
    assert [reference for reference, _ in told] == [f"{name}@1" for name in names]
    assert sorted(new for _, new in told) == (["False", "True"] if names[0] == names[1] else ["True", "True"])
    assert sound(root)
    with Project.open(root) as project:
        assert len({version.digest for version in project.datasets.versions.newest()}) == 1


@pytest.mark.soak
def test_whatever_is_killed_at_any_moment_all_is_whole(root: Path, tmp_path: Path) -> None:
    """Adding, writing out and collecting, killed at random moments: verifying finds nothing each time."""
    rng = random.Random(1)
    folder, out = tmp_path / "data", tmp_path / "out"
    folder.mkdir()

    for number in range(ROUNDS):
        for _ in range(rng.randrange(1, 40)):
            (folder / str(rng.randrange(60))).write_bytes(rng.randbytes(rng.choice([10, 3000, 90_000])))
        if rng.random() < 0.4:
            age(root)
        line = rng.choice(
            [
                ["datasets", "add", str(folder), "--name", "data"],
                ["datasets", "add", str(folder), "--name", "data"],
                ["gc"],
                ["datasets", "checkout", "data", str(out), "--force"],
            ]
        )
        process = subprocess.Popen(
            [str(COMMAND), *line], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0.05, 0.6))
        process.kill()
        process.communicate()

        look = mlwright("workspace", "verify", cwd=root)
        assert look.returncode == 0, (number, line, look.stdout, look.stderr)

    final = mlwright("datasets", "add", str(folder), "--name", "data", cwd=root)
    age(root)
    collected = mlwright("gc", cwd=root)
    shutil.rmtree(out, ignore_errors=True)
    written = mlwright("datasets", "checkout", "data", str(out), cwd=root)
    assert [each.returncode for each in (final, collected, written)] == [0, 0, 0], written.stderr
    assert subprocess.run(["diff", "-r", str(folder), str(out)]).returncode == 0
    assert sound(root)
    assert list((root / ".mlwright" / "objects" / "incoming").iterdir()) == []
