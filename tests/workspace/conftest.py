"""A project with records and bytes of every sort, copied for each test that damages or moves it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.kernel.database import all_migrations
from mlwright.kernel.digest import Digest, digest_of, digest_of_file
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import LocalObjects
from mlwright.workspace.backup import Manifest
from mlwright.workspace.layout import claim
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


@pytest.fixture(scope="session")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of the template's copy."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(template, folder / "project", symlinks=True)
    with Project.open(folder / "project") as project:
        project.backup(folder / "backup")
    return folder / "backup"


@pytest.fixture
def backup(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copy(made.parent / "project" / "pipelines" / "p.py", tmp_path / "code.py")
    return Path(shutil.copytree(made, tmp_path / "backup"))


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A backup that was made before there were packs and pieces: of 5000 bytes that an artifact is."""
    source = tmp_path / "older"
    digest = LocalObjects(source / "objects", tmp_path / "verified").put(b"bytes" * 1000).digest
    claim(source / "objects", "01WORKSPACE")
    database = SqliteDatabase(source / "metadata-1.db")
    database.migrate([migration for migration in all_migrations() if migration.number < 12])
    with database.transaction() as tx:
        tx.execute("INSERT INTO workspace VALUES ('01WORKSPACE', 1)")
        tx.execute(
            "INSERT INTO artifact VALUES ('a', 'bytes', 't', :digest, 5000, '{}', 0, 1)", digest=digest
        )
        edges.add(tx, [Edge(End("artifact", "a"), "bytes", End("object", digest))])
        tx.execute(
            "INSERT INTO event (at_us, verb, subject_kind, subject_id, actor, detail)"
            " VALUES (1, 'run.started', 'run', 'r', 'somebody', '{}')"
        )
    database.close()
    records = source / "metadata-1.db"
    manifest = Manifest(
        workspace="01WORKSPACE",
        project="small",
        mlwright="0.0.1",
        schema=11,
        made_us=1,
        database=records.name,
        database_bytes=records.stat().st_size,
        database_digest=digest_of_file(records),
        objects=1,
        object_bytes=5000,
        code=digest,
    )
    (source / "backup.json").write_bytes(msgspec.json.encode(manifest))
    return source


def stored(backup: Path, data: bytes) -> Path:
    """The file of an object in a backup."""
    digest = digest_of(data)
    return backup / "objects" / digest[:2] / digest[2:]


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
