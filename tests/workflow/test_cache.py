"""The cache as a run asks it: one look for what was made together, and nothing that is gone."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from mlwright.app import Project
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Unavailable
from mlwright.tracking import Run
from mlwright.workflow.cache import Cache
from mlwright.workflow.detail import run_detail

Opener = Callable[[dict[str, str]], Project]

PIPELINES = """
import os

from mlwright import pipeline, step


@step(seed=None)
def unique(text: str) -> str:
    return text + os.urandom(300).hex()


@pipeline
def drawn():
    unique(longer(""))


@step
def longer(text: str) -> str:
    return text + "x" * 500


@step
def large(mebibytes: int) -> bytes:
    return bytes(range(256)) * 4096 * mebibytes


@step
def count(data: bytes, other: int) -> int:
    return len(data) + other


@step
def small() -> int:
    return 1


@pipeline
def texts(n: int = 30):
    text = ""
    for _ in range(n):
        text = longer(text)


@pipeline
def bytes_apart(mebibytes: int = 9):
    count(large(mebibytes), small())
"""


@pytest.fixture
def project(opened: Opener) -> Project:
    return opened({"pipelines/p.py": PIPELINES})


def states(project: Project, run: Run) -> list[str]:
    return [each.state.value for each in project.rooms.attempts.of_run(run.id)]


def made(project: Project, run: Run, node: str) -> Digest:
    found = next(each for each in run_detail(project.rooms, run.id).attempts if each.attempt.node == node)
    return found.outputs["result"].digest


def test_what_was_made_together_is_reused_together(project: Project) -> None:
    """A chain is reused step by step, also a longer one, whose last steps run."""
    project.run("texts")

    again, longer = project.run("texts"), project.run("texts", n=32)

    assert states(project, again) == ["reused"] * 30
    assert states(project, longer) == ["reused"] * 30 + ["succeeded"] * 2


def test_a_step_whose_bytes_are_gone_runs_again(project: Project) -> None:
    """In the middle of what was read ahead, too: it runs, and what follows is reused."""
    first = project.run("texts")
    node = project.rooms.attempts.of_run(first.id)[14].node
    project.rooms.objects.remove(made(project, first, node))

    again = project.run("texts")

    assert states(project, again) == ["reused"] * 14 + ["succeeded"] + ["reused"] * 15


def test_what_was_made_again_is_reused_though_its_first_bytes_are_gone(project: Project) -> None:
    """A success that was read with what came before it, and has lost its bytes, hides no newer one."""
    first = project.run("drawn")
    project.rooms.objects.remove(made(project, first, "unique"))
    second = project.run("drawn")

    third = project.run("drawn")

    assert states(project, second) == ["reused", "succeeded"]
    assert states(project, third) == ["reused", "reused"]
    assert made(project, third, "unique") == made(project, second, "unique") != made(project, first, "unique")


def test_what_another_run_made_is_found_after_a_renewal(project: Project) -> None:
    """A view is of one moment: a success that came later is found when it is renewed."""
    first = project.run("texts", n=1)
    cache = Cache(project.rooms)
    key = project.rooms.attempts.of_run(first.id)[0].fingerprint
    assert key is not None and cache.find(key) is not None

    other = project.run("texts", n=2)
    later = project.rooms.attempts.of_run(other.id)[1].fingerprint
    assert later is not None
    before = cache.find(later)
    cache.renew()
    after = cache.find(later)
    cache.close()

    assert before is None
    assert after is not None and after.attempt == project.rooms.attempts.of_run(other.id)[1].id


def test_a_large_output_is_published_whole(project: Project) -> None:
    """It goes its own way into the store, and the step behind it has all of it."""
    run = project.run("bytes_apart")

    assert sorted(states(project, run)) == ["succeeded"] * 3
    expected = bytes(range(256)) * 4096 * 9
    assert made(project, run, "large") == digest_of(expected)
    assert project.rooms.objects.get(made(project, run, "count")) == str(len(expected) + 1).encode()


def test_a_large_output_that_cannot_be_flushed_is_not_recorded(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails while it is flushed ends the run, and no success names the bytes."""
    flush = os.fsync

    def fail(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 2**20:
            raise OSError(5, "Input/output error")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(Unavailable, match="the disk cannot be written"):
        project.run("bytes_apart")

    run = project.runs.get("latest")
    by_node = {each.node: each.state.value for each in project.rooms.attempts.of_run(run.id)}
    assert by_node["large"] == "lost" or by_node["large"] == "cancelled"
    assert run.state.value == "failed"
    assert digest_of(bytes(range(256)) * 4096 * 9) not in project.rooms.objects
