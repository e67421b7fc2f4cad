"""Environments that go out and come in: other tools install them, and elsewhere they have the same name."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace
from uv import find_uv_bin

from mlwright.environments import Environments
from mlwright.environments.exports import FORMS, without_told
from mlwright.environments.locks import at_platform, current_platform, current_python
from mlwright.kernel.edges import made_from
from mlwright.kernel.errors import Conflict, Corrupt, Incompatible, Invalid, MlwrightError, NotFound
from mlwright.kernel.marks import left_over
from tests.conftest import mlwright, write
from tests.environments.conftest import Index, versions
from tests.environments.test_build import Make, places
from tests.processes import start_python, until


def installed(venv: Path, *arguments: str) -> dict[str, str]:
    """What uv installs into a fresh virtual environment."""
    subprocess.run([find_uv_bin(), "venv", "-q", "--no-project", str(venv)], check=True, cwd=venv.parent)
    python = str(venv / "bin" / "python")
    subprocess.run(
        [find_uv_bin(), "pip", *arguments[:1], "-q", "--python", python, *arguments[1:]],
        check=True,
        cwd=venv.parent,
    )
    code = "import json; from importlib.metadata import distributions as d;"
    told = subprocess.run(
        [python, "-c", f"{code} print(json.dumps({{each.name: each.version for each in d()}}))"],
        capture_output=True,
        check=True,
    )
    found: dict[str, str] = json.loads(told.stdout)
    return found


def test_requirements_are_installed_by_hash(make: Make, index: Index, tmp_path: Path) -> None:
    """The requirements install elsewhere with --require-hashes, at the locked versions and no others."""
    small = make("one", "two<2", "nowhere; sys_platform == 'win32'")
    lock = small.environments.current()
    file = tmp_path / "out" / "requirements.txt"

    small.environments.write_export(small.environments.export(lock, "requirements"), file)

    text = file.read_text()
    arguments = ["install", "--require-hashes", "--index-url", f"{index.url}/simple", "-r", str(file)]
    assert installed(tmp_path / "venv", *arguments) == {"one": "1.0", "two": "1.0"}
    assert lock.digest in text
    assert re.search(r"^nowhere==1.0 ; sys_platform == 'win32' \\$", text, re.MULTILINE)
    damaged = re.sub(r"[0-9a-f]{64} *$", "0" * 64, text, flags=re.MULTILINE)
    (tmp_path / "wrong.txt").write_text(damaged)
    with pytest.raises(subprocess.CalledProcessError):
        installed(tmp_path / "other", *arguments[:-1], str(tmp_path / "wrong.txt"))


def test_a_pylock_is_installed_by_others(make: Make, tmp_path: Path) -> None:
    """What is exported is PEP 751: uv installs it where nothing of the project is."""
    small = make("one", "two<2")
    file = tmp_path / "out" / "pylock.toml"

    small.environments.write_export(small.environments.export(small.environments.current(), "pylock"), file)

    assert installed(tmp_path / "venv", "sync", "--require-hashes", str(file)) == {"one": "1.0", "two": "1.0"}


def test_a_conda_environment_asks_for_the_same(make: Make, index: Index) -> None:
    """It has the minor version of Python and all packages by pip; a project that brings it has the same."""
    small, other = make("one", "two<2", folder="a"), make(lock=False, folder="b")
    lock = small.environments.current()

    text = small.environments.export(lock, "conda", "analysis: x").text

    document = yaml.safe_load(text)
    assert document["name"] == "analysis: x"
    assert document["dependencies"][:2] == [f"python={lock.python}", "pip"]
    assert [each.partition(" ")[0] for each in document["dependencies"][2]["pip"]] == ["one==1.0", "two==1.0"]
    other.bring(index, {"environment.yml": text})
    other.environments.lock()
    assert other.versions() == {"one": "1.0", "two": "1.0"}


def test_a_dockerfile_installs_the_lock_as_nobody_special(make: Make, tmp_path: Path) -> None:
    """It starts from that minor version of Python, copies what lies beside it, and ends without root."""
    small = make("one")
    lock = small.environments.current()
    exported = small.environments.export(lock, "dockerfile")

    small.environments.write_export(exported, tmp_path / "image" / "Dockerfile")

    lines = (tmp_path / "image" / "Dockerfile").read_text().splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith(("#", " "))]
    copied = [rest.split()[0] for step, rest in steps if step == "COPY"]
    assert steps[0] == ["FROM", f"python:{lock.python}-slim"]
    assert "--require-hashes" in exported.text
    assert [rest for step, rest in steps if step == "USER"] == ["user"]
    assert [name for name in copied if (tmp_path / "image" / name).exists()] == copied == ["pylock.toml"]
    assert small.environments.take(tmp_path / "image" / "pylock.toml") == lock


def test_an_environment_is_the_same_elsewhere(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exported here and restored in another path with another HOME it has the digest and the inventory."""
    here, there = make("one", "Big_Name", folder="here"), make(lock=False, folder="some where/else")
    first = here.environments.build(here.environments.current())
    file = tmp_path / "mail" / "pylock.toml"
    here.environments.write_export(here.environments.export(first.lock, "pylock"), file)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    second = there.environments.restore(there.environments.take(file))

    assert second.lock == first.lock
    assert second.inventory == first.inventory
    assert second.python != first.python
    assert there.environments.get(first.lock.digest) == first.lock
    (edge,) = made_from(there.workspace.database, first.lock.end)
    assert edge.earlier.id == first.lock.pylock


def test_an_environment_is_made_in_a_folder_of_ones_own(make: Make, tmp_path: Path) -> None:
    """`--in` makes it where the user says, never over what is there."""
    small = make("two<2")
    lock = small.environments.current()
    folder = tmp_path / "my.env"

    made = small.environments.restore(lock, folder)

    assert versions(made) == {"two": "1.0"}
    assert {path.name for path in tmp_path.iterdir()} >= {"my.env"}
    assert not any(path.suffix in {".new", ".building"} for path in tmp_path.iterdir())
    assert places(small) == set()
    with pytest.raises(Conflict, match="is there already"):
        small.environments.restore(lock, folder)


@pytest.mark.parametrize("theirs", ["env.new/thesis.txt", "env.building"])
def test_what_lies_beside_the_folder_is_never_taken_away(theirs: str, make: Make, tmp_path: Path) -> None:
    """What has a name that we would use while it is made is theirs, and stays."""
    small = make("two<2")
    write(tmp_path, {theirs: "theirs"})

    with pytest.raises(Conflict, match=r"env\.(new|building) is there already"):
        small.environments.restore(small.environments.current(), tmp_path / "env")

    assert (tmp_path / theirs).read_text() == "theirs"


RESTORE = """
import sys
from pathlib import Path
from mlwright.app import Project

with Project.open(Path(sys.argv[1])) as project:
    project.environments.restore(project.environments.current(), Path(sys.argv[2]))
"""


def test_a_build_in_ones_own_place_that_was_killed_is_made_anew(
    make: Make, index: Index, tmp_path: Path
) -> None:
    """After `kill -9` the same command can be given again, as soon as uv, which goes on, has ended."""
    index.add("stuck", "1.0")
    small = make("stuck")
    lock, folder = small.environments.current(), tmp_path / "out" / "env"
    index.hold("stuck-1.0-py3-none-any.whl")
    killed = start_python(RESTORE, small.root, folder)
    until(lambda: "stuck-1.0-py3-none-any.whl" in index.asked)
    killed.kill()
    killed.communicate(timeout=30)
    left = {path.name for path in folder.parent.iterdir()}
    with pytest.raises(Conflict, match="another process"):
        small.environments.restore(lock, folder)
    index.release()
    until(lambda: not _is_made(folder))

    made = small.environments.restore(lock, folder)

    assert left == {"env.new", "env.building"}
    assert versions(made) == {"stuck": "1.0"}
    assert {path.name for path in folder.parent.iterdir()} == {"env"}


def _is_made(folder: Path) -> bool:
    try:
        return not left_over(folder.with_name("env.building"))
    except Conflict:
        return True


def test_a_build_that_fails_leaves_nothing_in_ones_own_place(
    make: Make, index: Index, tmp_path: Path
) -> None:
    """What was begun is taken away, so that the same command can be given again."""
    index.add("gone", "1.0")
    small = make("gone")
    del index.files["gone-1.0-py3-none-any.whl"]
    (tmp_path / "out").mkdir()

    with pytest.raises(MlwrightError):
        small.environments.restore(small.environments.current(), tmp_path / "out" / "env")

    assert list((tmp_path / "out").iterdir()) == []


def test_a_lock_that_was_changed_is_refused(make: Make, tmp_path: Path) -> None:
    """A file that says which environment it is must be that environment."""
    small = make("one")
    text = small.environments.export(small.environments.current(), "pylock").text
    file = tmp_path / "pylock.toml"
    file.write_text(text.replace('version = "2.0"', 'version = "1.9"'))

    with pytest.raises(Corrupt, match="any more: its lock was changed"):
        small.environments.take(file)
    file.write_text(file.read_text().partition("\n")[2])

    assert small.environments.take(file).digest != small.environments.current().digest


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("packages = [", Corrupt, "this is no lock"),
        ("lock-version = '1.0'", Corrupt, "no list of packages"),
        ("lock-version = '9.0'\npackages = []", Incompatible, "'9.0'"),
        ("lock-version = '1.0'\n[[packages]]\nname = '../x'", Corrupt, "a package is called"),
        (
            "lock-version = '1.0'\n[[packages]]\nname = 'a'\ndirectory = {path = '/etc'}",
            Invalid,
            "is a folder of this machine",
        ),
        (
            "lock-version = '1.0'\n[[packages]]\nname = 'a'\nversion = '1'\n"
            "wheels = [{path = '../a-1-py3-none-any.whl', hashes = {sha256 = 'aa'}}]",
            Invalid,
            "from a path of this machine",
        ),
        (
            "lock-version = '1.0'\n[[packages]]\nname = 'a'\nversion = '1'\n"
            "wheels = [{url = 'https://u:hunter2@a.org/a-1-py3-none-any.whl', hashes = {sha256 = 'aa'}}]",
            Invalid,
            "holds a user's name or password",
        ),
        (
            "lock-version = '1.0'\n[[packages]]\nname = 'a'\nversion = '1'\n"
            "wheels = [{url = 'https://example.org/a-1-py3-none-any.whl', hashes = {}}]",
            Invalid,
            "without its hash",
        ),
        (
            "lock-version = '1.0'\nrequires-python = '>=3.99'\npackages = []",
            Incompatible,
            "is for Python >=3",
        ),
    ],
)
def test_a_file_that_is_no_lock_to_be_had_is_refused(
    text: str, error: type[Exception], message: str, make: Make, tmp_path: Path
) -> None:
    """One message says what is wrong with it, and shows no password."""
    small = make(lock=False)
    (tmp_path / "pylock.toml").write_text(text)

    with pytest.raises(error, match=message) as refusal:
        small.environments.take(tmp_path / "pylock.toml")

    assert "hunter2" not in str(refusal.value)
    assert (refusal.value.where or "").endswith("pylock.toml")  # type: ignore[attr-defined]


def test_another_platform_is_said_before_anything_is_installed(
    make: Make, index: Index, tmp_path: Path
) -> None:
    """A lock for another platform is refused; its packages for this one are had by naming the file."""
    here, there = make("one", folder="here"), make(lock=False, folder="there")
    lock = at_platform(here.environments.current(), "macosx-11.0-arm64")
    file = there.root / "pylock.toml"
    here.environments.write_export(here.environments.export(lock, "pylock"), file)
    asked = len(index.asked)

    taken = there.environments.take(file)

    assert (taken.digest, taken.platform) == (lock.digest, "macosx-11.0-arm64")
    with pytest.raises(
        Incompatible, match=rf"macosx-11\.0-arm64, and this is {current_platform()}"
    ) as refusal:
        there.environments.restore(taken)
    assert (len(index.asked), places(there)) == (asked, set())
    assert "[tool.mlwright.environments]" in (refusal.value.hint or "")
    there.bring(index, {}, 'environment = "pylock.toml"')
    assert there.environments.current() == here.environments.current()


def test_the_interpreter_is_the_same_minor_version(make: Make, tmp_path: Path, other_python: str) -> None:
    """A lock for another Python is built with that Python where it is there, and refused where it is not."""
    small = make("one")
    ours = small.environments.current()
    text = small.environments.text(ours)
    file = tmp_path / "pylock.toml"
    other = replace(small.environments._stored(text, other_python, ""), packages=ours.packages)
    small.environments.write_export(small.environments.export(other, "pylock"), file)

    made = small.environments.restore(small.environments.take(file))

    told = subprocess.run(
        [str(made.python), "-c", "import sys, one; print('.'.join(map(str, sys.version_info[:2])))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == made.lock.python == other_python != current_python()
    assert made.lock.digest != ours.digest
    assert made.lock.pylock == ours.pylock


def test_there_is_no_other_form(make: Make) -> None:
    """The forms are named where one is mistyped."""
    small = make()

    with pytest.raises(Invalid, match="there is no form `poetry`") as refusal:
        small.environments.export(small.environments.current(), "poetry")

    assert all(form in (refusal.value.hint or "") for form in FORMS)


def test_a_head_of_others_is_no_part_of_the_lock() -> None:
    """What stands above a lock as comments says nothing of which environment it is."""
    bare = b"lock-version = '1.0'\npackages = []\n"

    assert without_told(b"# made by hand\n# today\n" + bare) == (bare, None)


def test_nothing_is_written_over_other_files(make: Make, tmp_path: Path) -> None:
    """What lies beside, and is another lock, stays."""
    small = make("one")
    (tmp_path / "pylock.toml").write_text("mine")

    with pytest.raises(Conflict, match=r"pylock\.toml would be written beside it"):
        small.environments.write_export(
            small.environments.export(small.environments.current(), "dockerfile"), tmp_path / "Dockerfile"
        )

    assert [path.name for path in tmp_path.glob("*ock*")] == ["pylock.toml"]


def test_the_doors_export_and_restore(make: Make, tmp_path: Path) -> None:
    """`export` writes to a file or to standard output, `restore` reads it; --dry-run builds nothing."""
    here, there = make("two<2", folder="here"), make(lock=False, folder="there")
    file = tmp_path / "pylock.toml"

    shown = mlwright("environments", "export", cwd=here.root)
    written = mlwright("environments", "export", "-o", str(file), cwd=here.root)
    planned = mlwright("environments", "restore", str(file), "--dry-run", cwd=there.root)
    before = places(there)
    restored = mlwright("environments", "restore", str(file), "--json", cwd=there.root)
    missing = mlwright("environments", "restore", "none.toml", cwd=there.root)
    (there.root / "requirements.txt").write_text("one")
    other = mlwright("environments", "restore", "requirements.txt", cwd=there.root)
    unknown = mlwright("environments", "export", "nothing", cwd=here.root)

    assert shown.stdout == file.read_text()
    assert written.stdout.strip() == f"{here.environments.current().label} is in {file}"
    assert planned.stdout.startswith("plan: restore\n  write  environment b3:")
    assert before == set()
    assert json.loads(restored.stdout)["lock"]["digest"] == here.environments.current().digest
    assert (missing.returncode, unknown.returncode, other.returncode) == (3, 3, 2)
    assert "requirements.txt is no pylock" in other.stderr
    assert "there is no file none.toml" in missing.stderr
    assert "there is no environment 'nothing'" in unknown.stderr


def test_a_file_that_is_not_there_is_not_found(make: Make, tmp_path: Path) -> None:
    """Its name is repeated."""
    with pytest.raises(NotFound, match=r"there is no file none\.toml"):
        make(lock=False).environments.take(tmp_path / "none.toml")


def test_what_is_taken_lies_in_the_workspace(make: Make, tmp_path: Path) -> None:
    """A restored environment can be built again when the file is gone."""
    small = make("two<2", folder="here")
    file = tmp_path / "pylock.toml"
    small.environments.write_export(small.environments.export(small.environments.current(), "pylock"), file)
    there = make(lock=False, folder="there")
    lock = there.environments.take(file)
    there.environments.restore(lock, tmp_path / "venv")
    file.unlink()

    again = Environments(there.workspace.database, there.workspace.objects, there.root, there.workspace.local)

    assert versions(again.build(again.get(lock.digest))) == {"two": "1.0"}
    assert (tmp_path / "venv").exists()
