"""What the tests of all rooms share: small projects without heavy packages, and the installed command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from mlwright.app import Project
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
    "tests/workflow/test_registry",
    "tests/server/test_registry",
)
"""What takes minutes is begun first, so that nobody waits for it at the end."""


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
    """Run the installed command."""
    environment = {**os.environ, "CI": "true", **variables}
    return subprocess.run(
        [str(COMMAND), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def make_project(tmp_path: Path) -> Maker:
    """Makes a project whose environment is empty: `make_project({"pipelines/p.py": ...})`."""

    def make(files: dict[str, str], name: str = "small") -> Path:
        root = write(tmp_path / name, {"pyproject.toml": PYPROJECT, **files})
        with Project.open(root) as project:
            project.environments.lock()
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
