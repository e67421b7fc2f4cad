"""A script runs as under `python script.py`, and what it wrote is found."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mlwright.sdk.written import folder_state, written_since
from tests.conftest import write
from tests.processes import run_python

RUN = """
    import os, sys, traceback
    from pathlib import Path

    from mlwright.sdk.script import run_script, wind_down

    root, status = Path(sys.argv[1]), 0
    try:
        run_script(root / sys.argv[2], sys.argv[3:], root)
    except BaseException:
        traceback.print_exc()
        status = 1
    wind_down()
    sys.stdout.flush()
    os._exit(status)  # as a worker ends: by a kill, without another word
"""


def run(root: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of a project in a process of its own."""
    return run_python(RUN, root, script, *arguments)


def test_a_script_finds_itself_as_python_would_start_it(tmp_path: Path) -> None:
    """Arguments, name, file, working directory; its own folder and the root are importable, in this order."""
    told = """
        import os, sys
        from pathlib import Path
        import beside, above
        print(sys.argv, __name__, Path(__file__).relative_to(sys.path[1]), os.getcwd() == sys.path[1])
        print(beside.WHERE, above.WHERE, sys.modules["__main__"].told)
    """
    root = write(
        tmp_path,
        {
            "jobs/train.py": "told = 'main'" + told.replace("\n        ", "\n"),
            "jobs/beside.py": "WHERE = 'jobs'",
            "beside.py": "WHERE = 'root'",
            "above.py": "WHERE = 'root'",
        },
    )

    done = run(root, "jobs/train.py", "--lr", "0.1")

    assert done.stdout.splitlines() == [
        "['jobs/train.py', '--lr', '0.1'] __main__ jobs/train.py True",
        "jobs root main",
    ], done.stderr


def test_what_a_script_defines_can_be_pickled(tmp_path: Path) -> None:
    """The main module is the script's, not the worker's; nothing of the worker's shows in it."""
    root = write(
        tmp_path,
        {
            "main.py": """
                import pickle

                class Model:
                    pass

                print(type(pickle.loads(pickle.dumps(Model()))).__module__)
                def plain(x: Missing) -> None: ...
            """
        },
    )

    done = run(root, "main.py")

    assert done.stdout == "__main__\n"
    assert "NameError: name 'Missing' is not defined" in done.stderr  # no `annotations` from our future


@pytest.mark.parametrize("ended", ["sys.exit()", "sys.exit(0)", "sys.exit(False)", "sys.exit(256)", "exit()"])
def test_a_script_may_end_itself(tmp_path: Path, ended: str) -> None:
    """Status 0, as the operating system counts it, is a success; what follows is not run."""
    root = write(tmp_path, {"main.py": f"import sys\n{ended}\nprint('on')"})

    done = run(root, "main.py")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("ended", "told", "written"),
    [
        ("sys.exit(3)", "the script ended with exit status 3", ""),
        ("sys.exit(True)", "the script ended with exit status 1", ""),
        ("sys.exit(-1)", "the script ended with exit status 255", ""),
        ("sys.exit('no rows')", "the script ended with exit status 1: no rows", "no rows\n"),
    ],
)
def test_a_script_that_ends_itself_otherwise_has_failed(
    tmp_path: Path, ended: str, told: str, written: str
) -> None:
    """The message names the status; the traceback leads to the place; a text goes to standard error."""
    root = write(tmp_path, {"main.py": f"import sys\n\n{ended}\n"})

    done = run(root, "main.py")

    assert done.stderr.startswith(written + "Traceback")
    assert f'File "{root}/main.py", line 3, in <module>' in done.stderr
    assert done.stderr.endswith(f"WorkFailed: {told}\n")
    assert "SystemExit" not in done.stderr


def test_what_a_script_left_to_do_is_done(tmp_path: Path) -> None:
    """Its threads are waited for, an idle pool of threads is not in the way, exit handlers run, in order."""
    root = write(
        tmp_path,
        {
            "main.py": """
                import atexit, threading
                from concurrent.futures import ThreadPoolExecutor
                from pathlib import Path

                pool = ThreadPoolExecutor(1)
                pool.submit(print, "pool").result()
                threading.Thread(target=lambda: (threading.main_thread().join(), print("thread"))).start()
                atexit.register(lambda: (Path("late.txt").write_text("x"), print("exit")))
                raise ValueError("in between")
            """
        },
    )
    before = folder_state(root)

    done = run(root, "main.py")

    assert done.stdout.splitlines() == ["pool", "thread", "exit"]
    assert "ValueError: in between" in done.stderr
    assert written_since(root, before) == [Path("late.txt")]


def test_a_script_that_is_not_python_is_told_by_its_line(tmp_path: Path) -> None:
    """The syntax error is that of the file."""
    root = write(tmp_path, {"main.py": "x = 1\nif x\n"})

    done = run(root, "main.py")

    assert f'File "{root}/main.py", line 2' in done.stderr
    assert "SyntaxError" in done.stderr


def test_new_and_changed_files_are_found_and_no_others(tmp_path: Path) -> None:
    """By their paths in the folder; what was read, deleted, linked to, or is a cache is no output."""
    root = write(
        tmp_path, dict.fromkeys(["read.txt", "grown.txt", "deep/same_size.txt", "gone.txt", "r.txt"], "1")
    )
    before = folder_state(root)

    (root / "read.txt").read_text()
    (root / "grown.txt").write_text("1, 2")
    (root / "deep/same_size.txt").write_text("2")
    (root / "gone.txt").unlink()
    (root / "replacement").write_text("1")
    (root / "replacement").replace(root / "r.txt")
    write(root, dict.fromkeys(["out/a/b.bin", "deep/__pycache__/m.pyc", ".ipynb_checkpoints/n.ipynb"], ""))
    (root / "link").symlink_to("read.txt")
    os.mkfifo(root / "pipe")

    assert list(map(str, written_since(root, before))) == [
        "deep/same_size.txt",
        "grown.txt",
        "out/a/b.bin",
        "r.txt",
    ]


def test_a_write_right_after_the_look_is_seen(tmp_path: Path) -> None:
    """Also of the same size, and within the tick of the clock that stamps files."""
    path = tmp_path / "counter.txt"

    for number in range(10):
        path.write_text(str(number))
        before = folder_state(tmp_path)
        path.write_text(str(9 - number))

        assert written_since(tmp_path, before) == [Path("counter.txt")]


def test_a_write_with_its_time_set_back_is_seen(tmp_path: Path) -> None:
    """As copying a file with its times does."""
    path = tmp_path / "copied.txt"
    path.write_text("1")
    was = path.stat()
    before = folder_state(tmp_path)

    path.write_text("2")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))

    assert written_since(tmp_path, before) == [Path("copied.txt")]


def test_a_folder_in_which_nothing_happened_has_no_outputs(tmp_path: Path) -> None:
    """However often one looks."""
    write(tmp_path, {"a/b.txt": "", "c.txt": "x"})
    before = folder_state(tmp_path)

    assert written_since(tmp_path, before) == []
    assert folder_state(tmp_path) == before
