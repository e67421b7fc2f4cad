"""A project with records and bytes of every sort, copied for each test that damages or moves it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.digest import Digest
from tests.versioning.conftest import counted

BIG = bytes(range(256)) * 1024
"""What the folder dataset has beside a small file: 256 KiB."""


def pictures_in(folder: Path) -> Path:
    """Write the folder dataset's files."""
    pictures = folder / "pictures"
    pictures.mkdir()
    (pictures / "small.txt").write_text("small")
    (pictures / "big.bin").write_bytes(BIG)
    return pictures


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a table, a folder, a run that printed and gave small and large outputs, and a model."""
    folder = tmp_path_factory.mktemp("template") / "project"
    folder.mkdir()
    with counted(folder) as project:
        pictures = pictures_in(folder)
        project.datasets.add(pictures, "pictures")
        shutil.rmtree(pictures)  # or the files would be code, too
    return folder


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A copy of it, with the same workspace."""
    return Path(shutil.copytree(template, tmp_path / "project", symlinks=True))


@pytest.fixture
def project(root: Path) -> Iterator[Project]:
    """The copy, opened."""
    with Project.open(root) as opened:
        yield opened


@pytest.fixture
def file_of(root: Path) -> Callable[[Digest], Path]:
    """Where the bytes of an object lie."""
    return lambda digest: root / ".mlwright" / "objects" / digest[:2] / digest[2:]


def rewrite(path: Path, data: bytes) -> None:
    """Put other bytes into a file that is read-only, as a failing disk or a careless program does."""
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def flip(path: Path) -> None:
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    rewrite(path, bytes(data))
