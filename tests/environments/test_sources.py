"""Environments of files: requirements, conda, a pylock, a script: which is whose, locked, and run in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.environments.locks import current_python
from mlwright.environments.source_locks import without_head
from mlwright.environments.sources import script_metadata
from mlwright.kernel.errors import Conflict, Incompatible, Invalid, NotFound, Unavailable
from tests.conftest import mlwright, write
from tests.environments.conftest import Index, Small
from tests.environments.test_build import Make

PIPELINE = """
from mlwright import pipeline, step

def versions() -> dict[str, str]:
    import sys
    from importlib.metadata import distributions
    found = {each.name: each.version for each in distributions() if each.name in {"one", "two"}}
    return found | {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}

@step
def own() -> dict[str, str]:
    return versions()

@step(environment="old")
def old(before: dict[str, str]) -> dict[str, str]:
    return versions()

@pipeline
def both():
    old(own())
"""

SCRIPT = """
# /// script
# requires-python = ">={python}"
# dependencies = [{dependencies}]
# [[tool.uv.index]]
# url = "{index}/simple"
# default = true
# ///
import sys
from pathlib import Path

import two

Path("told.txt").write_text(f"{{sys.version_info.major}}.{{sys.version_info.minor}} {{two.VERSION}}")
"""


def script(small: Small, index: Index, dependencies: str, python: str = "3.11") -> Path:
    """A script that says itself what it needs."""
    text = SCRIPT.format(python=python, dependencies=dependencies, index=index.url)
    return write(small.root, {"tools/train.py": text}) / "tools" / "train.py"


def test_requirements_are_the_environment_of_a_project_without_a_table(make: Make, index: Index) -> None:
    """A requirements.txt is locked into a pylock.toml beside it, and built from that."""
    small = make(lock=False)
    small.bring(index, {"requirements.txt": "one\n-r more.txt\n", "more.txt": "two<2  # old"})

    looked = small.environments.lock(check=True), (small.root / "pylock.toml").exists()
    first = small.environments.lock()
    again = small.environments.lock(), small.environments.lock(check=True)

    assert (looked, first, again) == ((True, False), True, (False, False))
    assert small.versions() == {"one": "1.0", "two": "1.0"}


def test_requirements_that_changed_since_are_refused(make: Make, index: Index) -> None:
    """An old lock is not used silently; a remark and another order make it no older."""
    small = make(lock=False)
    small.bring(index, {"requirements.txt": "one\ntwo<2\n"})
    with pytest.raises(NotFound, match=r"there is no pylock\.toml") as missing:
        small.environments.current()
    small.environments.lock()
    before = small.environments.current()

    (small.root / "requirements.txt").write_text("# remark\ntwo<2\none  # first\n")
    same = small.environments.current()
    (small.root / "requirements.txt").write_text("one\n")

    assert missing.value.hint == "mlwright environments lock"
    assert same == before
    with pytest.raises(Unavailable, match=r"pylock\.toml does not fit requirements\.txt any more") as stale:
        small.environments.current()
    assert stale.value.hint == "mlwright environments lock"


def test_locking_again_keeps_the_versions_that_may_stay(make: Make, index: Index) -> None:
    """One more requirement changes no other package."""
    small = make(lock=False)
    small.bring(index, {"requirements.txt": "two<2"})
    small.environments.lock()

    (small.root / "requirements.txt").write_text("two\none")
    small.environments.lock()

    assert small.versions() == {"one": "1.0", "two": "1.0"}


def test_hashes_in_requirements_are_held_to(make: Make, index: Index) -> None:
    """Of the files that the index has, only those with a hash that is asked for are locked."""
    small = make(lock=False)
    small.bring(index, {"requirements.txt": "two"})
    small.environments.lock()
    text = (small.root / "pylock.toml").read_text()
    known = text.partition('sha256 = "')[2][:64]

    (small.root / "requirements.txt").write_text(f"two --hash=sha256:{known} --hash=sha256:{'0' * 64}")
    small.environments.lock()
    held = small.versions()
    (small.root / "requirements.txt").write_text(f"two --hash=sha256:{'0' * 64}")

    assert held == {"two": "2.0"}
    with pytest.raises(Invalid, match=r"no file of two 2\.0 has a hash that is asked for"):
        small.environments.lock()


def test_the_lock_is_for_every_platform(make: Make, index: Index) -> None:
    """What only another platform needs is locked, and not installed here."""
    small = make(lock=False)
    small.bring(index, {"requirements.txt": "two\nnowhere ; sys_platform == 'darwin'"})

    small.environments.lock()

    assert small.environments.current().packages == 2
    assert small.versions() == {"two": "2.0"}


def test_of_two_files_one_must_be_named(make: Make, index: Index) -> None:
    """What the project needs is not guessed; the setting says it, and wins over `[project]` too."""
    small = make(lock=False)
    files = {"requirements.txt": "one", "environment.yml": "dependencies: [two]"}
    small.bring(index, files)
    with pytest.raises(Invalid, match=r"requirements\.txt and environment\.yml both say") as refusal:
        small.environments.lock()

    small.bring(index, files, 'environment = "environment.yml"')
    small.environments.lock()
    named = small.versions()
    text = (small.root / "pyproject.toml").read_text()
    (small.root / "pyproject.toml").write_text(f'{text}\n[project]\nname = "small"\nversion = "0"\n')

    assert 'environment = "requirements.txt"' in (refusal.value.hint or "")
    assert named == small.versions() == {"two": "2.0"}


def test_groups_need_no_table_of_a_project(make: Make, index: Index) -> None:
    """What pyproject.toml itself says is uv's to lock."""
    small = make(lock=False)
    small.bring(index, {}, '[dependency-groups]\nold = ["two<2"]')
    small.environments.lock()

    assert small.environments.names() == ["old"]
    assert (small.versions(), small.versions("old")) == ({}, {"two": "1.0"})


def test_a_file_beside_groups_must_be_named(make: Make, index: Index) -> None:
    """It is not passed over silently; once it is named, it is the project's own and the groups stay."""
    small = make(lock=False)
    groups = '[dependency-groups]\nold = ["two<2"]'
    small.bring(index, {"requirements.txt": "one"}, groups)

    with pytest.raises(Invalid, match=r"\[dependency-groups\] and requirements\.txt both say") as refusal:
        small.environments.lock()
    small.bring(index, {}, f'environment = "requirements.txt"\n{groups}')
    small.environments.lock_all()

    assert 'environment = "requirements.txt"' in (refusal.value.hint or "")
    assert small.versions() == {"one": "1.0", "two": "2.0"}


def test_a_lock_is_a_file_of_the_users(make: Make, index: Index) -> None:
    """Others may read a new one; one that is there keeps its permissions, and a link stays a link."""
    small = make(lock=False)
    small.bring(index, {"requirements.txt": "one", "kept/remark": ""})
    (small.root / "plain").touch()
    small.environments.lock()
    lock = small.root / "pylock.toml"
    modes = lock.stat().st_mode, (small.root / "plain").stat().st_mode
    lock.rename(small.root / "kept" / "lock.toml").chmod(0o664)
    lock.symlink_to("kept/lock.toml")
    small.bring(index, {"requirements.txt": "one\ntwo<2"})

    small.environments.lock()

    assert modes[0] == modes[1]
    assert lock.is_symlink()
    assert (small.root / "kept" / "lock.toml").stat().st_mode & 0o777 == 0o664
    assert small.versions() == {"one": "1.0", "two": "1.0"}


def test_a_pylock_of_others_is_taken_as_it_is(make: Make, index: Index) -> None:
    """A project that brings its lock needs no other, and nothing is written into it."""
    small, other = make(lock=False), make(lock=False, folder="other")
    other.bring(index, {"requirements.txt": "two<2"})
    other.environments.lock()
    text = without_head((other.root / "pylock.toml").read_bytes())
    small.bring(index, {"pylock.toml": text.decode()})

    changed = small.environments.lock()

    assert not changed
    assert small.versions() == {"two": "1.0"}
    assert small.environments.current() == other.environments.current()


def test_steps_run_in_environments_of_files_and_are_reproduced(
    make: Make, index: Index, other_python: str
) -> None:
    """A step's environment is the one its name has a file for, with the interpreter that conda asks for."""
    small = make(lock=False)
    conda = f"dependencies: [python={other_python}, two=1]"
    settings = 'environments = { old = "envs/old.yml" }'
    small.bring(index, {"requirements.txt": "one", "envs/old.yml": conda}, settings)
    write(small.root, {"pipelines/p.py": PIPELINE})
    small.environments.lock_all()

    with Project.open(small.root) as project:
        run = project.run("both")
        told = {
            each.step: json.loads(project.rooms.objects.get(each.artifact.digest))
            for each in project.artifacts.list(run.id)
        }
        again = project.reproduce(run.id)
        lock = project.environment(f"{run.id}/old")

    assert told == {
        "own": {"one": "1.0", "two": "2.0", "python": current_python()},
        "old": {"two": "1.0", "python": other_python},
    }
    assert again.identical
    assert lock.python == other_python
    assert (small.root / "pylock.old.toml").exists()


def test_a_script_runs_in_the_environment_it_asks_for(make: Make, index: Index, other_python: str) -> None:
    """PEP 723: its packages and its interpreter, locked beside it; the project needs no lock of its own."""
    small = make(lock=False)
    small.bring(index, {})
    script(small, index, '"two<2"', other_python)
    with Project.open(small.root) as project:
        with pytest.raises(NotFound, match=r"there is no train\.py\.lock") as refusal:
            project.run(str(small.root / "tools" / "train.py"))
        project.environments.lock_file("tools/train.py")

        run = project.run(str(small.root / "tools" / "train.py"))

        (told,) = project.artifacts.list(run.id)
        text = project.rooms.objects.get(told.artifact.digest)
        again = project.reproduce(run.id)
    assert refusal.value.hint == "mlwright environments lock tools/train.py"
    assert text == f"{other_python} 1.0".encode()
    assert again.identical


def test_a_script_that_asks_for_more_since_is_refused(make: Make, index: Index) -> None:
    """Its lock must fit it, as that of a project must."""
    small = make(lock=False)
    small.bring(index, {})
    script(small, index, '"two<2"')
    small.environments.lock_file("tools/train.py")
    before = small.environments.of_script("tools/train.py")

    script(small, index, '"two<2", "one"')

    assert before is not None
    assert small.environments.lock_file("tools/train.py", check=True).changed
    with pytest.raises(Unavailable, match=r"train\.py\.lock does not fit train\.py any more"):
        small.environments.of_script("tools/train.py")


def test_a_script_without_a_block_has_the_environment_of_the_project(make: Make) -> None:
    """What says nothing of itself runs where pipelines do."""
    small = make("two")
    write(small.root, {"train.py": "import two\n# /// other\n# ///\n"})

    assert small.environments.of_script("train.py") is None
    with pytest.raises(Invalid, match="does not say what it needs"):
        small.environments.lock_file("train.py")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("# dependencies = [", "is not TOML"),
        ("# dependencies = 'one'", "no list of requirements"),
        ("# dependencies = ['-e .']", "is not a requirement"),
        ("# dependencies = []\n# ///\n\n# /// script\n# dependencies = []", "two blocks"),
    ],
)
def test_a_block_that_cannot_be_read_is_refused(block: str, message: str) -> None:
    """One message, with the script's name."""
    with pytest.raises(Invalid, match=message) as refusal:
        script_metadata(f"# /// script\n{block}\n# ///\n", "train.py")

    assert refusal.value.where == "train.py"


def test_an_interpreter_that_is_not_there_is_said_before_anything_is_made(make: Make, index: Index) -> None:
    """Python 3.99 is on no machine; 3.8 cannot run steps."""
    small = make(lock=False)
    small.bring(index, {"environment.yml": "dependencies: [python=3.99, two]"})
    small.environments.lock()

    with pytest.raises(Incompatible, match=r"is for Python 3\.99, and none is found"):
        small.environments.build(small.environments.current())
    small.bring(index, {"environment.yml": "dependencies: [python=3.8, two]"})
    with pytest.raises(Invalid, match=r"steps run on Python 3\.11 and newer, not on 3\.8"):
        small.environments.lock()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('environment = "none.txt"', r"there is no file none\.txt"),
        ('environment = "../outside.txt"', "lies outside the project"),
        ('environment = "setup.cfg"', "is no file that an environment is read from"),
        ("environments = { old = 1 }", "a setting has the wrong type"),
    ],
)
def test_a_file_that_cannot_be_one_is_refused(settings: str, message: str, make: Make, index: Index) -> None:
    """The setting is named, and what is wrong with its file."""
    small = make(lock=False)
    small.bring(index, {"setup.cfg": "", "../outside.txt": "one"}, settings)

    with pytest.raises((Invalid, NotFound), match=message) as refusal:
        small.environments.lock()

    assert "[tool.mlwright]" in (refusal.value.where or "")


def test_names_that_mean_two_things_or_nothing_are_refused(make: Make, index: Index) -> None:
    """A file and a group of one name exclude each other; an unknown name shows how to give one."""
    small = make("one")
    pyproject = small.root / "pyproject.toml"
    more = 'environments = { Old = "old.txt" }\n[dependency-groups]\nold = ["two"]\n'
    pyproject.write_text(pyproject.read_text() + more)
    write(small.root, {"old.txt": "two"})

    with pytest.raises(Invalid, match="both a file and a dependency group"):
        small.environments.current("old")
    small.bring(index, {"requirements.txt": "one"})
    with pytest.raises(Invalid, match="there is no environment `newer`") as refusal:
        small.environments.current("newer")

    assert "requirements-newer.txt" in (refusal.value.hint or "")


def test_a_lock_is_written_over_by_nothing_else(make: Make, index: Index) -> None:
    """Neither an export nor another environment's file has the place of the lock that a file is given."""
    small = make(lock=False)
    small.bring(index, {"requirements.txt": "two<2"})
    small.environments.lock()
    lock = small.root / "pylock.toml"
    before = lock.read_bytes()

    exported = small.environments.export(small.environments.current(), "pylock")
    docker = small.environments.export(small.environments.current(), "dockerfile")
    for each, file in ((exported, lock), (docker, small.root / "Dockerfile")):
        with pytest.raises(Conflict, match=r"pylock\.toml is the lock of requirements\.txt"):
            small.environments.write_export(each, file)
    small.bring(index, {}, 'environments = { other = "pylock.toml" }')
    with pytest.raises(Invalid, match="is the file of another environment"):
        small.environments.lock()

    assert lock.read_bytes() == before


def test_the_locks_of_uv_are_not_written_over_either(make: Make) -> None:
    """Neither `uv.lock` nor that of a script; what only lies beside a script may be written."""
    small = make("one")
    head = "# /// script\n# dependencies = ['two']\n# ///\n"
    write(small.root, {"tools/one.py": head, "tools/plain.py": "", "tools/broken.py": head.replace("]", "")})
    small.environments.lock_file("tools/one.py")
    exported = small.environments.export(small.environments.current(), "pylock")
    locks = [small.root / "uv.lock", small.root / "tools" / "one.py.lock"]
    before = [each.read_bytes() for each in locks]

    for lock, source in zip(locks, ("pyproject.toml", "one.py"), strict=True):
        with pytest.raises(Conflict, match=f"{lock.name} is the lock of {source}, and would not fit it"):
            small.environments.write_export(exported, lock)
    with pytest.raises(Invalid, match="is not TOML"):
        small.environments.write_export(exported, small.root / "tools" / "broken.py.lock")
    small.environments.write_export(exported, small.root / "tools" / "plain.py.lock")

    assert [each.read_bytes() for each in locks] == before
    assert (small.root / "tools" / "plain.py.lock").read_text() == exported.text


def test_the_door_locks_all_that_are_named(make: Make, index: Index) -> None:
    """`environments lock` says for each file what it wrote; with --dry-run it writes nothing."""
    small = make(lock=False)
    files = {"requirements.txt": "one", "old.yml": "dependencies: [two=1, cudnn]"}
    small.bring(index, files, 'environments = { old = "old.yml" }')

    def told(*arguments: str) -> list[str]:
        done = mlwright("environments", *arguments, cwd=small.root)
        return [" ".join(line.split()) for line in done.stdout.splitlines()]

    planned, written = told("lock", "--dry-run"), list(small.root.glob("pylock*"))
    locked, one, kept = told("lock"), told("lock", "old"), told("lock")
    synced, again = told("sync", "old"), told("sync", "old")

    assert written == []
    assert locked == [
        "lock",
        "write pylock.toml from requirements.txt",
        "write pylock.old.toml from old.yml",
        "add two of conda: two of the package index",
        "skip cudnn of conda: no Python package",
    ]
    assert planned == ["plan: lock", *locked[1:]]
    assert one[1] == kept[2] == "keep pylock.old.toml it fits old.yml"
    assert synced[1].startswith("write environment")
    assert again[1].endswith("it is built")


@pytest.mark.parametrize("kind", ["requirements", "conda", "script"])
def test_a_yanked_version_is_refused_before_it_is_locked(kind: str, make: Make, index: Index) -> None:
    """Whatever file asks for it; what is locked with --allow-yanked stays."""
    index.add("taken", "1.0")
    index.yanked["taken-1.0-py3-none-any.whl"] = "broken"
    small = make(lock=False)
    if kind == "script":
        name, lock = "tools/train.py", script(small, index, '"taken==1.0"').with_name("train.py.lock")
    else:
        name, lock = "", small.root / "pylock.toml"
        files = {"requirements.txt": "taken==1.0", "environment.yml": "dependencies: [taken=1.0=0]"}
        file = "requirements.txt" if kind == "requirements" else "environment.yml"
        small.bring(index, {file: files[file]})

    with pytest.raises(Invalid, match=r"yanked by its authors: `taken==1\.0` \(broken\)"):
        small.environments.lock_file(name)
    refused = not lock.exists()
    small.environments.lock_file(name, allow_yanked=True)

    assert refused
    assert not small.environments.lock_file(name).changed
