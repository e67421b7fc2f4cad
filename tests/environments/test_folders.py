"""Packages from folders and from Git: what is locked of them, and that they can be made elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.environments.pylocks import kept_wheels
from mlwright.kernel.edges import made_from
from mlwright.kernel.errors import Corrupt, Invalid, NotFound, Unavailable
from tests.conftest import write
from tests.environments.conftest import Index, Small, versions
from tests.environments.test_build import Make

LIBRARY = """
[project]
name = "{name}"
version = "0.3"
requires-python = ">=3.11"
dependencies = [{dependencies}]

[build-system]
requires = ["uv_build"]
build-backend = "uv_build"
"""

BACKEND = """
import os, zipfile

def build_wheel(folder, settings=None, metadata=None):
    info = "shared-0.3.dist-info"
    files = {
        "shared.py": f"WORD = {os.environ.get('SOURCE_DATE_EPOCH')!r}",
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: shared\\nVersion: 0.3\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{info}/RECORD": f"shared.py,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n",
    }
    with zipfile.ZipFile(os.path.join(folder, "shared-0.3-py3-none-any.whl"), "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return "shared-0.3-py3-none-any.whl"
"""

PIPELINE = """
from mlwright import pipeline, step

@step
def told() -> str:
    import shared
    return shared.WORD

@pipeline
def ask():
    told()
"""


def library(folder: Path, name: str, word: str, dependencies: str = "") -> Path:
    """A package in a folder, which uv builds by itself."""
    text = LIBRARY.format(name=name, dependencies=dependencies)
    write(folder, {"pyproject.toml": text, f"src/{name}/__init__.py": f"WORD = '{word}'\n"})
    return folder


def sourced(small: Small, index: Index, name: str, source: str) -> None:
    """Let a project depend on a package from somewhere."""
    small.depend(index, name)
    with (small.root / "pyproject.toml").open("a") as file:
        file.write(f"\n[tool.uv.sources]\n{name} = {source}\n")


@pytest.fixture
def small(make: Make, index: Index) -> Small:
    """A project that depends on a folder beside it, which depends on `two`."""
    made = make(lock=False)
    library(made.root.parent / "shared", "shared", "first", '"two"')
    sourced(made, index, "shared", '{ path = "../shared" }')
    made.environments.lock()
    return made


def git(folder: Path, *arguments: str) -> str:
    """Asks git, as nobody in particular."""
    names = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *names, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_folder_is_locked_as_a_wheel_of_it(small: Small) -> None:
    """Its wheel is an object, which the lock names by its hash and the record by an edge."""
    lock = small.environments.current()

    (wheel,) = kept_wheels(small.environments.text(lock)).values()
    with small.workspace.database.transaction() as tx:
        small.environments.record(tx, lock)

    roles = {edge.role: edge.earlier.id for edge in made_from(small.workspace.database, lock.end)}
    assert roles["wheel:shared-0.3-py3-none-any.whl"] == wheel
    assert versions(small.environments.build(lock)) == {"shared": "0.3", "two": "2.0"}


def test_the_same_folder_is_the_same_environment(small: Small) -> None:
    """Times of files, and what is compiled or hidden, make no other wheel; other code does."""
    first = small.environments.current()
    folder = small.root.parent / "shared"

    os.utime(folder / "src" / "shared" / "__init__.py", (1, 1))
    write(folder, {"src/shared/__pycache__/x.pyc": "", ".git/HEAD": ""})
    same = small.environments.current()
    library(folder, "shared", "second", '"two"')
    other = small.environments.current()

    assert same == first
    assert other.digest != first.digest


def test_a_wheel_has_no_time_of_its_own(make: Make, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """What builds it is told one time, whenever that is, so that equal folders make equal wheels."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    small = make(lock=False)
    folder = library(small.root.parent / "shared", "shared", "first")
    own = 'requires = []\nbuild-backend = "backend"\nbackend-path = ["."]'
    text = (folder / "pyproject.toml").read_text().replace('requires = ["uv_build"]', own)
    write(folder, {"pyproject.toml": text.replace('build-backend = "uv_build"', ""), "backend.py": BACKEND})
    sourced(small, index, "shared", '{ path = "../shared" }')
    small.environments.lock()

    environment = small.environments.build(small.environments.current())

    (told,) = environment.python.parent.parent.rglob("shared.py")
    assert told.read_text() == "WORD = '315532800'"


def test_a_folder_that_needs_more_since_is_refused(small: Small) -> None:
    """What it asks for is part of the project's lock."""
    small.environments.current()
    library(small.root.parent / "shared", "shared", "first", '"two", "one"')

    with pytest.raises(Unavailable, match=r"uv\.lock does not fit"):
        small.environments.current()


def test_a_folder_that_is_gone_is_named(small: Small) -> None:
    """The path is that of the lock."""
    small.environments.current()
    shutil.rmtree(small.root.parent / "shared")

    with pytest.raises(NotFound, match=r"no folder \.\./shared, which `shared` is built from"):
        small.environments.current()


def test_a_folder_that_cannot_be_built_is_told_in_uvs_words(small: Small) -> None:
    """And no lock is made of it."""
    shutil.rmtree(small.root.parent / "shared" / "src")

    with pytest.raises(Unavailable, match="no wheel can be built of `shared`"):
        small.environments.current()


def test_it_is_made_elsewhere_without_the_folder(small: Small, make: Make, tmp_path: Path) -> None:
    """The export has the wheel beside it; restored elsewhere, the environment has the same digest."""
    there = make(lock=False, folder="there")
    lock = small.environments.current()
    file = tmp_path / "mail" / "pylock.toml"
    small.environments.write_export(small.environments.export(lock, "pylock"), file)
    shutil.rmtree(small.root.parent / "shared")

    made = there.environments.restore(there.environments.take(file))

    assert made.lock == lock
    assert versions(made) == {"shared": "0.3", "two": "2.0"}


def test_a_server_keeps_the_packages_of_a_folder(small: Small, index: Index) -> None:
    """A package of the index with the same name and version is another one, and is not taken."""
    index.add("shared", "0.3", shared="WORD = 'not ours'")
    index.add("served", "1.0", "shared")
    lock = small.environments.current()

    more = small.environments.resolve_with(lock, ["one", "served"])

    made = small.environments.build(more)
    assert versions(made) == {"one": "1.0", "served": "1.0", "shared": "0.3", "two": "2.0"}
    said = subprocess.run(
        [str(made.python), "-c", "import shared; print(shared.WORD)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "first\n"


def test_a_wheel_beside_a_lock_is_the_one_it_names(small: Small, make: Make, tmp_path: Path) -> None:
    """Other bytes are refused, and so is none at all."""
    there = make(lock=False, folder="there")
    file = tmp_path / "mail" / "pylock.toml"
    small.environments.write_export(small.environments.export(small.environments.current(), "pylock"), file)
    (wheel,) = file.parent.rglob("*.whl")

    wheel.write_bytes(wheel.read_bytes() + b"more")
    with pytest.raises(Corrupt, match="is not the wheel"):
        there.environments.take(file)
    wheel.unlink()
    with pytest.raises(NotFound, match=r"shared-0\.3-py3-none-any\.whl beside"):
        there.environments.take(file)


def test_requirements_name_the_wheel_beside_them(small: Small, index: Index, tmp_path: Path) -> None:
    """pip installs it from there, by its hash."""
    from tests.environments.test_exports import installed

    file = tmp_path / "mail" / "requirements.txt"
    exported = small.environments.export(small.environments.current(), "requirements")
    small.environments.write_export(exported, file)
    subprocess.run(["cp", "-r", str(file.parent / "wheels"), str(tmp_path)], check=True)

    arguments = ["install", "--require-hashes", "--index-url", f"{index.url}/simple", "-r", str(file)]

    assert installed(tmp_path / "venv", *arguments) == {"shared": "0.3", "two": "2.0"}


def test_a_run_with_it_is_reproduced_when_the_folder_is_gone(small: Small) -> None:
    """The wheel is taken along with the lock."""
    write(small.root, {"pipelines/p.py": PIPELINE})
    with Project.open(small.root) as project:
        run = project.run("ask")
        shutil.rmtree(small.root.parent / "shared")

        again = project.reproduce(run.id)

    assert again.identical


def test_members_of_a_workspace_are_folders_too(make: Make, index: Index) -> None:
    """What is installed editable by uv is a wheel of that moment here."""
    small = make(lock=False)
    library(small.root / "members" / "shared", "shared", "first")
    sourced(small, index, "shared", "{ workspace = true }")
    with (small.root / "pyproject.toml").open("a") as file:
        file.write('[tool.uv.workspace]\nmembers = ["members/*"]\n')
    small.environments.lock()

    found = small.versions()

    assert found == {"shared": "0.3"}
    assert kept_wheels(small.environments.text(small.environments.current()))


def test_a_package_of_git_is_pinned_by_its_commit(make: Make, index: Index, tmp_path: Path) -> None:
    """The lock has the commit; what was committed since is not installed, and the rest has its hashes."""
    small = make(lock=False)
    repository = library(tmp_path / "repository", "shared", "first", '"two"')
    git(repository, "init", "-q")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "first")
    commit = git(repository, "rev-parse", "HEAD")
    sourced(small, index, "shared", f'{{ git = "file://{repository}" }}')
    small.environments.lock()
    library(repository, "shared", "second", '"two"')
    git(repository, "commit", "-q", "-a", "-m", "second")

    environment = small.environments.build(small.environments.current())

    told = subprocess.run(
        [str(environment.python), "-c", "import shared; print(shared.WORD)"],
        capture_output=True,
        text=True,
        check=True,
    )
    text = small.environments.text(environment.lock)
    assert told.stdout == "first\n"
    assert f'commit-id = "{commit}"'.encode() in text
    requirements = small.environments.export(environment.lock, "requirements").text
    assert f"shared @ git+file://{repository}@{commit}" in requirements
    assert "# shared is a commit of Git, and has no hash" in requirements
    assert "git" in small.environments.export(environment.lock, "dockerfile").text


def test_a_password_in_the_address_of_git_is_not_recorded(make: Make, index: Index) -> None:
    """Refused before anything is stored, in a message without it."""
    small = make(lock=False)
    text = (
        b"lock-version = '1.0'\n[[packages]]\nname = 'shared'\n"
        b"vcs = {type = 'git', url = 'https://me:hunter2@example.org/x', commit-id = 'abc'}\n"
    )
    small.bring(index, {"pylock.toml": text.decode()})

    with pytest.raises(Invalid, match="holds a user's name or password") as refusal:
        small.environments.current()

    assert "hunter2" not in refusal.value.render()


def test_a_bundle_of_a_run_with_it_holds_the_wheel(small: Small, make: Make, tmp_path: Path) -> None:
    """No index has that wheel: imported, the run is made again without the folder; and nothing is loose."""
    write(small.root, {"pipelines/p.py": PIPELINE})
    with Project.open(small.root) as project:
        run = project.run("ask")
        project.export_run(run.id, tmp_path / "run.tar")
    shutil.rmtree(small.root.parent / "shared")

    with Project.open(make(lock=False, folder="there").root) as there:
        there.import_run(tmp_path / "run.tar")
        again, verified = there.reproduce(run.id), there.verify()

    assert again.identical
    assert verified.faults == ()
