"""What steps have logged, and nothing could record at the time: a full disk, a server that stays away."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import DiskFull
from mlwright.tracking import RunState, series
from mlwright.workflow.attempts import AttemptState
from mlwright.workflow.scratch import Scratch
from tests.conftest import COMMAND, Maker, mlwright
from tests.postgres import Postgres, postgres
from tests.processes import environment, start_python, until

__all__ = ["postgres"]

ENGINES: list[subprocess.Popen[Any]] = []
"""Those that a test has started: none outlives it, though it fails."""
FILES = {
    "pipelines/p.py": """
    import os, signal, time
    from pathlib import Path
    from mlwright import log_metric, log_param, pipeline, step

    def count_up(name, said):
        # What is acknowledged is written down elsewhere, as far as logging goes.
        with open(said, "ab", buffering=0) as file:
            for number in range(300):
                try:
                    log_metric(name, number / 2, step=number)
                except Exception as error:
                    file.write(f"# {type(error).__name__}\\n".encode())
                    return
                file.write(f"{number}\\n".encode())

    @step
    def waits(mark: str, rate: float) -> int:
        print("waiting")
        log_metric("begun", 1.0)
        log_param("rate", 0.25)
        if not mark:
            return 0
        if Path(mark + ".alone").exists():
            os.kill(os.getppid(), signal.SIGSTOP)
        Path("large.bin").write_bytes(bytes(3 << 20))
        Path(mark).touch()
        while not Path(mark + ".go").exists():
            time.sleep(0.002)
        count_up("late", mark + ".said")
        Path(mark + ".gone").touch()
        while not Path(mark + ".more").exists():
            time.sleep(0.002)
        if Path(mark + ".empty").exists():
            Path("large.bin").unlink()
            Path("large.bin").touch()
            Path(mark + ".ready").touch()
        while True:
            time.sleep(0.01)

    @pipeline
    def waiting(mark: str = "", rate: float = 0.5):
        waits(mark, rate)
    """
}


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """Where the step and the test tell each other how far they are: on a disk that has room."""
    yield tmp_path / "mark"
    for engine in ENGINES:
        engine.kill()
        engine.communicate()
    ENGINES.clear()


def on_disk(make_project: Maker, disk: Path) -> Path:
    """A project that was run once, on the small disk."""
    root = make_project(FILES)
    assert mlwright("run", "waiting", cwd=root).returncode == 0
    return Path(shutil.copytree(root, disk / "small", symlinks=True))


def begin(root: Path, mark: Path) -> subprocess.Popen[str]:
    """Start a run; returns when its step waits, and that is recorded."""
    engine = subprocess.Popen(
        [str(COMMAND), "run", "waiting", "-p", f"mark={mark}"],
        cwd=root,
        env=environment({"CI": "true"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ENGINES.append(engine)
    with Project.open(root) as project:
        until(lambda: mark.exists() and project.runs.count() > 1)
        (run,) = project.runs.list(state="running")
        until(lambda: project.runs.metrics(run.id))
    return engine


def tell(mark: Path, word: str) -> None:
    mark.with_name(f"{mark.name}.{word}").touch()


def told(mark: Path, word: str) -> bool:
    return mark.with_name(f"{mark.name}.{word}").exists()


def acknowledged(mark: Path) -> list[tuple[int, float]]:
    """Step and value of each point for which `log_metric` has returned."""
    lines = mark.with_name(f"{mark.name}.said").read_text().split()
    return [(int(line), int(line) / 2) for line in lines if line.isdigit()]


def series_of(project: Project, name: str, run: str = "latest") -> list[tuple[int, float]]:
    """Step and value of each point of a metric."""
    identity = project.runs.get(run).id
    points, _ = series.history(project.rooms.database, identity, name, limit=10_000)
    return [(point.step, point.value) for point in points]


def fill(disk: Path) -> Path:
    """Leave no room at all."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return ballast


def scratch(root: Path) -> list[Path]:
    """What is left of where runs worked."""
    return list((root / ".mlwright/local/scratch").iterdir())


def records(root: Path) -> Any:
    """The newest run, as the command tells it."""
    shown = mlwright("runs", "show", "latest", "--json", cwd=root)
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)["run"]


def test_a_full_disk_with_room_to_be_made_ends_the_run_with_all_it_logged(
    make_project: Maker, disk: Path, mark: Path
) -> None:
    """What a step has left in its folder makes room for what it logged, and for the end of its run."""
    root = on_disk(make_project, disk)
    engine = begin(root, mark)

    fill(disk)
    tell(mark, "go")
    until(lambda: told(mark, "gone"))
    _, said = engine.communicate(timeout=60)

    assert engine.returncode == 6, said
    assert "the disk is full" in said
    with Project.open(root) as project:  # the disk is as full as before
        run = project.runs.get("latest")
        assert run.state is RunState.FAILED
        assert run.error is not None and "the disk is full" in run.error["message"]
        assert len(acknowledged(mark)) == 300
        assert series_of(project, "late") == acknowledged(mark)
    assert scratch(root) == []


def test_a_disk_without_any_room_keeps_what_was_logged_until_there_is(
    make_project: Maker, disk: Path, mark: Path
) -> None:
    """Nothing at all can be recorded: the message says that it is kept, and the next look records it."""
    root = on_disk(make_project, disk)
    engine = begin(root, mark)

    engine.send_signal(signal.SIGSTOP)
    tell(mark, "go")
    until(lambda: told(mark, "gone"))
    tell(mark, "empty")
    tell(mark, "more")
    until(lambda: told(mark, "ready"))
    ballast = fill(disk)
    engine.send_signal(signal.SIGCONT)
    _, said = engine.communicate(timeout=60)
    kept = scratch(root)
    ballast.unlink()
    run = records(root)

    assert engine.returncode == 6, said
    assert f"what its steps had logged is kept, and recorded by: mlwright runs show {run['id'][:10]}" in said
    assert [path.name for path in kept] == [run["id"]]
    assert run["state"] in {"failed", "lost"}
    with Project.open(root) as project:
        assert len(acknowledged(mark)) == 300
        assert series_of(project, "late") == acknowledged(mark)
        assert project.runs.logged_parameters(run["id"]) == {"waits.rate": 0.25}
    assert scratch(root) == []


ENGINE = """
    import sys
    from pathlib import Path
    from mlwright.app import Project
    from mlwright.kernel import postgres
    from mlwright.kernel.errors import MlwrightError

    postgres.PATIENCE_S = 0.5
    with Project.open(Path(sys.argv[1])) as project:
        try:
            project.run("waiting", mark=sys.argv[2])
        except MlwrightError as error:
            print(error.render())
            sys.exit(error.exit_code)
"""


def test_a_server_that_stays_away_loses_nothing_that_was_logged(
    postgres: Postgres, make_project: Maker, mark: Path
) -> None:
    """The run ends, and says what is kept; once the server is back, whoever looks finds it lost, with all."""
    if postgres.server is None:
        pytest.skip("the server is not ours to stop")
    root = make_project(FILES)
    shutil.rmtree(root / ".mlwright")
    with (root / "pyproject.toml").open("a") as settings:
        settings.write(f'database = "{postgres.make()}"\n')
    assert mlwright("run", "waiting", cwd=root).returncode == 0
    engine = start_python(ENGINE, root, mark, CI="true")
    ENGINES.append(engine)
    with Project.open(root) as project:
        until(lambda: mark.exists() and project.runs.list(state="running"))
        run = project.runs.get("latest")
        until(lambda: project.runs.metrics(run.id))

    postgres.server.stop()
    try:
        tell(mark, "go")
        until(lambda: told(mark, "gone"))
        said, _ = engine.communicate(timeout=60)
        kept = scratch(root)
    finally:
        postgres.server.start()
    shown = records(root)

    assert engine.returncode == 6, said
    assert "the metadata database cannot be reached" in said
    assert f"what its steps had logged is kept, and recorded by: mlwright runs show {run.id[:10]}" in said
    assert [path.name for path in kept] == [run.id]
    assert (shown["id"], shown["state"]) == (run.id, "lost")
    with Project.open(root) as project:
        assert len(acknowledged(mark)) == 300
        assert series_of(project, "late") == acknowledged(mark)
    assert scratch(root) == []


def test_what_a_step_logged_before_it_was_recorded_is_kept(make_project: Maker, mark: Path) -> None:
    """A step that usually takes no time has no record yet when all is killed; what it logged is found."""
    root = make_project(FILES)
    for _ in range(2):
        assert mlwright("run", "waiting", "--no-cache", cwd=root).returncode == 0
    tell(mark, "alone")  # the step stops its engine, before that looks what takes longer
    engine = subprocess.Popen(
        [str(COMMAND), "run", "waiting", "--no-cache", "-p", f"mark={mark}"],
        cwd=root,
        env=environment({"CI": "true"}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ENGINES.append(engine)

    until(mark.exists)
    tell(mark, "go")
    until(lambda: told(mark, "gone"))
    engine.kill()
    engine.wait()

    with Project.open(root) as project:
        until(lambda: project.runs.get("latest").state is RunState.LOST)
        run = project.runs.get("latest")
        assert len(acknowledged(mark)) == 300
        assert series_of(project, "late") == acknowledged(mark)
        assert project.runs.logged_parameters(run.id) == {"waits.rate": 0.25}
    assert scratch(root) == []


ENDLESS = """
    import time
    from mlwright import log_metric, pipeline, step

    @step
    def endless() -> int:
        number = 0
        while True:
            log_metric("late", number / 2, step=number)
            number += 1
            time.sleep(0.01)

    @pipeline
    def going():
        endless()
"""


def test_where_only_the_end_can_be_recorded_the_rest_is_left_for_later(
    make_project: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed run stays failed, and what it logged comes to it with the next look."""
    root = make_project({"pipelines/p.py": ENDLESS})

    def full(*_: Any) -> None:
        raise DiskFull("the disk is full", hint="free some space")

    with Project.open(root) as project:
        with monkeypatch.context() as patched, pytest.raises(DiskFull) as raised:
            patched.setattr("mlwright.workflow.records.record_metrics", full)
            patched.setattr(Scratch, "lose", full)
            project.run("going")
        kept = scratch(root)
        before = project.rooms.runs.recorded(kept[0].name)
        counted = len(project.runs.metrics(before.id))
        after = project.runs.get(before.id)
        (attempt,) = project.rooms.attempts.of_run(before.id)
        points = series_of(project, "late")

    assert raised.value.hint is not None
    assert f"recorded by: mlwright runs show {before.id[:10]}" in raised.value.hint
    assert (before.state, counted) == (RunState.FAILED, 0)
    assert (before.error or {})["hint"] == raised.value.hint
    assert after == before
    assert attempt.state is AttemptState.LOST
    assert len(points) > 10 and points == [(number, number / 2) for number in range(len(points))]
    assert scratch(root) == []
