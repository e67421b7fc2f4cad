"""What the tests of all rooms share: small projects without heavy packages, and the installed command."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from mlwright.app import Project
from tests import forks
from tests.postgres import postgres
from tests.s3 import s3, s3_server

# One server for each process of tests: a file that imported the fixture itself would have one of its own.
__all__ = ["postgres", "s3", "s3_server"]

PYPROJECT = """
[project]
name = "small"
version = "0"
requires-python = ">=3.11"
dependencies = []

[tool.uv]
package = false

[tool.mlwright]
"""

# Whoever starts the tests in the background may have Ctrl-C ignored, which every process started here would
# inherit; and whether output is buffered must not depend on who starts them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("PYTHONUNBUFFERED", None)
# Else every command that is run here compiles all that it imports anew, and takes twice the time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A timing is never asserted in a test: not by Hypothesis either.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

COMMAND = Path(sys.executable).with_name("mlwright")

Maker = Callable[..., Path]

_LONG = (
    "tests/docs/test_readme",
    "tests/stories/",
    "tests/web/",
    "tests/server/conformance/",
    "tests/server/test_hostile",
    "tests/server/test_openapi",
    "tests/server/test_oidc",
    "tests/workflow/test_registry",
    "tests/server/test_registry",
)
"""What takes minutes is begun first, so that nobody waits for it at the end."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a third of the time a test waits for a disk, a process or a time-out."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; else as they were found."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files, their text unindented; returns the root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return root


def mlwright(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command, as the installed one does, in a process that has imported it already."""
    environment = {**os.environ, "CI": "true", **variables}
    return forks.run([str(COMMAND), *arguments], cwd, environment, timeout_s=120)


def installed(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    environment = {**os.environ, "CI": "true", **variables}
    return subprocess.run(
        [str(COMMAND), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def lock_project(project: Project) -> None:
    """Lock a project, as `environments lock` does.

    Where it needs no packages this is a copy of what uv said the first time, with the environment that it
    built: tests of more than a thousand projects ask for the same.
    """
    text = (project.root / "pyproject.toml").read_text()
    if "dependencies = []" not in text or "[dependency-groups]" in text or "optional-dependencies" in text:
        project.environments.lock()
        return
    made, local = _locked(text.partition("[tool.mlwright")[0]), project.rooms.workspace.local
    shutil.copy(made / "uv.lock", project.root)
    for kept in (made / ".mlwright" / "local").glob("*/*"):
        there = local / kept.relative_to(made / ".mlwright" / "local")
        if kept.parent.name in {"locks", "environments"} and not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(kept, there, symlinks=True) if kept.is_dir() else shutil.copy(kept, there)


@cache
def _locked(head: str) -> Path:
    """A project whose `pyproject.toml` begins so, locked, with its environment."""
    folder = Path(tempfile.mkdtemp(prefix="mlwright-locked-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write(folder, {"pyproject.toml": head + "[tool.mlwright]\n"})
    with Project.open(folder) as project:
        project.environments.lock()
        project.environments.build(project.environments.current())
    return folder


@pytest.fixture
def make_project(tmp_path: Path) -> Maker:
    """Makes a project whose environment is empty: `make_project({"pipelines/p.py": ...})`."""

    def make(files: dict[str, str], name: str = "small") -> Path:
        root = write(tmp_path / name, {"pyproject.toml": PYPROJECT, **files})
        with Project.open(root) as project:
            lock_project(project)
        return root

    return make


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small file system: of 16 MiB, or as `parametrize("disk", ["256k"], indirect=True)` says."""
    point, size = tmp_path / "disk", getattr(request, "param", "16m")
    point.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(point)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield point
    subprocess.run(["umount", "--lazy", str(point)], check=True)


@pytest.fixture
def opened(make_project: Maker) -> Iterator[Callable[[dict[str, str]], Project]]:
    """Makes a small project and opens it."""
    projects: list[Project] = []

    def make(files: dict[str, str]) -> Project:
        projects.append(Project.open(make_project(files)))
        return projects[-1]

    yield make
    for project in projects:
        project.close()
