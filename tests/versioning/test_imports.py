"""Datasets from the web and from a bucket: pinned, shown, and the same version when nothing has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.digest import digest_of
from mlwright.kernel.progress import Progress
from mlwright.storage import Places
from mlwright.storage.reach import Reach
from mlwright.versioning.imports import add_from
from tests.conftest import PYPROJECT, mlwright, write
from tests.s3 import SECRET, Place
from tests.storage.test_fetch import Web, web

__all__ = ["web"]

HERE = Reach(private=True)
"""The tests' own servers are on this machine."""
TABLE = b"id,age\n1,40\n2,50\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project."""
    return write(tmp_path / "small", {"pyproject.toml": PYPROJECT})


def test_what_was_read_of_the_web_is_pinned_and_shown(root: Path, web: Web) -> None:
    """URL without its secret, size, ETag and digest stand in the version; where it lay is forgotten."""
    web.data = TABLE
    url = web.url.replace("table.bin", "table.csv") + f"?token={SECRET}"

    added = mlwright("datasets", "add", url, "--name", "table", "--private", cwd=root)

    assert added.returncode == 0, added.stderr
    shown = mlwright("datasets", "show", "table@1", cwd=root)
    version = json.loads(mlwright("datasets", "show", "table@1", "--json", cwd=root).stdout)["version"]
    assert version["about"]["source"] == {
        "url": url.partition("?")[0],
        "size_bytes": len(TABLE),
        "etag": '"first"',
        "digest": digest_of(TABLE),
    }
    assert version["about"]["columns"] == ["id", "age"]
    assert f'source     {url.partition("?")[0]}  "first"' in shown.stdout
    assert SECRET not in shown.stdout + added.stdout
    assert "no dataset was added" in mlwright("datasets", "status", cwd=root).stdout
    assert all(SECRET.encode() not in file.read_bytes() for file in (root / ".mlwright").glob("metadata*"))


def test_the_same_bytes_again_are_the_same_version(root: Path, web: Web) -> None:
    """An import is repeated as often as one likes; other bytes are the next version."""
    with Project.open(root) as project:
        first = add_from(project.datasets, web.url, "table", reach=HERE)
        again = add_from(project.datasets, web.url, "table", reach=HERE)
        web.data, web.etag = b"other", '"second"'
        other = add_from(project.datasets, web.url, "table", reach=HERE)

    assert (first[1], again[1], other[1]) == (True, False, True)
    assert again[0] == first[0]
    assert (other[0].number, other[0].about["source"]["etag"]) == (2, '"second"')


class Interrupts(Progress):
    """Ctrl-C when bytes have been stored."""

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        """Hear of what begins."""
        self.adding = what.startswith("adding")

    def advance(self, done_bytes: int) -> None:
        """Somebody has had enough."""
        if self.adding:
            raise KeyboardInterrupt


def test_what_an_interruption_left_of_an_import_is_forgotten_with_the_next(root: Path, web: Web) -> None:
    """How the fetched file looked is remembered for the second try only: then the file is gone."""
    with Project.open(root) as project:
        places = Places(project.rooms.workspace.local / "places")
        with pytest.raises(KeyboardInterrupt):
            add_from(project.datasets, web.url, "table", reach=HERE, progress=Interrupts())
        between = list(places)

        add_from(project.datasets, web.url, "table", reach=HERE)

        assert len(between) == 1
        assert list(places) == []


def test_a_dry_run_brings_nothing(root: Path, web: Web) -> None:
    """The plan names what would be fetched, and the number it would get."""
    done = mlwright("datasets", "add", web.url, "--name", "table", "--dry-run", "--private", cwd=root)

    assert done.returncode == 0, done.stderr
    assert web.url in done.stdout
    assert "table@1" in done.stdout
    assert mlwright("datasets", "list", cwd=root).stdout.strip() == "none"


def test_a_folder_of_a_bucket_is_a_dataset(root: Path, s3: Place) -> None:
    """With all its keys as files."""
    for key in ("images/a.png", "images/deep/b.png"):
        s3.bucket().write(key, key.encode() * 1000)

    done = mlwright("datasets", "add", f"{s3.url}/images/", "--name", "images", cwd=root)

    assert done.returncode == 0, done.stderr
    files = json.loads(mlwright("datasets", "show", "images", "--json", cwd=root).stdout)["files"]
    assert [each["path"] for each in files] == ["a.png", "deep/b.png"]


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("http://127.0.0.1:1/x.csv", 6, "cannot be reached: connection refused"),
        ("ftp://host/x.csv", 2, "nothing can be fetched from ftp://"),
        ("s3://key:secret@bucket/x.csv", 2, "an S3 address holds no credentials"),
    ],
)
def test_what_cannot_be_fetched_is_one_message(root: Path, url: str, code: int, message: str) -> None:
    """With a hint, and its exit code."""
    done = mlwright("datasets", "add", url, "--name", "table", "--private", cwd=root)

    assert (done.returncode, done.stderr.count("error: ")) == (code, 1)
    assert message in done.stderr
    assert "hint: " in done.stderr
    assert "secret" not in done.stderr.replace("SECRET", "")
