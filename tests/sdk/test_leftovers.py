"""What a step leaves behind in its process is found."""

from __future__ import annotations

import textwrap

import pytest

from tests.processes import run_python

FOUND = """
import os, signal, subprocess, sys, threading, time
from mlwright.sdk.leftovers import Leftovers

def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)

never = threading.Event()
def thread():
    threading.Thread(target=never.wait, daemon=True).start()
def child():
    return subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])

thread()
leftovers = Leftovers()
told = sys.__stderr__
children = []
{code}
print(leftovers.found(), end="", file=told, flush=True)
for each in children:
    each.kill()
    each.wait()
os._exit(0)
"""


def found(code: str) -> str:
    """What is told of a process that has run some Python."""
    done = run_python(FOUND.replace("{code}", textwrap.dedent(code)))
    assert done.returncode == 0, done
    return done.stderr


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("pass", ""),
        ("thread()", "1 thread"),
        ("thread(); thread()", "2 threads"),
        ("threading.Thread(target=never.wait).start()", "1 thread"),
        ("t = threading.Thread(target=int); t.start(); t.join()", ""),
        ("children.append(child())", "1 child process"),
        ("children += [child(), child()]; thread()", "1 thread and 2 child processes"),
        ("sys.stdin.close()", "a closed sys.stdin"),
        ("sys.stdout.close()", "a closed sys.stdout"),
        ("sys.stdout = sys.stderr", "another sys.stdout"),
        ("del sys.stderr", "another sys.stderr"),
        ("import numpy; a = numpy.ones((300, 300)); a @ a", ""),
    ],
)
def test_what_was_left_is_told(code: str, told: str) -> None:
    """Threads, child processes and streams that are not as before; not what native libraries keep."""
    assert found(code) == told


def test_a_child_that_has_ended_is_reaped_and_does_not_count() -> None:
    """Nobody waited for it; after the look there is no zombie."""
    code = """
        pid = child().pid
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert leftovers.found() == ""
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            print("reaped ", end="", file=told)
    """

    assert found(code) == "reaped "


def test_an_orphan_of_a_process_that_takes_them_in_counts() -> None:
    """A child's child in a session of its own, whose parent has ended, where graft has prepared for it."""
    code = """
        import ctypes
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(write, str(os.getpid()).encode())
                signal.pause()
            os._exit(0)
        os.wait()
        orphan = int(os.read(read, 20))
        print(leftovers.found(), end=" / ", file=told)
        os.kill(orphan, signal.SIGKILL)
        os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
    """

    assert found(code) == "1 child process / "


def test_a_thread_that_came_from_native_code_does_not_count() -> None:
    """Python keeps a dummy for it as long as it lives, whether the thread lives or not."""
    code = """
        import _thread
        seen = []
        _thread.start_new_thread(lambda: seen.append(threading.current_thread()), ())
        until(lambda: seen)
        assert type(seen[0]).__name__ == "_DummyThread"
    """

    assert found(code) == ""


def test_a_step_that_imports_threading_has_left_no_thread() -> None:
    """The main thread is known only from then on, and is none of its own."""
    code = """
        import sys
        from mlwright.sdk.leftovers import Leftovers
        leftovers = Leftovers()
        assert "threading" not in sys.modules
        import threading
        print(repr(leftovers.found()))
    """

    done = run_python(code)

    assert done.stdout == "''\n", done
