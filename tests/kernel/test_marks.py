"""Marks: who was killed has left what lies there; what is the user's own stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlwright.kernel.errors import Conflict
from mlwright.kernel.marks import left_over, marked
from tests.processes import run_python, start_python

KILLED = """
import os, signal, sys
from pathlib import Path
from mlwright.kernel.marks import marked

with marked(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""
HOLDING = """
import sys
from pathlib import Path
from mlwright.kernel.marks import marked

with marked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_mark_goes_when_what_is_made_is_there(tmp_path: Path) -> None:
    """Also when making it fails: nothing is left over."""
    mark = tmp_path / "mark"

    with pytest.raises(ZeroDivisionError), marked(mark) as held:
        there, before = mark.exists(), held.left_over
        raise ZeroDivisionError

    assert (there, before) == (True, False)
    assert not mark.exists() and not left_over(mark)


def test_what_was_killed_is_left_over(tmp_path: Path) -> None:
    """The next one is told so, once: then the mark is its own, and goes."""
    mark = tmp_path / "mark"
    ended = run_python(KILLED, mark)

    seen = left_over(mark)
    with marked(mark) as first:
        pass
    with marked(mark) as second:
        pass

    assert ended.returncode == -9, ended.stderr
    assert (seen, first.left_over, second.left_over) == (True, True, False)
    assert not mark.exists()


def test_who_lives_is_not_disturbed(tmp_path: Path) -> None:
    """While another process makes something there, nobody else may, or takes it for left over."""
    mark = tmp_path / "mark"
    holder = start_python(HOLDING, mark)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"

    with pytest.raises(Conflict, match="another process"):
        left_over(mark)
    with pytest.raises(Conflict, match="another process"), marked(mark):
        pass
    holder.communicate(timeout=30)

    assert not left_over(mark)


@pytest.mark.parametrize("kind", ["file", "folder", "link", "link to nothing"])
def test_what_is_somebody_elses_stays(tmp_path: Path, kind: str) -> None:
    """A file of the user's that happens to be called so is refused, and is as it was."""
    mark, other = tmp_path / "mark", tmp_path / "other"
    if kind == "folder":
        mark.mkdir()
    elif kind == "file":
        mark.write_text("a thesis")
    else:
        mark.symlink_to(other)
    if kind == "link":
        other.write_text("")

    with pytest.raises(Conflict, match="is there already"):
        left_over(mark)
    with pytest.raises(Conflict, match="is there already"), marked(mark):
        pass

    assert mark.is_symlink() == kind.startswith("link") and mark.is_dir() == (kind == "folder")
    assert other.exists() == (kind == "link")
    assert kind != "file" or mark.read_text() == "a thesis"


def test_an_empty_file_may_be_the_users(tmp_path: Path) -> None:
    """Nobody can tell it from the mark of who was killed before writing: it is refused, and stays."""
    mark = tmp_path / "mark"
    mark.touch()

    with pytest.raises(Conflict, match="says nothing") as raised:
        left_over(mark)
    with pytest.raises(Conflict, match="says nothing"), marked(mark):
        pass

    assert mark.exists() and "remove it" in str(raised.value.hint)
